"""A small HTTP/1.1 server for our own few routes, over TCP and over a Unix socket: h11 for the protocol, asyncio streams for the bytes.

    connection:  waiting ──request head──▶ answering ──keep-alive──▶ waiting ──idle, error, close──▶ gone

It takes no bodies, so there is little to attack: a request head is bounded in size and time, a connection in idleness, an answer in the
time it may take to be read. Their number is bounded as well; when all are taken, the one that has waited longest makes room, so that slow
clients (slowloris) stand in their own way and not in that of a scrape.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import h11

from agent.net.addresses import host_allowed, is_loopback
from agent.net.server_message import SECURITY_HEADERS, ServerRequest, ServerResponse, compress, find, has_body, http_date, parse_request

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable, Sequence
    from pathlib import Path

    from agent.net.access import AccessControl
    from agent.net.server_message import Handler, Routes

_READ: Final = 16 * 1024
_PEERCRED: Final = struct.Struct("3i")
"""`struct ucred` of unix(7): pid, uid, gid."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one client may cost; times in seconds."""

    header_time: float = 5.0
    """From the first byte of a request (or the connection) to the end of its head."""
    header_bytes: int = 16 * 1024
    idle_time: float = 60.0
    """Between two requests of a connection."""
    answer_time: float = 30.0
    """To make an answer, and again to hand it over; a streamed answer has it per piece that is handed over."""
    parting_time: float = 5.0
    """To take the rest of the last answer, over TLS."""
    connections: int = 128


class HttpServer:
    """Serves one table of routes on any number of listeners.

    `refused` is told why a client was refused, in a word from a fixed set. `broken` is told of a handler that raised.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        refused: Callable[[str], None],
        broken: Callable[[str, Exception], None],
        limits: ServerLimits = ServerLimits(),
        gate: AccessControl | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`gate` lets requests in over TCP; `headers` (names in lower case) are on every answer, an empty one instead of a default of ours."""
        self.routes = routes
        self.limits = limits
        self.refused = refused
        self.broken = broken
        self.gate = gate
        self.headers = headers
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._listeners: list[asyncio.Server] = []
        self._paths: list[Path] = []

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen on TCP, with TLS or without; return the port (the kernel's choice for 0). Raises OSError."""
        loopback = is_loopback(host)
        patience = self.limits.header_time if tls else None
        listener = await asyncio.start_server(
            lambda reader, writer: self._accept(reader, writer, loopback), host, port, limit=_READ, ssl=tls, ssl_handshake_timeout=patience
        )
        self._listeners.append(listener)
        bound: int = listener.sockets[0].getsockname()[1]
        return bound

    async def listen_unix(self, path: Path) -> None:
        """Listen on a socket that only our own user may open; replaces one that a killed agent left behind. Raises OSError."""
        sock = _bind_unix(path)
        try:
            listener = await asyncio.start_unix_server(lambda reader, writer: self._accept(reader, writer, False), sock=sock, limit=_READ)
        except BaseException:
            sock.close()
            raise
        self._listeners.append(listener)
        self._paths.append(path)

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._paths:
            self._paths.pop().unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loopback: bool) -> None:
        writer.transport.set_write_buffer_limits(high=1, low=0)  # `drain` then means "handed over", and closing after it takes no time
        reason = self._objection(writer)
        if reason is not None:
            self.refused(reason)
            writer.transport.abort()
            return
        connection = _Connection(self, reader, writer, loopback=loopback)
        task = asyncio.get_running_loop().create_task(connection.run())
        self._connections[task] = connection
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        connection = self._connections.pop(task)  # held until it is aborted: a writer that is collected before that is reported as unclosed
        connection.writer.transport.abort()

    def _objection(self, writer: asyncio.StreamWriter) -> str | None:
        if not _permitted(writer.get_extra_info("socket")):
            return "not_permitted"
        if self.gate is not None and not self.gate.knows(writer.get_extra_info("peercert")):
            return "client_certificate"
        return None if self._make_room() else "too_many_connections"

    def _make_room(self) -> bool:
        """Let the connection go that has waited longest, if there are too many; False if all are being answered."""
        staying = [(connection.waiting_since, task) for task, connection in self._connections.items() if not task.cancelling()]
        if len(staying) < self.limits.connections:
            return True
        waiting = [(since, task) for since, task in staying if since is not None]
        if not waiting:
            return False
        self.refused("crowded_out")
        min(waiting, key=lambda entry: entry[0])[1].cancel()
        return True


