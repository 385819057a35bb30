"""Delivers envelopes to a Sentry project: sentry.io, self-hosted, Bugsink, GlitchTip. One row, one POST.

The stored bytes are sent with three additions that are known only now: `sent_at`, the destination's own release and environment if it has
any, and a client report of what was dropped on the way. A 413 is answered by trimming. A limited category waits: errors
for `hold`, the rest is useless later and is dropped, counted and reported.
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from agent import __version__
from agent.component import Accepted, ComponentConfig, Context
from agent.crash import crash_point
from agent.errors import PausedError, RejectedError, RetryableError, TooLargeError
from agent.exporters.advice import advised, of_failure, of_status
from agent.exporters.otlp_answer import PASSING, REFUSES_US, retry_after, scrub, wants_tls
from agent.exporters.sentry_dsn import parse_dsn
from agent.exporters.sentry_limits import EVERYTHING, UNSPECIFIED, RateLimits, read_limits
from agent.exporters.sentry_losses import Attempt, Losses
from agent.issues.envelope.format import Envelope, EnvelopeError, decode, encode, json_item, make, relabel, seal, timestamp
from agent.issues.envelope.items import client_report
from agent.issues.envelope.names import changes, environment, environment_of, release, release_of
from agent.issues.envelope.trim import fit, steps
from agent.metrics import Kind, Metric
from agent.names import SERVICE_NAME
from agent.net.http_client import HttpClient, NetworkError, Request, Response, TlsOptions
from agent.net.proxy import ProxyUrl, chooser
from agent.options import Duration, Interval, Secret, Size  # noqa: TC001 - pydantic reads them
from agent.record import Row, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.record import Value

MIB: Final = 1024 * 1024
CLIENT: Final = f"outrider/{__version__}"
SIGNALS: Final = frozenset({Signal.SENTRY_ERROR, Signal.SENTRY_MONITOR, Signal.SENTRY_SESSION, Signal.SENTRY_LOG, Signal.SENTRY_REPORT})
RETRYABLE: Final = frozenset({502, 503, 504, *PASSING})
TEXT: Final = "outrider check: a test event"
HELD: Final = frozenset({Signal.SENTRY_ERROR, Signal.SENTRY_REPORT})
"""Signals that wait while they are limited."""

REQUESTS: Final = Metric(
    "outrider.sentry.requests",
    Kind.COUNTER,
    "{request}",
    "Envelopes by category and by HTTP status, kind of failure, or why it was not sent.",
)


def _dsn(value: Secret) -> Secret:
    parse_dsn(value.get_secret_value())
    return value


class SentryConfig(ComponentConfig):
    """Options of the `sentry` exporter: where errors, check-ins, sessions and Sentry logs go. What becomes an error stands under `errors`."""

    dsn: Annotated[Secret, AfterValidator(_dsn)]
    """The project's DSN, also with a path before the project. From the environment: `SENTRY_DSN`."""
    environment: str = ""
    """The environment that Sentry shows; else the resource's `deployment.environment.name`. From the environment: `SENTRY_ENVIRONMENT`.

    Sentry accepts no `/` and no line end in it, at most 64 bytes, and not `none`: another one is changed, as `outrider check` reports."""
    release: str = ""
    """The release that Sentry shows; else `service.name@service.version`. From the environment: `SENTRY_RELEASE`.

    Sentry accepts no `/`, `\\`, tab and line end in it, at most 200 bytes, and not `latest`: another one is changed, as `outrider check` reports."""
    services: tuple[str, ...] = ()
    """Only what is about these services (`service.name`) goes to this project; none = all."""
    timeout: Interval = 10.0
    """Longest time of one attempt, everything included."""
    hold: Duration = 3600.0
    """How long errors wait while the project's rate limit forbids them; then they become dead letters. 0 drops them at once."""
    max_envelope_size: Size = Field(default=20 * MIB, gt=0)
    """Larger envelopes, before compression, are trimmed first."""
    tls: TlsOptions = TlsOptions()
    """For https DSNs."""
    proxy_url: ProxyUrl | None = None
    """A proxy that all requests go through, as in `http://user:password@proxy:3128`; `direct` for none. Without it, what `HTTPS_PROXY`, `HTTP_PROXY`,
    `ALL_PROXY` and `NO_PROXY` say."""


