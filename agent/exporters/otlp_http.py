"""Delivers rows over OTLP/HTTP with protobuf. Each row is one POST, and its stored bytes are the body.

Sends logs, metrics and traces. Never follows a redirect, never sends more than `max_request_size`, never waits longer than `timeout` in
total. If the server is away, slow or full, the host keeps the row and tries again. `otlp_answer` gives the meaning of each answer.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, Field, model_validator

from agent import __version__
from agent.component import Accepted, ComponentConfig, Context
from agent.crash import crash_point
from agent.errors import PausedError, RejectedError, RetryableError, TooLargeError
from agent.exporters.advice import advised, of_failure, of_status
from agent.exporters.otlp_answer import ACCEPTING, Answer, Outcome, Policy, read_answer, read_failure, scrub
from agent.exporters.otlp_environment import OWN_HEADERS
from agent.metrics import Kind, Metric
from agent.net.errors import ErrorKind
from agent.net.headers import checked
from agent.net.http_client import HttpClient, NetworkError, Request, TlsOptions
from agent.net.message import ForeignError, parse_url
from agent.net.proxy import ProxyUrl, chooser
from agent.options import HttpUrl, Interval, OptionError, Secret, Size, mask_url
from agent.record import Row, Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MIB: Final = 1024 * 1024
USER_AGENT: Final = f"outrider/{__version__} OTel-OTLP-Exporter-Python/{__version__}"
"""The product, then the exporter (protocol/exporter.md, "User Agent")."""

CREDENTIALS: Final = "the credentials in headers (OTEL_EXPORTER_OTLP_HEADERS)"
GRPC_PORT: Final = 4317
OF_GRPC: Final = "looks like gRPC; OTLP/HTTP is usually 4318"
_SIGNAL_PATH: Final = re.compile(r"/v1/(logs|metrics|traces)/*\Z")

REQUESTS: Final = Metric(
    "outrider.otlp.requests", Kind.COUNTER, "{request}", "OTLP requests by outcome and by HTTP status or kind of failure."
)


OtlpHeaders = Annotated[dict[str, Secret], checked(OWN_HEADERS, "exporter")]
Compression = Literal["gzip", "none"]


def _endpoint(url: str) -> str:
    try:
        parse_url(url)
    except ValueError as error:
        raise OptionError(str(error), "write an absolute URL, as in http://localhost:4318") from error
    return url


Endpoint = Annotated[HttpUrl, AfterValidator(_endpoint)]


class SignalOptions(ComponentConfig):
    """Options of one signal; those that are left out are as for all signals."""

    endpoint: Endpoint | None = None
    """The whole URL; nothing is appended."""
    headers: OtlpHeaders | None = None
    """Headers instead of the common ones."""
    timeout: Interval | None = None
    """Longest time of one attempt, all steps included."""
    compression: Compression | None = None
    """`gzip` or `none`."""
    tls: TlsOptions | None = None
    """TLS options instead of the common ones."""


class OtlpHttpConfig(ComponentConfig):
    """Options of the `otlp_http` exporter. The standard `OTEL_EXPORTER_OTLP_*` variables mean the same."""

    endpoint: Endpoint | None = None
    """Base URL of the collector; `v1/logs`, `v1/metrics`, `v1/traces` are appended to its path, or replace such an end. Without a port it is the
    scheme's (80, 443), not 4318."""
    signals: tuple[Literal[Signal.LOGS, Signal.METRICS, Signal.TRACES], ...] = Field(default=(Signal.LOGS, Signal.METRICS), min_length=1)
    """Signals to send."""
    headers: OtlpHeaders = Field(default_factory=dict)
    """Headers of every request. Values are secrets: take them from the environment, or each from a file, as in `Authorization_file: /run/secrets/token`."""
    timeout: Interval = 10.0
    """Longest time of one attempt, all steps included: resolving, connecting, TLS, sending, receiving."""
    compression: Compression = "gzip"
    """`gzip` sends the stored bytes; `none` decompresses them first."""
    tls: TlsOptions = TlsOptions()
    """TLS options for https endpoints."""
    proxy_url: ProxyUrl | None = None
    """A proxy for all requests, as in `http://user:password@proxy:3128`; `direct` for none. Without this option `HTTPS_PROXY`, `HTTP_PROXY`,
    `ALL_PROXY` and `NO_PROXY` decide."""
    logs: SignalOptions = SignalOptions()
    """Options for logs only."""
    metrics: SignalOptions = SignalOptions()
    """Options for metrics only."""
    traces: SignalOptions = SignalOptions()
    """Options for traces only."""
    strict: bool = False
    """Take 401, 403, 404, 405, 415, 52x, redirects and similar answers for a final refusal of the data, as the specification has it. By default the
    data is kept, and the exporter pauses or tries again."""
    retry_500: bool = False
    """Try again after 500, which the specification forbids; for servers behind a proxy that answers 500 where it means 503."""
    max_request_size: Size = Field(default=64 * MIB, gt=0)
    """Largest request in bytes, before or after compression. Larger ones are halved."""
    max_response_size: Size = Field(default=4 * MIB, gt=0)
    """Largest answer in bytes. Of a larger one only the status is used."""

    @model_validator(mode="after")
    def _every_signal_has_an_endpoint(self) -> Self:
        missing = [signal.value for signal in self.signals if not (self.endpoint or self.of(signal).endpoint)]
        if missing:
            raise OptionError(
                f"no endpoint for {', '.join(missing)}", "set endpoint, or the signal's own, or leave the signal out of signals"
            )
        return self

    def of(self, signal: Signal) -> SignalOptions:
        """Return the options of one signal."""
        return {Signal.LOGS: self.logs, Signal.METRICS: self.metrics, Signal.TRACES: self.traces}[signal]


