"""HTTP probe: one request on a new connection, and expectations of its answer.

It follows no redirect: a redirect is an answer, expected or not. It connects to no link-local or metadata address unless that is allowed. Of the
answer only a redirect's location is shown, no body and no other header. Metrics have the names and meanings of blackbox_exporter's.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator

from agent.component import ComponentConfig, Context, ProbeResult
from agent.metrics import Kind, Metric, Observation
from agent.net.addresses import probe_objection
from agent.net.body_text import body_text
from agent.net.errors import NetworkError
from agent.net.expect import Failure, StatusClass, check_expiry, check_headers, check_json, check_status, check_text
from agent.net.headers import Headers  # noqa: TC001 - pydantic reads the annotation
from agent.net.http_client import HttpClient
from agent.net.message import Request, Response, parse_url
from agent.net.tls import TlsOptions
from agent.options import HttpUrl, Interval, OptionError, Size, mask_url
from agent.parse.patterns import Pattern  # noqa: TC001 - as above
from agent.sources.probes.figures import DNS_TIME, FAILED_BY_REGEX, IP_PROTOCOL, tls_figures

if TYPE_CHECKING:
    from collections.abc import Iterable

STATUS: Final = Metric("probe_http_status_code", Kind.GAUGE, "", "Status of the answer; 0 without one.")
PHASE: Final = Metric("probe_http_duration_seconds", Kind.GAUGE, "s", "How long each phase of the request took.")
LENGTH: Final = Metric("probe_http_content_length", Kind.GAUGE, "", "The answer's Content-Length; -1 without one.")
BODY_LENGTH: Final = Metric("probe_http_uncompressed_body_length", Kind.GAUGE, "", "Length of the answer's body after decompression.")
SSL: Final = Metric("probe_http_ssl", Kind.GAUGE, "", "Whether the answer came over TLS.")
VERSION: Final = Metric("probe_http_version", Kind.GAUGE, "", "HTTP version of the answer.")
REDIRECTS: Final = Metric("probe_http_redirects", Kind.GAUGE, "", "Redirects that were followed: always 0.")


def _askable(url: str) -> str:
    try:
        parse_url(url)
    except ValueError as error:
        raise OptionError(
            f"is {error}" if str(error).startswith("not") else str(error), "write it as in http://127.0.0.1:8080/health"
        ) from error
    return url


class HttpProbeConfig(ComponentConfig):
    """The request and the expected answer."""

    url: Annotated[HttpUrl, AfterValidator(_askable)]
    """The URL. Its user, its password and values of its query with names such as `token` are sent, but shown nowhere."""
    method: Literal["GET", "HEAD", "POST", "OPTIONS"] = "GET"
    """The method. With POST the body is `body`, which may be empty."""
    headers: Headers = {}  # noqa: RUF012 - pydantic copies it
    """Headers of the request. Values are secrets: take them from the environment, or each from a file, as in `Authorization_file: /run/secrets/token`."""
    body: str = ""
    """The body of the request."""
    timeout: Interval = 5.0
    """Longest time of one check."""
    tls: TlsOptions = TlsOptions()
    """TLS options for https."""
    status: tuple[StatusClass, ...] = ("2xx",)
    """Accepted statuses (`204`) and classes of them (`2xx`)."""
    body_matches: Pattern | None = None
    """A pattern that must be found in the body."""
    body_not_matches: Pattern | None = None
    """A pattern that must not be found in the body."""
    header_matches: dict[str, Pattern] = {}  # noqa: RUF012 - pydantic copies it
    """Header → pattern that must be found in its value."""
    json_equals: dict[str, bool | int | float | str | None] = {}  # noqa: RUF012 - pydantic copies it
    """Path in the JSON body, as in `checks.0.status` → expected value."""
    json_younger_than: dict[str, Interval] = {}  # noqa: RUF012 - pydantic copies it
    """Path of a time in the JSON body (ISO 8601 or Unix) → its greatest age. So a service that answers but makes no progress is down."""
    certificate_valid_for: Interval | None = None
    """Fail if the server's certificate expires within this time, as in `7d`."""
    allow_link_local: bool = False
    """Allow link-local addresses and those of cloud metadata."""
    max_body: Size = 1 << 20
    """Fail if the body is longer than this."""


class HttpProbe:
    """The probe."""

    Config: ClassVar = HttpProbeConfig

    def __init__(self, config: HttpProbeConfig, context: Context) -> None:
        self._config = config
        self._clock = context.clock
        self._client = HttpClient(tls=config.tls, keep_alive=False, objection=None if config.allow_link_local else probe_objection)
        self.target = mask_url(config.url)

    async def probe(self) -> ProbeResult:
        """Send one request."""
        config = self._config
        headers = {name: value.get_secret_value() for name, value in config.headers.items()}
        request = Request(config.method, config.url, headers, config.body.encode())
        try:
            response = await self._client.send(request, deadline=config.timeout, max_body=config.max_body)
        except NetworkError as error:
            return ProbeResult(success=False, reason=str(error), observations=_no_answer(error.status))
        failure = judge(config, response, self._clock.wall_ns())
        observations = tuple(_figures(response, failure))
        return ProbeResult(success=failure is None, reason=failure.reason if failure else "", observations=observations)

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


def judge(config: HttpProbeConfig, response: Response, now_ns: int) -> Failure | None:
    """Return the first expectation that is not met."""
    text = body_text(response)
    expires = response.tls.not_after if response.tls else None
    return (
        check_status(response.status, config.status, response.header("location") or "")
        or check_headers(response.headers, config.header_matches)
        or check_text("the body", text, config.body_matches, config.body_not_matches)
        or check_json(text, config.json_equals, config.json_younger_than, now_ns)
        or check_expiry(expires, config.certificate_valid_for, now_ns / 1e9)
    )


def _no_answer(status: int | None) -> tuple[Observation, ...]:
    return (Observation(STATUS, status or 0), Observation(FAILED_BY_REGEX, 0))


def _figures(response: Response, failure: Failure | None) -> Iterable[Observation]:
    yield Observation(STATUS, response.status)
    yield Observation(LENGTH, _content_length(response))
    yield Observation(BODY_LENGTH, len(response.body))
    yield Observation(SSL, float(response.tls is not None))
    yield Observation(VERSION, float(response.http_version))
    yield Observation(REDIRECTS, 0)
    yield Observation(FAILED_BY_REGEX, float(failure is not None and failure.by_pattern))
    yield Observation(IP_PROTOCOL, 6 if response.peer.startswith("[") else 4)
    yield Observation(DNS_TIME, response.phases.resolve)
    yield from (Observation(PHASE, seconds, {"phase": phase}) for phase, seconds in asdict(response.phases).items())
    if response.tls is not None:
        yield from tls_figures(response.tls)


def _content_length(response: Response) -> int:
    text = response.header("content-length") or ""
    return int(text) if text.isascii() and text.isdigit() else -1
