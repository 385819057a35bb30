"""TCP probe: connect, perhaps with TLS, perhaps say something and expect something. Metrics are blackbox_exporter's."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Annotated, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

from agent.component import ComponentConfig, Context, ProbeResult
from agent.metrics import Observation
from agent.net.connect import connect
from agent.net.expect import Failure, check_expiry
from agent.net.guard import GuardedResolver
from agent.net.message import ErrorKind, HttpError, TlsInfo
from agent.net.tls import TlsOptions, describe, explain, shared_context
from agent.options import Interval, OptionError
from agent.parse.patterns import Pattern, compile_pattern
from agent.sources.probes.figures import DNS_TIME, EXPIRY, FAILED_BY_REGEX, IP_PROTOCOL, TLS_VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

READ_LIMIT: Final = 64 * 1024
"""Bytes that an expected answer may begin with."""


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
    """Where to connect to, and what to say and expect there."""

    url: TcpUrl
    """`tcp://host:port`."""
    timeout: Interval = 5.0
    """After which the look has failed."""
    send: str = ""
    """Said once the connection stands; `\\r\\n` and the like as YAML writes them in double quotes."""
    expect: Pattern | None = None
    """Must be found in the first 64 KiB of what the server says."""
    tls: TlsOptions | None = None
    """Speak TLS; `{}` for the defaults."""
    certificate_valid_for: Interval | None = None
    """Fail when the server's certificate expires sooner than that, as in `7d`."""
    allow_link_local: bool = False
    """Allow link-local and cloud metadata addresses."""


class TcpProbe:
    """The probe."""

    Config: ClassVar = TcpProbeConfig

    def __init__(self, config: TcpProbeConfig, context: Context) -> None:
        self._config = config
        self._clock = context.clock
        self._resolver = GuardedResolver(allow_link_local=config.allow_link_local)
        self._tls = shared_context(config.tls) if config.tls else None
        parts = urlsplit(config.url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self.target = config.url

    async def probe(self) -> ProbeResult:
        """Connect once."""
        seen = _Seen()
        try:
            async with asyncio.timeout(self._config.timeout):
                failure = await self._look(seen)
        except TimeoutError:
            failure = Failure(f"not done within {self._config.timeout:g} s, {seen.doing}")
        except (HttpError, OSError) as error:
            failure = Failure(str(error) or type(error).__name__)
        return ProbeResult(success=failure is None, reason=failure.reason if failure else "", observations=tuple(seen.figures(failure)))

    async def close(self) -> None:
        """Nothing is held between looks."""

    async def _look(self, seen: _Seen) -> Failure | None:
        async with self._connected(seen) as (reader, writer):
            if self._config.send:
                seen.doing = "sending"
                writer.write(self._config.send.encode())
                await writer.drain()
            seen.doing = "waiting for the answer"
            missing = None if self._config.expect is None else await _expect(reader, self._config.expect)
        expires = seen.tls.not_after if seen.tls else None
        return missing or check_expiry(expires, self._config.certificate_valid_for, self._clock.wall_ns() / 1e9)

    @contextlib.asynccontextmanager
    async def _connected(self, seen: _Seen) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        start = time.monotonic()
        addresses = await self._resolver.resolve(self._host, self._port)
        seen.resolved = time.monotonic() - start
        seen.doing = "connecting"
        sock, address = await connect(addresses)
        seen.protocol = 6 if ":" in address.sockaddr[0] else 4
        try:
            context = self._tls.get() if self._tls else None
            name = ((self._config.tls.server_name if self._config.tls else None) or self._host) if context else None
            seen.doing = "in the TLS handshake" if context else seen.doing
            reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=name)
        except OSError as error:
            sock.close()
            raise HttpError(ErrorKind.TLS, explain(error)) from error
        except BaseException:
            sock.close()
            raise
        try:
            security = writer.get_extra_info("ssl_object")
            seen.tls = describe(security) if security else None
            yield reader, writer
        finally:
            writer.transport.abort()


class _Seen:
    """How far a look came."""

    def __init__(self) -> None:
        self.doing = "resolving"
        self.resolved: float | None = None
        self.protocol: int | None = None
        self.tls: TlsInfo | None = None

    def figures(self, failure: Failure | None) -> Iterable[Observation]:
        yield Observation(FAILED_BY_REGEX, float(failure is not None and failure.by_pattern))
        if self.resolved is not None:
            yield Observation(DNS_TIME, self.resolved)
        if self.protocol is not None:
            yield Observation(IP_PROTOCOL, self.protocol)
        if self.tls is not None:
            yield Observation(TLS_VERSION, 1, {"version": self.tls.version})
            if self.tls.not_after is not None:
                yield Observation(EXPIRY, self.tls.not_after)


async def _expect(reader: asyncio.StreamReader, pattern: str) -> Failure | None:
    """Read until the pattern is found, the server has ended, or it has said too much."""
    wanted, said = compile_pattern(pattern), bytearray()
    while len(said) < READ_LIMIT:
        piece = await reader.read(4096)
        said += piece
        if wanted.search(said.decode("utf-8", "replace")):
            return None
        if not piece:
            return Failure(f"the server ended without saying {pattern!r}", by_pattern=True)
    return Failure(f"the server's first {READ_LIMIT // 1024} KiB do not match {pattern!r}", by_pattern=True)