def signal_url(base: str, signal: Signal) -> str:
    """Append `v1/<signal>` to the base URL's path (protocol/exporter.md, "Endpoint URLs for OTLP/HTTP").

    A path that already ends so, for any signal, is replaced: no collector has `v1/logs/v1/logs`.
    """
    parts = urlsplit(base)
    path = _SIGNAL_PATH.sub("/", parts.path)
    slash = "" if path.endswith("/") else "/"
    return urlunsplit(parts._replace(path=f"{path}{slash}v1/{signal.value}"))


def endpoint_doubts(config: OtlpHttpConfig) -> Iterator[str]:
    """Yield doubts about endpoints that are valid and perhaps not meant."""
    if config.endpoint and (found := _SIGNAL_PATH.search(urlsplit(config.endpoint).path)):
        yield f"endpoint ends in {found[0]}, which is left out: each signal's path is appended"
    for signal in config.signals:
        own, url = config.of(signal).endpoint, urlsplit(config.of(signal).endpoint or config.endpoint or "")
        other = _SIGNAL_PATH.search(url.path) if own else None
        if other and other[1] != signal:
            yield f"{signal}.endpoint ends in {other[0]}, which is for {other[1]}: OTLP's is usually {mask_url(signal_url(own or '', signal))}"
        if own and url.path in ("", "/"):
            yield f"{signal}.endpoint has no path and is used as it is: OTLP's is usually {mask_url(signal_url(own, signal))}"
        if url.port == GRPC_PORT:
            yield f"{signal} go to {mask_url(own or config.endpoint or '')}, which {OF_GRPC}"


class Route(NamedTuple):
    """The common parts of one signal's requests."""

    url: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]
    """Texts that must not appear in a message."""
    timeout: float
    packed: bool
    client: HttpClient


def make_route(config: OtlpHttpConfig, signal: Signal) -> Route:
    """Combine the common options with the signal's own."""
    own = config.of(signal)
    url = own.endpoint or signal_url(config.endpoint or "", signal)
    packed = (own.compression or config.compression) == "gzip"
    given = {name: value.get_secret_value() for name, value in (config.headers if own.headers is None else own.headers).items()}
    headers = {"Content-Type": "application/x-protobuf", **({"Content-Encoding": "gzip"} if packed else {}), **given}
    client = HttpClient(tls=own.tls or config.tls, user_agent=USER_AGENT, proxies=chooser(config.proxy_url))
    return Route(url, headers, _secrets(given), own.timeout or config.timeout, packed, client)


