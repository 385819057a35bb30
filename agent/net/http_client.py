"""A small HTTP/1.1 client over h11: one request at a time per connection, one idle connection kept per origin.

Whatever the server does: the deadline covers everything (resolve, connect, TLS, send, receive), so that a drip of bytes does not extend it. The
answer is bounded, compressed and decompressed. A redirect is an answer like any other and is never followed, so credentials never reach
another host. Cancellation at any point leaves no socket behind. A proxy (see `proxy`) gets CONNECT for https and the whole URL for http; its
own failures are reported as the proxy's, not as the server's.

    idle connection? ── yes ──▶ exchange ── broken before the first byte of an answer? ──▶ once more, on a new connection
          └── no ──▶ dial ──▶ exchange ──▶ whole answer, may be kept? ──▶ idle, else aborted
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from agent import __version__
from agent.net.dial import Dialer
from agent.net.errors import ErrorKind, NetworkError
from agent.net.http_exchange import Exchange, HttpConnection
from agent.net.message import Request, Response, parse_url
from agent.net.tls import TlsOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.net.message import ParsedUrl
    from agent.net.proxy import Chooser, Proxy

__all__ = ["ErrorKind", "HttpClient", "NetworkError", "Request", "Response", "TlsOptions"]

MAX_BODY: Final = 4 * 1024 * 1024
"""Default bound of an answer's body in bytes, compressed and decompressed (OTLP specification, "OTLP/HTTP Response")."""
USER_AGENT: Final = f"outrider/{__version__}"
ALPN: Final = ("http/1.1",)


class HttpClient:
    """Sends requests. It is bound to an event loop by the first one; `close` may be called at any time, and twice."""

    def __init__(
        self,
        *,
        tls: TlsOptions | None = None,
        keep_alive: bool = True,
        user_agent: str = USER_AGENT,
        objection: Callable[[str], str | None] | None = None,
        proxies: Chooser | None = None,
    ) -> None:
        """`objection` returns why an IP address is forbidden, or None; `proxies` chooses the proxy of a request, without it there is none."""
        self._dialer = Dialer(tls=tls, alpn=ALPN, objection=objection)
        self._keep_alive = keep_alive
        self._user_agent = user_agent
        self._proxies = proxies
        self._idle: dict[tuple[bool, str, int], HttpConnection] = {}

    async def send(
        self, request: Request, *, deadline: float, max_body: int = MAX_BODY, sent: Callable[[], None] = lambda: None
    ) -> Response:
        """Send a request and return the whole answer, within `deadline` seconds in total.

        `sent` is called once the request is handed to the operating system. Raises NetworkError; ValueError if the URL or a header is unfit.
        """
        job = Exchange(parse_url(request.url), request, max_body, sent)
        try:
            async with asyncio.timeout(deadline):
                return await self._send(job)
        except TimeoutError:
            raise job.error(ErrorKind.TIMEOUT, f"no answer within {deadline:g} s, {job.progress.doing}") from None

    def tls_trouble(self) -> str:
        """Return why the configured certificates, keys or authorities can't be used; "" if they can."""
        return self._dialer.tls_trouble()

    async def close(self) -> None:
        """Drop the idle connections."""
        while self._idle:
            self._idle.popitem()[1].abort()
        await asyncio.sleep(0)  # lets the loop close the sockets

    async def _send(self, job: Exchange) -> Response:
        kept = self._take_idle(job.target)
        if kept is not None:
            try:
                return await self._exchange(kept, job)
            except NetworkError as error:
                # Most likely the server closed it just as we wrote. To send again is safe: requests are the same bytes with the same id.
                if error.kind is not ErrorKind.RESET or job.answering:
                    raise
        return await self._exchange(await self._open(job), job)

    def _take_idle(self, target: ParsedUrl) -> HttpConnection | None:
        connection = self._idle.pop(target.origin, None)
        if connection is None or connection.fit():
            return connection
        connection.abort()
        return None

    async def _open(self, job: Exchange) -> HttpConnection:
        target = job.target
        if self._proxies is not None and (proxy := self._proxies.choose(target)) is not None:
            return await self._open_through(proxy, job)
        return HttpConnection(await self._dialer.dial(target.host, target.port, job.progress, secure=target.secure))

    async def _open_through(self, proxy: Proxy, job: Exchange) -> HttpConnection:
        """Connect to a proxy, and for https through it to the server, with a second TLS inside."""
        target = job.target
        try:
            connection = await self._dialer.dial(proxy.host, proxy.port, job.progress, secure=proxy.secure, name=proxy.host)
        except NetworkError as error:
            raise NetworkError(ErrorKind.PROXY, f"through the proxy {proxy}: {error}") from error
        to_proxy = HttpConnection(connection, proxy)
        if not target.secure:
            return to_proxy
        try:
            with job.progress.phase("connect", f"asking the proxy {proxy} for a tunnel"):
                await to_proxy.tunnel(job)
            await self._dialer.secure(connection, target.host, job.progress)
        except BaseException:
            connection.abort()
            raise
        return HttpConnection(connection)

    async def _exchange(self, connection: HttpConnection, job: Exchange) -> Response:
        keep = False
        try:
            response = await connection.exchange(job, self._head(job))
            keep = connection.reset()
        finally:
            unused = self._idle.pop(job.target.origin, None) if keep else connection
            if keep:
                self._idle[job.target.origin] = connection
            if unused is not None:
                unused.abort()
        return response

    def _head(self, job: Exchange) -> list[tuple[str, str]]:
        request, target = job.request, job.target
        headers = [("Host", target.authority), ("User-Agent", self._user_agent)]
        if request.body or request.method in {"POST", "PUT", "PATCH"}:
            headers.append(("Content-Length", str(len(request.body))))
        if not self._keep_alive:
            headers.append(("Connection", "close"))
        if target.authorization:
            headers.append(("Authorization", target.authorization))
        given = {name.lower() for name in request.headers}
        return [pair for pair in headers if pair[0].lower() not in given] + list(request.headers.items())
