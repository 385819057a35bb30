"""One connection of the HTTP server: h11 for the protocol, asyncio streams for the bytes.

waiting ──head──▶ receiving the body, where the route takes one ──▶ answering ──keep-alive──▶ waiting ──idle, error, close──▶ gone
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import h11

from agent.errors import SpoolError
from agent.failures import ComponentFailed
from agent.metrics import Kind, Metric
from agent.net.addresses import host_allowed
from agent.net.request_body import RETRY_AFTER, Body
from agent.net.server_message import (
    SECURITY_HEADERS,
    BodyRoute,
    RefusedError,
    ServerResponse,
    compress,
    find,
    has_body,
    http_date,
    is_framed_twice,
    parse_request,
)
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from agent.net.access import AccessControl
    from agent.net.request_body import BodyMemory
    from agent.net.server_message import Handler, Routes, ServerLimits, ServerRequest
    from agent.telemetry import Telemetry

READ_SIZE: Final = 16 * 1024
"""Bytes that are read at a time."""


REFUSALS: Final = Metric("outrider.server.refusals", Kind.COUNTER, "{request}", "Requests that the agent's own server refused, by reason.")


@dataclass(frozen=True, slots=True)
class RequestRefused(Event):
    """The agent's HTTP server refused a client."""

    name = "request refused"
    level = Level.DEBUG
    counter = REFUSALS
    labels = ("reason",)
    reason: str
    """From an enumeration: `header_timeout`, `header_too_large`, `malformed`, `too_many_connections`, `body_too_large` …"""


@dataclass(frozen=True, slots=True)
class Serving:
    """The common parts of a server's connections."""

    routes: Routes
    telemetry: Telemetry
    name: str
    limits: ServerLimits
    access: AccessControl | None
    headers: Sequence[tuple[str, str]]
    body_memory: BodyMemory

    def refused(self, reason: str) -> None:
        """Report a refused client."""
        self.telemetry.emit(RequestRefused(reason))

    def broken(self, path: str, error: Exception) -> None:
        """Report a handler that raised."""
        self.telemetry.emit(ComponentFailed(f"{self.name} {path}", str(error), 0.0))


