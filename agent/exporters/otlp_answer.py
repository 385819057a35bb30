"""The meaning of an answer to an OTLP/HTTP request, by the OTLP specification (opentelemetry-proto docs/specification.md). Pure.

    2xx                       accepted; a `partial_success` with content is final and never retried ("Partial Success")
    429 502 503 504           retry, `Retry-After` in either form ("Retryable Response Codes", "OTLP/HTTP Throttling")
    408 425 499 507 to 509    retry as well: the server, or one behind a proxy (Cloudflare's 520 to 530), is away or full for now
    520 to 530, 598 599
    413                       too large: the host halves the request, which makes two new requests of it
    401 403 404 405 415 …     pause: they refuse the client, not the data; so does any 3xx, and a 400 that asks for https
    every other               rejected, never retried; an option makes 500 retryable, for servers behind a faulty proxy
    no answer                 retry ("All Other Responses", "OTLP/HTTP Connection"): cut off, too late, not HTTP, not connected

The third line and the pauses deviate: by the specification all other 4xx and 5xx must not be retried, so that an expired token or a proxy that
restarts loses data. The option `strict` follows the specification (a dead letter).

An answer's body over the limit is "a non-retryable error": a status that means retry then means rejected. A 2xx still means accepted if its
body is too long, cut off or not valid; that is counted as `bad_response`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.net.errors import ErrorKind
from agent.net.message import shown_location
from agent.options import MASK, mask_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.net.message import Response
from agent.net.errors import NetworkError

RETRYABLE: Final = frozenset({429, 502, 503, 504})
PASSING: Final = frozenset({408, 425, 499, 507, 508, 509, *range(520, 531), 598, 599})
"""Statuses of passing failures, though the specification does not list them."""
REFUSES_US: Final = frozenset({401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 421, 426, 431, 451, 464, 501, 505, 511, 561})
"""Statuses about address, credentials, protocol or contract, not about the data."""
_WANTS_TLS: Final = re.compile(rb"http request (?:was )?(?:sent )?to (?:an )?https|plain http to an ssl-enabled", re.IGNORECASE)
"""Words in the answers (400) of Go's servers, nginx and Apache to HTTP on a port for HTTPS."""
LONGEST_MESSAGE: Final = 300
"""Characters of a server's message that are kept."""
_DIGITS: Final = 12
"""Digits up to which a `Retry-After` is a number of seconds."""


class Outcome(StrEnum):
    """The outcome of a request, as in the metric."""

    ACCEPTED = "accepted"
    PARTIAL = "partial_success"
    WARNING = "warning"
    BAD_RESPONSE = "bad_response"
    RETRY = "retry"
    PAUSED = "paused"
    TOO_LARGE = "too_large"
    REJECTED = "rejected"


ACCEPTING: Final = frozenset({Outcome.ACCEPTED, Outcome.PARTIAL, Outcome.WARNING, Outcome.BAD_RESPONSE})


class Policy(NamedTuple):
    """Choices that the specification leaves, or that deviate from it."""

    strict: bool = False
    retry_500: bool = False


class Answer(NamedTuple):
    """The meaning of an answer."""

    outcome: Outcome
    status: str
    """The HTTP status code, or the `ErrorKind` without one."""
    message: str = ""
    rejected: int = 0
    """Records that a partial success refused."""
    after: float | None = None
    """Seconds that the server asks to wait; may be negative."""
    advice: str = ""
    """A hint for the user."""


def read_answer(response: Response, records: int, policy: Policy, now: float) -> Answer:
    """Read a complete answer to a request with that many records; `now` is the wall clock in seconds since the Unix epoch."""
    status = response.status
    if 200 <= status < 300:
        return _success(response, records)
    if wants_tls(response) and not policy.strict:
        return Answer(Outcome.PAUSED, str(status), f"{_reason(response)} (write https:// in the endpoint)")
    outcome = judge(status, policy)
    after = retry_after(response, now) if outcome is Outcome.RETRY else None
    return Answer(outcome, str(status), _reason(response), after=after)


def wants_tls(response: Response) -> bool:
    """Whether the server got plain HTTP and wants TLS."""
    return response.status == 400 and _WANTS_TLS.search(response.body[:2000]) is not None


def read_failure(error: NetworkError, policy: Policy) -> Answer:
    """Read a request without a complete answer."""
    message = str(error)
    if error.status is None:
        return Answer(Outcome.RETRY, error.kind.value, message)
    if 200 <= error.status < 300:
        return Answer(Outcome.BAD_RESPONSE, str(error.status), message)
    outcome = judge(error.status, policy)
    if error.kind is ErrorKind.BODY_TOO_LARGE and outcome is Outcome.RETRY:
        outcome = Outcome.REJECTED
    return Answer(outcome, str(error.status), f"HTTP {error.status}; {message}")