def _secrets(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the header values, and of `Bearer TOKEN` also the token; values that are too short for a secret are left out."""
    parts = {part for value in headers.values() for part in (value, value.rpartition(" ")[2])}
    return tuple(part for part in parts if len(part) >= 4)


def explained(error: NetworkError, url: str) -> str:
    """Return why no answer came, with a hint at the port where it may help."""
    grpc = isinstance(error, ForeignError) and error.speaks == "HTTP/2"
    silent = error.status is None and error.kind in {ErrorKind.RESET, ErrorKind.PROTOCOL, ErrorKind.TIMEOUT}
    return f"{error} ({OF_GRPC})" if grpc or (silent and urlsplit(url).port == GRPC_PORT) else str(error)


class OtlpHttp:
    """The exporter. Each signal has a client and so a kept connection."""

    Config: ClassVar = OtlpHttpConfig

    def __init__(self, config: OtlpHttpConfig, context: Context) -> None:
        self.signals = frozenset[Signal](config.signals)
        self._config = config
        self._context = context
        self._policy = Policy(config.strict, config.retry_500)
        self._routes = {signal: make_route(config, signal) for signal in self.signals}

    def doubts(self) -> list[str]:
        """Return doubts about endpoints, and certificates that can't be used."""
        unusable = (route.client.tls_trouble() for route in self._routes.values() if route.url.startswith("https"))
        return list(dict.fromkeys([*endpoint_doubts(self._config), *filter(None, unusable)]))

    async def export(self, row: Row) -> Accepted:
        """Send one row; see the contract."""
        route = self._routes[row.signal]
        body = row.body if route.packed else zlib.decompress(row.body, wbits=31)
        if max(row.raw_size, len(body)) > self._config.max_request_size:
            answer = Answer(Outcome.TOO_LARGE, "not_sent", f"over our own limit of {self._config.max_request_size} bytes")
        else:
            answer = await self._post(route, body, row.records)
        self._count(row.signal, answer)
        asked = "" if answer.outcome in ACCEPTING or not answer.message else f"{mask_url(route.url)}: "
        return settle(answer._replace(message=advised(scrub(asked + answer.message, route.secrets), answer.advice)))

    async def close(self) -> None:
        """Close the kept connections."""
        for route in self._routes.values():
            await route.client.close()

    async def _post(self, route: Route, body: bytes, records: int) -> Answer:
        request = Request("POST", route.url, route.headers, body)
        try:
            response = await route.client.send(request, deadline=route.timeout, max_body=self._config.max_response_size, sent=_sent)
        except NetworkError as error:
            answer = read_failure(error, self._policy)
            return answer if error.status else answer._replace(message=explained(error, route.url), advice=of_failure(error, route.url))
        answer = read_answer(response, records, self._policy, self._context.clock.wall_ns() / 1e9)
        return answer._replace(advice=of_status(response.status, CREDENTIALS, "the path of the endpoint, usually /v1/logs or similar"))

    def _count(self, signal: Signal, answer: Answer) -> None:
        labels = {"destination": self._context.name, "signal": signal.value, "outcome": answer.outcome.value, "status": answer.status}
        self._context.metrics.add(REQUESTS, 1, labels)


def _sent() -> None:
    crash_point("delivery.after_send")


def settle(answer: Answer) -> Accepted:
    """Return or raise what the contract asks for this answer."""
    if answer.outcome in ACCEPTING:
        return Accepted(answer.rejected, answer.message)
    if answer.outcome is Outcome.RETRY:
        raise RetryableError(answer.message, after=answer.after)
    raise {Outcome.PAUSED: PausedError, Outcome.TOO_LARGE: TooLargeError}.get(answer.outcome, RejectedError)(answer.message)
