"""A small HTTP/1.1 client over h11: one request at a time per connection, one idle connection kept per origin.

What it holds to, whatever the server does: the deadline is total (resolve, connect, TLS, send, receive: a drip of bytes does not stretch
it); the answer is bounded, packed and unpacked; a redirect is an answer like any other and never followed, so credentials never travel to
another host; cancellation at any point leaves no socket behind. A proxy (see `proxy`) is asked to CONNECT for https, and for the whole URL for
http; what it says for itself is told as its word, not as the server's.

    idle connection? ── yes ──▶ exchange ── broken before the first byte of an answer? ──▶ once more, on a new connection
          └── no ──▶ resolve ──▶ connect ──▶ TLS ──▶ exchange ──▶ whole answer, may be kept? ──▶ idle, else aborted
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import h11

from agent import __version__
from agent.net.connect import Address, Resolver, Wire, connect
from agent.net.decode import BodyTooLargeError, Inflater
from agent.net.message import ErrorKind, HttpError, Phases, Request, Response, Target, TlsInfo, foreign, parse_target
from agent.net.tls import TlsOptions, describe, explain, shared_context

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterator

    from agent.net.proxy import Chooser, Proxy

__all__ = ["ErrorKind", "HttpClient", "HttpError", "Phases", "Request", "Response", "TlsInfo", "TlsOptions"]

MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes of an answer's body, packed and unpacked, unless the caller says otherwise (OTLP specification, "OTLP/HTTP Response")."""
MAX_HEAD: Final = 64 * 1024
"""Bytes of an answer's status line and headers."""
IDLE_LIMIT: Final = 30.0
"""Seconds: an older idle connection is not used again. Load balancers forget them without a word, from 60 s on."""
USER_AGENT: Final = f"outrider/{__version__}"


class HttpClient:
    """Sends requests. Not bound to an event loop before the first one; `close` may be called at any time, and twice."""

    def __init__(
        self,
        *,
        tls: TlsOptions | None = None,
        keep_alive: bool = True,
        user_agent: str = USER_AGENT,
        resolver: Resolver | None = None,
        proxies: Chooser | None = None,
    ) -> None:
        """`proxies` says what goes through which proxy; without it everything is connected to directly, whatever the environment says."""
        self._tls_options = tls or TlsOptions()
        self._tls = shared_context(self._tls_options)
        self._keep_alive = keep_alive
        self._user_agent = user_agent
        self._resolver = resolver or Resolver()
        self._proxies = proxies
        self._idle: dict[tuple[bool, str, int], _Connection] = {}

    async def send(
        self, request: Request, *, deadline: float, max_body: int = MAX_BODY, sent: Callable[[], None] | None = None
    ) -> Response:
        """Send a request and return the whole answer, within `deadline` seconds in total.

        `sent` is called once the request is handed to the operating system. Raises HttpError; ValueError if the URL or a header is unfit.
        """
        job = _Job(parse_target(request.url), request, max_body, sent or _nothing)
        try:
            async with asyncio.timeout(deadline):
                return await self._send(job)
        except TimeoutError:
            raise HttpError(ErrorKind.TIMEOUT, f"no answer within {deadline:g} s, {job.doing}", status=job.status) from None

    def tls_trouble(self) -> str:
        """Why the certificates, keys or authorities that are named can't be used; "" if they can."""
        try:
            self._tls.get()
        except HttpError as error:
            return str(error)
        return ""

    async def close(self) -> None:
        """Drop the idle connections."""
        while self._idle:
            self._idle.popitem()[1].abort()
        await asyncio.sleep(0)  # lets the loop close the sockets

    async def _send(self, job: _Job) -> Response:
        kept = self._take_idle(job.target)
        if kept is not None:
            try:
                return await self._exchange(kept, job)
            except HttpError as error:
                # The server had closed it, most likely just as we wrote. Sending again is safe: requests are the same bytes under the same id.
                if error.kind is not ErrorKind.RESET or job.answering:
                    raise
        return await self._exchange(await self._open(job), job)

    def _take_idle(self, target: Target) -> _Connection | None:
        connection = self._idle.pop(target.origin, None)
        if connection is None or connection.fit():
            return connection
        connection.abort()
        return None

    async def _open(self, job: _Job) -> _Connection:
        target = job.target
        proxy = self._proxies.choose(target) if self._proxies else None
        if proxy is not None:
            return await self._open_through(proxy, job)
        wire, address = await self._connect(target.host, target.port, job, self._name(target) if target.secure else None)
        return _Connection(wire, str(address))

    async def _open_through(self, proxy: Proxy, job: _Job) -> _Connection:
        """Connect to a proxy; for https on to the server, through a tunnel with TLS of its own."""
        target = job.target
        try:
            wire, address = await self._connect(proxy.host, proxy.port, job, proxy.host if proxy.secure else None)
        except HttpError as error:
            raise HttpError(ErrorKind.PROXY, f"through the proxy {proxy}: {error}") from error
        connection = _Connection(wire, str(address), proxy)
        if not target.secure:
            return connection
        try:
            with job.phase("connect", f"asking the proxy {proxy} for a tunnel"):
                await connection.tunnel(job)
            with job.phase("tls", "in the TLS handshake"):
                await _secure(wire, self._tls.get(), self._name(target))
        except BaseException:
            connection.abort()
            raise
        return _Connection(wire, str(address))

    async def _connect(self, host: str, port: int, job: _Job, name: str | None) -> tuple[Wire, Address]:
        """Connect to a host; with TLS, if it is to be verified by a `name`."""
        with job.phase("resolve", f"resolving {host}"):
            addresses = await self._resolver.resolve(host, port)
        with ExitStack() as failing:
            with job.phase("connect", "connecting"):
                sock, address = await connect(addresses)
                failing.callback(sock.close)
            if name is not None:
                with job.phase("tls", "in the TLS handshake"):
                    wire = await _adopt(sock, self._tls.get(), name)
            else:
                wire = await _adopt(sock, None, None)
            failing.pop_all()
        return wire, address

    def _name(self, target: Target) -> str:
        return self._tls_options.server_name or target.host

    async def _exchange(self, connection: _Connection, job: _Job) -> Response:
        keep = False
        try:
            response = await connection.exchange(job, self._head(job))
            keep = connection.reset()
        finally:
            if keep:
                self._store_idle(connection, job.target)
            else:
                connection.abort()
        return response

    def _store_idle(self, connection: _Connection, target: Target) -> None:
        previous = self._idle.get(target.origin)
        self._idle[target.origin] = connection
        if previous is not None:
            previous.abort()

    def _head(self, job: _Job) -> list[tuple[str, str]]:
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


