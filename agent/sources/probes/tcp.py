"""TCP probe: connect, with TLS if configured; send a text and expect a pattern, if configured. Metrics have blackbox_exporter's names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

from agent.component import ComponentConfig, Context, ProbeResult
from agent.metrics import Observation
from agent.net.addresses import probe_objection
from agent.net.dial import Dialer
from agent.net.errors import NetworkError
from agent.net.expect import Failure, check_expiry
from agent.net.progress import Progress
from agent.net.tls import TlsOptions  # noqa: TC001 - pydantic reads the annotation
from agent.options import Interval, OptionError
from agent.parse.patterns import Pattern, compile_pattern
from agent.sources.probes.figures import DNS_TIME, FAILED_BY_REGEX, IP_PROTOCOL, tls_figures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.net.connection import Connection

READ_LIMIT: Final = 64 * 1024
"""Bytes of an answer that are searched."""


def _tcp_url(value: str) -> str:
    fix = "write tcp://host:port"
    try:
        parts = urlsplit(value)
        complete = parts.scheme == "tcp" and bool(parts.hostname) and bool(parts.port) and parts.username is None
    except ValueError:
        complete = False
    if not complete or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise OptionError("is not the address of a TCP server", fix)
    return value


TcpUrl = Annotated[str, AfterValidator(_tcp_url)]
"""`tcp://host:port`."""


class TcpProbeConfig(ComponentConfig):
    """The server, and what to send and expect."""

    url: TcpUrl
    """`tcp://host:port`."""
    timeout: Interval = 5.0
    """Longest time of one check."""
    send: str = ""
    """Text to send; write `\\r\\n` and similar characters in double quotes."""
    expect: Pattern | None = None
    """A pattern that must be found in the first 64 KiB that the server sends."""
    tls: TlsOptions | None = None
    """TLS options; `{}` for TLS with the defaults. Without them there is no TLS."""
    certificate_valid_for: Interval | None = None
    """Fail if the server's certificate expires within this time, as in `7d`."""
    allow_link_local: bool = False
    """Allow link-local addresses and those of cloud metadata."""


class TcpProbe:
    """The probe."""

    Config: ClassVar = TcpProbeConfig

    def __init__(self, config: TcpProbeConfig, context: Context) -> None:
        self._config = config
        self._clock = context.clock
        self._dialer = Dialer(tls=config.tls, objection=None if config.allow_link_local else probe_objection)
        parts = urlsplit(config.url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self.target = config.url

    async def probe(self) -> ProbeResult:
        """Connect once."""
        progress, connection = Progress(), None
        try:
            async with asyncio.timeout(self._config.timeout):
                connection = await self._dialer.dial(self._host, self._port, progress, secure=self._config.tls is not None)
                failure = await self._talk(connection, progress)
        except TimeoutError:
            failure = Failure(f"not done within {self._config.timeout:g} s, {progress.doing}")
        except (NetworkError, OSError) as error:
            failure = Failure(str(error) or type(error).__name__)
        finally:
            if connection is not None:
                connection.abort()
        observations = tuple(_figures(progress, connection, failure))
        return ProbeResult(success=failure is None, reason=failure.reason if failure else "", observations=observations)

    async def close(self) -> None:
        """Nothing is held between two probes."""

    async def _talk(self, connection: Connection, progress: Progress) -> Failure | None:
        """Send, wait for the expected answer, and check the certificate."""
        connection.transport.write(self._config.send.encode())
        progress.doing = "waiting for the answer"
        missing = None if self._config.expect is None else await _expect(connection, self._config.expect)
        expires = connection.tls.not_after if connection.tls else None
        return missing or check_expiry(expires, self._config.certificate_valid_for, self._clock.wall_ns() / 1e9)


async def _expect(connection: Connection, pattern: str) -> Failure | None:
    """Read until the pattern is found, the server closes, or the limit is reached."""
    wanted, said = compile_pattern(pattern), bytearray()
    while len(said) < READ_LIMIT:
        piece = await connection.receive()
        said += piece
        if wanted.search(said[:READ_LIMIT].decode("utf-8", "replace")):
            return None
        if not piece:
            return Failure(f"the server closed without sending {pattern!r}", by_pattern=True)
    return Failure(f"the server's first {READ_LIMIT // 1024} KiB do not match {pattern!r}", by_pattern=True)


def _figures(progress: Progress, connection: Connection | None, failure: Failure | None) -> Iterable[Observation]:
    yield Observation(FAILED_BY_REGEX, float(failure is not None and failure.by_pattern))
    if progress.phases.resolve:
        yield Observation(DNS_TIME, progress.phases.resolve)
    if progress.ip_version:
        yield Observation(IP_PROTOCOL, progress.ip_version)
    if connection is not None and connection.tls is not None:
        yield from tls_figures(connection.tls)