class ServerConnection:
    """Answers the requests of one client."""

    def __init__(self, serving: Serving, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, loopback: bool) -> None:
        self._serving = serving
        self._limits = serving.limits
        self._reader = reader
        self.writer = writer
        self._loopback = loopback
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.header_bytes)
        self.waiting_since: float | None = asyncio.get_running_loop().time()
        """Monotonic seconds; None while a complete request is being answered."""
        self._idle = False
        """Whether no byte of the next request has arrived."""

    async def run(self) -> None:
        """Answer requests until either side ends it."""
        with contextlib.suppress(OSError):  # the client has gone, or does not read its answer
            await self._converse()
            if self.writer.get_extra_info("sslcontext") is not None:
                await self._part()

    async def _converse(self) -> None:
        while (head := await self._next_head()) is not None:
            self.waiting_since = None
            request = parse_request(head.method, head.target, list(head.headers))
            await self._respond(request)
            if not self._again(request):
                break
            self.waiting_since = asyncio.get_running_loop().time()
            await asyncio.sleep(0)  # the next request may be here already: other connections have their turn first
        if self._http.their_state in (h11.SEND_BODY, h11.ERROR):
            await self._linger()

    async def _respond(self, request: ServerRequest) -> None:
        try:
            response = await self._answer(request)
        except RefusedError as error:
            self._serving.refused(error.reason)
            response = error.answer
        await self._send(request, response)

    async def _linger(self) -> None:
        """Read what the client still sends: closing before would reset the connection, and the client would lose the answer (RFC 9112 section 9.6)."""
        self.waiting_since = asyncio.get_running_loop().time()
        if self.writer.can_write_eof():
            self.writer.write_eof()
        async with asyncio.timeout(self._limits.parting_time):
            while await self._reader.read(READ_SIZE):
                pass

    async def _part(self) -> None:
        """End TLS cleanly: its bytes may not have reached the socket yet, and `drain` does not wait for that."""
        self.writer.close()
        async with asyncio.timeout(self._limits.parting_time):
            await self.writer.wait_closed()

    async def _next_head(self) -> h11.Request | None:
        try:
            event = await self._read_head()
        except TimeoutError:
            if not self._idle:
                self._serving.refused("header_timeout")
        except h11.RemoteProtocolError as error:
            self._serving.refused("header_too_large" if error.error_status_hint == 431 else "malformed")
            await self._send(None, ServerResponse(b"bad request\n", error.error_status_hint))
        else:
            return event if isinstance(event, h11.Request) else None
        return None

    async def _read_head(self) -> object:
        async with asyncio.timeout(self._limits.idle_time if self._idle else self._limits.header_time) as deadline:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                data = await self._reader.read(READ_SIZE)
                if self._idle:
                    self._idle = False
                    deadline.reschedule(asyncio.get_running_loop().time() + self._limits.header_time)
                self._http.receive_data(data)
        return event

    def _again(self, request: ServerRequest) -> bool:
        """Prepare for the next request; False if the connection ends with this one."""
        if self._http.their_state is h11.SEND_BODY:
            if self._is_unreadable(request):  # its body was refused, and what follows is not read
                return False
            self._http.next_event()
        if self._http.our_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self._idle = True
        return True

    async def _answer(self, request: ServerRequest) -> ServerResponse:
        if not host_allowed(request.headers.get("host", ""), loopback=self._loopback):
            raise RefusedError("foreign_host", 421, "this server answers to its address and to localhost")
        if is_framed_twice(request):
            raise RefusedError("malformed", 400, "Content-Length and Transfer-Encoding exclude each other")
        if self._serving.access is not None:
            await self._serving.access.check(request)
        route = find(self._serving.routes, request)
        if isinstance(route, ServerResponse):
            return route
        if isinstance(route, BodyRoute):
            with Body(request, route.limits, self._serving.body_memory) as body:
                await self._receive(body, route.limits.time)
                return await self._handle(route.handler, replace(request, body=body.whole()))
        if has_body(request):
            raise RefusedError("body", 413, "no bodies are taken")
        return await self._handle(route, request)

    async def _receive(self, body: Body, seconds: float) -> None:
        """Receive a body; RefusedError if it is late or malformed, OSError if the client has gone."""
        self.waiting_since = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(seconds):
                if self._http.they_are_waiting_for_100_continue:
                    await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                while isinstance(event := await self._next_event(), h11.Data):
                    await self._feed(body, bytes(event.data))
        except h11.RemoteProtocolError as error:
            raise RefusedError("body_malformed", 400, f"the body is malformed: {error}") from error
        except TimeoutError:
            raise RefusedError("body_timeout", 408, f"the body has not arrived within {seconds:g} s") from None
        self.waiting_since = None

    async def _feed(self, body: Body, data: bytes) -> None:
        """Add bytes in slices that take few milliseconds, also of a bomb; other connections have their turn in between."""
        for start in range(0, len(data), body.slice_size):
            if start:
                await asyncio.sleep(0)
            body.feed(data[start : start + body.slice_size])

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            await asyncio.sleep(0)  # `read` does not wait while bytes are there
            self._http.receive_data(await self._reader.read(READ_SIZE))
        return event

    async def _handle(self, handler: Handler, request: ServerRequest) -> ServerResponse:
        try:
            async with asyncio.timeout(self._limits.answer_time):
                return compress(request, await handler(request))
        except TimeoutError:
            return ServerResponse(b"no answer in time\n", 503)
        except SpoolError as error:  # nothing is stored; the spool reports the cause itself
            raise RefusedError("not_stored", 503, "the agent can't store it now: try again later", ("retry-after", RETRY_AFTER)) from error
        except Exception as error:  # noqa: BLE001 - a handler that fails must not end the server
            self._serving.broken(request.path, error)
            return ServerResponse(b"internal error\n", 500)

    async def _send(self, request: ServerRequest | None, response: ServerResponse) -> None:
        headers = _headers(response, self._serving.headers)
        if self._is_unreadable(request):
            headers.append(("connection", "close"))  # RFC 9112 section 9.6: a client that keeps connections learns that this one ends
        head = h11.Response(status_code=response.status, headers=headers)
        sent = self._http.send(head) or b""
        body = b"" if request and request.method == "HEAD" else response.body
        if isinstance(body, bytes):
            await self._write(sent + (self._http.send(h11.Data(data=body)) or b"") + (self._http.send(h11.EndOfMessage()) or b""))
        else:
            await self._write(sent)
            await self._stream(body, request)

    def _is_unreadable(self, request: ServerRequest | None) -> bool:
        """Whether no further request can be read from this connection."""
        state = self._http.their_state
        return request is None or state is h11.ERROR or (state is h11.SEND_BODY and has_body(request))

    async def _stream(self, body: AsyncGenerator[bytes, None], request: ServerRequest | None) -> None:
        """Send pieces as they come, until they end or the client closes the connection or sends bytes, which it has no reason to."""
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
        except Exception as error:  # noqa: BLE001 - as above; the missing last chunk shows it to the client
            self._serving.broken(request.path if request else "", error)

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