class _Connection:
    """One client, from its first byte to its last."""

    def __init__(self, server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, loopback: bool) -> None:
        self._server = server
        self._limits = server.limits
        self._reader = reader
        self.writer = writer
        self._loopback = loopback
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.header_bytes)
        self.waiting_since: float | None = asyncio.get_running_loop().time()
        """Monotonic seconds; None while a request is being answered."""
        self._idle = False
        """Between two requests, with nothing of the next one here yet."""

    async def run(self) -> None:
        """Answer requests until one of both sides has had enough."""
        with contextlib.suppress(OSError):  # the client went away, or did not read its answer
            await self._converse()
            if self.writer.get_extra_info("sslcontext") is not None:
                await self._part()

    async def _converse(self) -> None:
        while (head := await self._next_head()) is not None:
            self.waiting_since = None
            request = parse_request(head.method, head.target, list(head.headers))
            await self._send(request, await self._answer(request))
            if not self._again():
                return
            self.waiting_since = asyncio.get_running_loop().time()

    async def _part(self) -> None:
        """End TLS in good order: what was written through it may still be on its way to the socket, where `drain` does not look."""
        self.writer.close()
        async with asyncio.timeout(self._limits.parting_time):
            await self.writer.wait_closed()

    async def _next_head(self) -> h11.Request | None:
        try:
            event = await self._read_head()
        except TimeoutError:
            if not self._idle:
                self._server.refused("header_timeout")
        except h11.RemoteProtocolError as error:
            self._server.refused("malformed" if error.error_status_hint == 400 else "header_too_large")
            await self._send(None, ServerResponse(b"bad request\n", error.error_status_hint))
        else:
            return event if isinstance(event, h11.Request) else None
        return None

    async def _read_head(self) -> object:
        async with asyncio.timeout(self._limits.idle_time if self._idle else self._limits.header_time) as deadline:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                data = await self._reader.read(_READ)
                if self._idle:
                    self._idle = False
                    deadline.reschedule(asyncio.get_running_loop().time() + self._limits.header_time)
                self._http.receive_data(data)
        return event

    def _again(self) -> bool:
        """Make ready for the next request; False if the connection ends with this one."""
        if self._http.our_state is not h11.DONE or self._http.next_event().__class__ is not h11.EndOfMessage:
            return False
        self._http.start_next_cycle()
        self._idle = True
        return True

    async def _answer(self, request: ServerRequest) -> ServerResponse:
        if not host_allowed(request.headers.get("host", ""), loopback=self._loopback):
            self._server.refused("foreign_host")
            return ServerResponse(b"this server answers to its address and to localhost\n", 421)
        if self._server.gate is not None and (objection := await self._server.gate.objection(request)) is not None:
            self._server.refused(objection[0])
            return objection[1]
        if has_body(request):
            self._server.refused("body")
            return ServerResponse(b"no bodies are taken\n", 413)
        handler = find(self._server.routes, request)
        return handler if isinstance(handler, ServerResponse) else await self._handle(handler, request)

    async def _handle(self, handler: Handler, request: ServerRequest) -> ServerResponse:
        try:
            async with asyncio.timeout(self._limits.answer_time):
                return compress(request, await handler(request))
        except TimeoutError:
            return ServerResponse(b"no answer in time\n", 503)
        except Exception as error:  # noqa: BLE001 - the one place where a broken page must not take the server with it
            self._server.broken(request.path, error)
            return ServerResponse(b"internal error\n", 500)

    async def _send(self, request: ServerRequest | None, response: ServerResponse) -> None:
        head = h11.Response(status_code=response.status, headers=_headers(response, self._server.headers))
        sent = self._http.send(head) or b""
        body = b"" if request and request.method == "HEAD" else response.body
        if isinstance(body, bytes):
            await self._write(sent + (self._http.send(h11.Data(data=body)) or b"") + (self._http.send(h11.EndOfMessage()) or b""))
        else:
            await self._write(sent)
            await self._stream(body, request)

    async def _stream(self, body: AsyncGenerator[bytes, None], request: ServerRequest | None) -> None:
        """Send pieces as they come, until they end or the client speaks or hangs up: it has nothing to say meanwhile."""
        pump = asyncio.ensure_future(self._pump(body, request))
        gone = asyncio.ensure_future(self._reader.read(1))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pump.cancel()
            gone.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)

    async def _pump(self, body: AsyncGenerator[bytes, None], request: ServerRequest | None) -> None:
        try:
            async with contextlib.aclosing(body) as pieces:
                async for piece in pieces:
                    await self._write(self._http.send(h11.Data(data=piece)) or b"")
            await self._write(self._http.send(h11.EndOfMessage()) or b"")
        except OSError:
            return
        except Exception as error:  # noqa: BLE001 - as above; the missing last chunk tells the client
            self._server.broken(request.path if request else "", error)

    async def _write(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(self._limits.answer_time):
            await self.writer.drain()


def _headers(response: ServerResponse, configured: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    own = {name for name, _ in response.headers}
    everywhere = {**dict(SECURITY_HEADERS), **dict(configured)}
    defaults = (pair for pair in everywhere.items() if pair[0] not in own and pair[1])
    headers = [("date", http_date(time.time())), ("content-type", response.content_type), *defaults, *response.headers]
    if isinstance(response.body, bytes):
        headers.append(("content-length", str(len(response.body))))
    else:
        headers.append(("connection", "close"))
    return headers


def _bind_unix(path: Path) -> socket.socket:
    """A socket at `path` with mode 0600 from its first moment; `sockaddr_un` holds 107 bytes, so a long path is bound by its directory's number."""
    path.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        sock.bind(f"/proc/self/fd/{directory}/{path.name}")
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(mask)
        os.close(directory)
    sock.setblocking(False)
    return sock


def _permitted(sock: socket.socket) -> bool:
    """Whether the client may ask: over a Unix socket only our own user and root, whatever the file's mode has become since."""
    if sock.family != socket.AF_UNIX:
        return True
    _, user, _ = _PEERCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    return user in (0, os.geteuid())