def _nothing() -> None:
    """Nobody wants to know."""


async def _adopt(sock: socket.socket, context: ssl.SSLContext | None, name: str | None) -> Wire:
    """Make a transport, with TLS or without, of a connected socket."""
    wire = Wire()
    try:
        await asyncio.get_running_loop().create_connection(lambda: wire, sock=sock, ssl=context, server_hostname=name)
    except OSError as error:  # ssl.SSLError is one
        raise HttpError(ErrorKind.TLS, explain(error)) from error
    return wire


async def _secure(wire: Wire, context: ssl.SSLContext, name: str) -> None:
    """Begin TLS on an established connection, through which nothing else goes from now on."""
    assert wire.transport is not None  # noqa: S101 - it is connected
    try:
        transport = await asyncio.get_running_loop().start_tls(wire.transport, wire, context, server_hostname=name)
    except OSError as error:
        raise HttpError(ErrorKind.TLS, explain(error)) from error
    if transport is None:
        raise HttpError(ErrorKind.TLS, "TLS handshake failed: the connection has closed")
    wire.transport = transport


class _Job:
    """One request on its way: what is being done, for the time-out's message, and how long it took."""

    def __init__(self, target: Target, request: Request, max_body: int, sent: Callable[[], None]) -> None:
        self.target = target
        self.request = request
        self.max_body = max_body
        self.sent = sent
        self.phases = Phases()
        self.doing = "connecting"
        self.answering = False
        """Whether a byte of the answer has come."""
        self.status: int | None = None

    @contextmanager
    def phase(self, name: str, doing: str) -> Iterator[None]:
        """Measure a phase."""
        self.doing = doing
        start = time.monotonic()
        try:
            yield
        finally:
            setattr(self.phases, name, getattr(self.phases, name) + time.monotonic() - start)