def judge(status: int, policy: Policy) -> Outcome:
    """Decide by the status code alone, which is not 2xx."""
    if status in RETRYABLE or (status in PASSING and not policy.strict) or (status == 500 and policy.retry_500):
        return Outcome.RETRY
    if status == 413:
        return Outcome.TOO_LARGE
    if (status in REFUSES_US or 300 <= status < 400) and not policy.strict:
        return Outcome.PAUSED
    return Outcome.REJECTED


def _success(response: Response, records: int) -> Answer:
    status = str(response.status)
    if not response.body:
        return Answer(Outcome.ACCEPTED, status)
    if not _is_protobuf(response):
        return Answer(
            Outcome.BAD_RESPONSE,
            status,
            f"accepted, but answered with {_kind(response)} instead of protobuf: perhaps it is not an OTLP server",
        )
    found = _decode(response.body, refusal=False)
    if found is None:
        return Answer(Outcome.BAD_RESPONSE, status, "accepted, but the answer can't be decoded")
    return _partial(*found, status, records)


def _partial(rejected: int, message: str, status: str, records: int) -> Answer:
    if not 0 <= rejected <= records:
        kept = min(max(rejected, 0), records)
        return Answer(Outcome.BAD_RESPONSE, status, f"said to have rejected {rejected} of {records} records: {message}", kept)
    if rejected:
        return Answer(Outcome.PARTIAL, status, message or "no reason given", rejected)
    return Answer(Outcome.WARNING, status, message) if message else Answer(Outcome.ACCEPTED, status)


def _reason(response: Response) -> str:
    text = _status_message(response)
    reason = f"HTTP {response.status}" + (f": {text}" if text else "")
    if 300 <= response.status < 400:
        location = shown_location(response.header("location") or "nowhere")
        reason += f" (redirected to {location}; not followed, set the endpoint to where the data belongs)"
    return reason


def _status_message(response: Response) -> str:
    """Return the message of the `google.rpc.Status` that a refusal should have, or the text that it has instead."""
    if not response.body:
        return ""
    if _is_protobuf(response):
        found = _decode(response.body, refusal=True)
        return found[1] if found else "an answer that can't be decoded"
    kind = _kind(response)
    if kind.startswith("text/") or kind == "application/json":
        text = response.body[: 16 * LONGEST_MESSAGE].decode("utf-8", "replace")
        return page_words(text) if kind == "text/html" else text[: 4 * LONGEST_MESSAGE]
    return f"an answer of type {kind}"


def page_words(page: str) -> str:
    """Return a web page's title, or its text without tags."""
    title = re.search(r"<title[^>]{0,200}>([^<]{1,300})", page, re.IGNORECASE)
    return title[1].strip() if title else re.sub(r"<[^<>]{0,1000}>", " ", page)


def _decode(body: bytes, *, refusal: bool) -> tuple[int, str] | None:
    """Return number and text of an answer's message; None if it can't be decoded. Two types cover all answers.

    success   Export<Signal>ServiceResponse {1 = partial_success {1 = rejected number, 2 = message}}, the same for every signal
    refusal   google.rpc.Status {1 = code, 2 = message, 3 = details}, encoded like a partial success, whose 1 and 2 they are
    """
    # Most answers are empty, and the protobuf classes take memory: loaded only where needed.
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as pb  # noqa: PLC0415

    try:
        found = pb.ExportLogsPartialSuccess.FromString(body) if refusal else pb.ExportLogsServiceResponse.FromString(body).partial_success
    except DecodeError:
        return None
    return found.rejected_log_records, found.error_message


def _kind(response: Response) -> str:
    return (response.header("content-type") or "").partition(";")[0].strip().lower() or "no content type"


def _is_protobuf(response: Response) -> bool:
    return _kind(response) in {"application/x-protobuf", "application/protobuf", "application/octet-stream", "no content type"}


def retry_after(response: Response, now: float) -> float | None:
    """Return the seconds of either form of `Retry-After` (RFC 9110 section 10.2.3); None if there is no valid one.

    A date is compared with the answer's own `Date` where there is one, so that our clock does not matter.
    """
    value = (response.header("retry-after") or "").strip()
    if value.isascii() and value.isdigit():
        return float(value) if len(value) <= _DIGITS else None
    until = _http_date(value)
    if until is None:
        return None
    sent = _http_date(response.header("date") or "")
    return until - (now if sent is None else sent)


def _http_date(text: str) -> float | None:
    if not text:
        return None
    import email.utils  # noqa: PLC0415 - as above: few answers ask for a delay

    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Make a server's message fit for a log: one line, bounded, without control characters and without the client's credentials."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 8 * LONGEST_MESSAGE]).split())
    line = mask_url(line)
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"