class Sentry:
    """The exporter."""

    Config: ClassVar = SentryConfig

    def __init__(self, config: SentryConfig, context: Context) -> None:
        self.signals = SIGNALS
        self._config = config
        self._context = context
        self._dsn = parse_dsn(config.dsn.get_secret_value())
        self._clients = {signal: HttpClient(tls=config.tls, user_agent=CLIENT, proxies=chooser(config.proxy_url)) for signal in SIGNALS}
        self._limits = RateLimits()
        self._losses: Losses | None = None
        """Read back at the first row."""

    async def export(self, row: Row) -> Accepted:
        """Send one envelope; see the contract. What was dropped on the way is settled with the row."""
        losses = await self._account()
        losses.note_evicted(await self._context.evicted())
        attempt = Attempt()
        try:
            accepted = await self._export(row, attempt)
        except RejectedError as error:
            error.positions = losses.settle(row.signal, attempt)
            raise
        except BaseException:
            losses.abandon(attempt)
            raise
        return replace(accepted, positions=losses.settle(row.signal, attempt))

    @property
    def labels(self) -> dict[str, str]:
        """Release and environment, where they are configured."""
        given = {"release": self._config.release, "environment": self._config.environment}
        return {key: value for key, value in given.items() if value}

    def doubts(self) -> list[str]:
        """Release and environment that Sentry would discard, and what is sent instead."""
        config, resource = self._config, self._context.resource
        return list(changes(config.release or release_of(resource), config.environment or environment_of(resource)))

    async def check(self) -> str:
        """Send a test event as the workload's, or, to a project that takes only others, as the first of those; say what came of it."""
        own = self._context.resource.get(SERVICE_NAME, "")
        service = own if self._takes(own) else self._config.services[0]
        accepted = await self._export(check_row(service, self._context.clock.wall_ns()), Attempt())
        if accepted.rejected:
            raise RejectedError(f"refused: {accepted.message}")
        return "took the test event" if service == own else f"took the test event of {service}; what is about {own} does not go there"

    async def _account(self) -> Losses:
        if self._losses is None:
            stored = await self._context.positions()
            self._losses = self._losses or Losses(stored)  # another sender may have been quicker
        return self._losses

    def _takes(self, service: str) -> bool:
        return not self._config.services or service in self._config.services

    async def _export(self, row: Row, attempt: Attempt) -> Accepted:
        category = category_of(row)
        envelope = self._prepare(row)
        if not self._takes(envelope.service):
            self._count(category, "other_service")
            return Accepted()
        if wait := self._limits.remaining(category, self._now()):
            self._count(category, "rate_limited")
            return self._hold(row, wait, attempt)
        return await self._deliver(row, envelope, attempt)

    async def close(self) -> None:
        """Drop the kept connections."""
        for client in self._clients.values():
            await client.close()

    async def _deliver(self, row: Row, envelope: Envelope, attempt: Attempt) -> Accepted:
        """Send it, and what trimming leaves of it while it is too large."""
        category = category_of(row)
        whole = self._allowed(envelope)
        attempt.dropped["ratelimit_backoff", "attachment"] += attachments(envelope) - attachments(whole)
        for smaller in self._sizes(whole):
            response = await self._post(row.signal, smaller, attempt)
            self._note_limits(response)
            if response.status != 413:
                attempt.dropped["send_error", "attachment"] += attachments(whole) - attachments(smaller)
                return self._settle(row, category, response, attempt)
        attempt.dropped["send_error", category] += row.records
        raise TooLargeError("HTTP 413: too large for Sentry, even when trimmed")

    def _sizes(self, envelope: Envelope) -> Iterator[Envelope]:
        envelope = fit(envelope, self._config.max_envelope_size)
        yield envelope
        yield from steps(envelope)

    def _prepare(self, row: Row) -> Envelope:
        try:
            envelope = decode(zlib.decompress(row.body, wbits=31))
        except EnvelopeError as error:
            raise RejectedError(f"no envelope: {error}") from error
        return relabel(envelope, release(self._config.release), environment(self._config.environment))

    def _allowed(self, envelope: Envelope) -> Envelope:
        """Without the attachments, while those are limited."""
        if not self._limits.remaining("attachment", self._now()):
            return envelope
        return Envelope(envelope.headers, [item for item in envelope.items if item.type != "attachment"])

    async def _post(self, signal: Signal, envelope: Envelope, attempt: Attempt) -> Response:
        body = zlib.compress(encode(self._sealed(signal, envelope, attempt)), level=6, wbits=31)
        headers = {
            "Content-Type": "application/x-sentry-envelope",
            "Content-Encoding": "gzip",
            "X-Sentry-Auth": self._dsn.authorization(CLIENT),
        }
        try:
            response = await self._clients[signal].send(
                Request("POST", self._dsn.url, headers, body), deadline=self._config.timeout, sent=_sent
            )
        except NetworkError as error:
            self._count(signal.value.partition(".")[2], error.kind.value)
            reason = scrub(f"{self._dsn.url}: {error}", self._secrets())
            raise RetryableError(advised(reason, of_failure(error, self._dsn.url))) from error
        attempt.taken = 200 <= response.status < 300
        return response

    def _sealed(self, signal: Signal, envelope: Envelope, attempt: Attempt) -> Envelope:
        """The envelope with the time of sending, and the report of what was dropped (a report carries no other)."""
        now_ns = self._context.clock.wall_ns()
        sealed = seal(envelope, timestamp(now_ns))
        if self._losses is None or signal is Signal.SENTRY_REPORT or not self._losses.reserve(attempt):
            return sealed
        return Envelope(sealed.headers, [*sealed.items, client_report(now_ns, attempt.reported)])

    def _note_limits(self, response: Response) -> None:
        now = self._now()
        header = ",".join(value for name, value in response.headers if name == "x-sentry-rate-limits")
        limits = list(read_limits(header)) if header else []
        if response.status == 429 and not limits:
            asked = retry_after(response, self._context.clock.wall_ns() / 1e9)
            limits = [(EVERYTHING, UNSPECIFIED if asked is None or asked <= 0 else asked)]
        for category, seconds in limits:
            self._limits.note(category, seconds, now)

    def _settle(self, row: Row, category: str, response: Response, attempt: Attempt) -> Accepted:
        """Return or raise for an answer as the contract says."""
        self._count(category, str(response.status))
        if 200 <= response.status < 300:
            self._limits.taken(category, self._now())
            return Accepted()
        reason = scrub(f"{self._dsn.url}: HTTP {response.status}: {_reason(response)}".rstrip(": "), self._secrets())
        reason = advised(reason, of_status(response.status, "the DSN's key", "the DSN's host and project"))
        if response.status == 429:
            return self._hold(row, self._limits.remaining(category, self._now()) or UNSPECIFIED, attempt)
        if response.status in RETRYABLE:
            raise RetryableError(reason, after=retry_after(response, self._context.clock.wall_ns() / 1e9))
        if response.status in REFUSES_US or 300 <= response.status < 400 or wants_tls(response):
            raise PausedError(reason)
        attempt.dropped["send_error", category] += row.records
        raise RejectedError(reason)

    def _hold(self, row: Row, wait: float, attempt: Attempt) -> Accepted:
        """Keep a limited row, or give it up."""
        category = category_of(row)
        reason = f"rate limited for {wait:.0f} s more: {category}"
        hold = self._config.hold if row.signal in HELD else 0.0
        if wait <= hold and self._limits.limited_for(category, self._now()) <= hold:
            raise RetryableError(reason, after=wait)
        attempt.dropped["ratelimit_backoff", category] += row.records
        if row.signal is Signal.SENTRY_ERROR:
            raise RejectedError(reason)
        return Accepted(row.records, reason)

    def _secrets(self) -> tuple[str, ...]:
        return tuple(filter(None, (self._dsn.key, self._dsn.secret)))

    def _now(self) -> float:
        return self._context.clock.monotonic()

    def _count(self, category: str, outcome: str) -> None:
        self._context.metrics.add(REQUESTS, 1, {"destination": self._context.name, "category": category, "outcome": outcome})


def _sent() -> None:
    crash_point("delivery.after_send")


def attachments(envelope: Envelope) -> int:
    """How many there are."""
    return sum(item.type == "attachment" for item in envelope.items)


def check_row(service: str, now_ns: int) -> Row:
    """A row with a test event."""
    event_id = uuid.uuid4().hex
    event: dict[str, Value] = {"event_id": event_id, "timestamp": timestamp(now_ns), "level": "info", "platform": "other", "message": TEXT}
    body = make([json_item("event", event)], service=service, event_id=event_id)
    return Row(0, Signal.SENTRY_ERROR, "check", 1, zlib.compress(body, wbits=31), len(body), now_ns)


def category_of(row: Row) -> str:
    """Sentry's data category of a row."""
    return row.signal.value.partition(".")[2]


def _reason(response: Response) -> str:
    said = response.header("x-sentry-error")
    return said or response.body[:1000].decode("utf-8", "replace")