class _Connection:
    """One connection and its h11 state."""

    def __init__(self, wire: Wire, peer: str, proxy: Proxy | None = None) -> None:
        """`proxy` is the one that reads our requests, if it is not the server itself who does."""
        assert wire.transport is not None  # noqa: S101 - it is connected
        self._wire = wire
        self._transport = wire.transport
        self._peer = peer
        self._proxy = proxy
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._since = 0.0
        tls = self._transport.get_extra_info("ssl_object")
        self._tls = describe(tls) if tls else None

    def abort(self) -> None:
        """Close at once, without a TLS good-bye: an HTTP message says itself where it ends."""
        self._transport.abort()

    def reset(self) -> bool:
        """Make ready for the next request; False if this connection can't take one.

        Either side has said `Connection: close`, say, or bytes came behind the answer, which would pass for the next one (RFC 9112 section 9.2).
        """
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE or not self._wire.idle or self._left_over:
            return False
        self._h11.start_next_cycle()
        self._since = time.monotonic()
        return True

    def fit(self) -> bool:
        """Whether an idle connection may be used."""
        return self._wire.idle and not self._transport.is_closing() and time.monotonic() - self._since < IDLE_LIMIT

    @property
    def _left_over(self) -> bytes:
        """What was received behind the last answer."""
        return self._h11.trailing_data[0]

    async def tunnel(self, job: _Job) -> None:
        """Ask the proxy to connect us with the server (RFC 9110 section 9.3.6)."""
        authority = job.target.full_authority
        try:
            request = h11.Request(method="CONNECT", target=authority, headers=[("Host", authority), *self._credentials()])
            self._transport.write(self._h11.send(request) or b"")
            self._h11.send(h11.EndOfMessage())
            answer = await self._read_head(job)
        except (h11.RemoteProtocolError, HttpError, OSError) as error:
            raise HttpError(ErrorKind.PROXY, f"no valid answer from the proxy {self._proxy}: {error}") from error
        finally:
            job.status, job.answering = None, False  # of the proxy, not of the server
        if not 200 <= answer.status_code < 300:
            raise _refusal(self._proxy, answer)
        if self._left_over:  # in TLS the client speaks first
            raise HttpError(ErrorKind.PROXY, f"no valid answer from the proxy {self._proxy}: it goes on behind its end")

    def _credentials(self) -> list[tuple[str, str]]:
        given = self._proxy.authorization if self._proxy else None
        return [("Proxy-Authorization", given)] if given else []

    async def exchange(self, job: _Job, headers: list[tuple[str, str]]) -> Response:
        """Send the request, return the answer."""
        try:
            with job.phase("processing", "waiting for the answer"):
                self._write(job, headers)
                head = await self._read_head(job)
            if self._proxy is not None and head.status_code == 407:
                raise _refusal(self._proxy, head)
            with job.phase("transfer", "receiving the answer's body"):
                body = await self._read_body(job, head)
        except h11.RemoteProtocolError as error:
            raise HttpError(ErrorKind.PROTOCOL, f"not a valid HTTP answer: {error}", status=job.status) from error
        except OSError as error:
            raise HttpError(ErrorKind.RESET, f"the connection broke: {error}", status=job.status) from error
        version = head.http_version.decode()
        return Response(head.status_code, _decoded(head), body, job.phases, self._tls, self._peer, version)

    def _write(self, job: _Job, headers: list[tuple[str, str]]) -> None:
        request = job.request
        try:
            event = h11.Request(method=request.method, target=self._form(job.target), headers=[*headers, *self._credentials()])
            head = self._h11.send(event) or b""
        except h11.LocalProtocolError as error:
            raise ValueError(f"the request can't be sent: {error}") from error
        if request.body:
            # No copy through h11, which would only pass it on; and no waiting for room: the answer may come before all is sent.
            self._h11.send_with_data_passthrough(h11.Data(data=request.body))
        self._h11.send(h11.EndOfMessage())
        self._transport.writelines((head, request.body))
        job.sent()

    def _form(self, target: Target) -> str:
        """The path, and to a proxy the whole URL (RFC 9112 section 3.2)."""
        return target.path if self._proxy is None else f"http://{target.authority}{target.path}"

    async def _read_head(self, job: _Job) -> h11.Response:
        while True:
            event = await self._next_event(job)
            if isinstance(event, h11.Response):
                if not event.http_version.startswith(b"1."):
                    raise HttpError(ErrorKind.PROTOCOL, "the answer is not HTTP/1")
                job.status = event.status_code
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise HttpError(ErrorKind.RESET, "the server closed the connection without an answer")

    async def _read_body(self, job: _Job, head: h11.Response) -> bytes:
        inflater = Inflater(_content_coding(head), job.max_body)
        try:
            while isinstance(event := await self._next_event(job), h11.Data):
                inflater.feed(bytes(event.data))
            return inflater.finish()
        except BodyTooLargeError as error:
            raise HttpError(ErrorKind.BODY_TOO_LARGE, f"the answer's body exceeds {job.max_body} bytes", status=job.status) from error
        except ValueError as error:
            raise HttpError(ErrorKind.PROTOCOL, f"the answer's body can't be unpacked: {error}", status=job.status) from error

    async def _next_event(self, job: _Job) -> object:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            data = await self._wire.receive()
            if not job.answering and (error := foreign(data)):
                raise error
            job.answering = job.answering or bool(data)
            if not data and not job.answering:
                return h11.ConnectionClosed()
            self._h11.receive_data(data)
        return event


def _refusal(proxy: Proxy | None, answer: h11.Response) -> HttpError:
    reason = f"{answer.status_code} {answer.reason.decode('latin-1')}".strip()
    if answer.status_code == 407:
        return HttpError(ErrorKind.PROXY, f"the proxy {proxy} asks for other credentials ({reason}): give its URL user:password@")
    return HttpError(ErrorKind.PROXY, f"the proxy {proxy} refuses to connect us ({reason})")


def _decoded(head: h11.Response) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]


def _content_coding(head: h11.Response) -> str:
    return next((value.decode("latin-1").strip().lower() for name, value in head.headers if name == b"content-encoding"), "")
