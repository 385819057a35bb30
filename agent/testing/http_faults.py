"""An HTTP server that misbehaves to order: for tests of everything that calls out.

Each request takes the next `Reply` of the script; after the script `choose` decides (by default an empty 200).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

MAX_HEAD: Final = 64 * 1024


class Received(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's reaction to one request."""

    raw: bytes = b""
    """The bytes to send, head included."""
    read: Literal["nothing", "head", "half", "all"] = "all"
    """How much of the request to read first; with "nothing" the reply goes to the connection itself."""
    delay: float = 0.0
    """Seconds to wait before answering."""
    drip: float = 0.0
    """Seconds to wait after each byte sent; 0 = all at once."""
    then: Literal["keep", "close", "reset", "hang"] = "keep"
    """The end of the connection. "hang" keeps it open and silent."""


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, **rest: object) -> Reply:
    """A well-formed answer; `Content-Length` is set unless the headers have one or `Transfer-Encoding`."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    names = {name.lower() for name in headers or {}}
    if not names & {"content-length", "transfer-encoding"} and status not in (204, 304):
        lines.append(f"Content-Length: {len(body)}")
    return Reply(raw="\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body, **rest)  # type: ignore[arg-type]


OK: Final = answer(200)
HANG: Final = Reply(then="hang")
"""Read the request and never answer."""
RESET: Final = Reply(then="reset")
"""Read the request and reset the connection."""
CLOSE: Final = Reply(then="close")
"""Read the request and close the connection."""
DEAF: Final = Reply(read="nothing", then="hang")
"""Accept the connection and never read."""


@dataclass(slots=True)
class Log:
    """The requests and connections that a server has seen."""

    requests: list[Received] = field(default_factory=list)
    """Read in full, in order."""
    connections: int = 0


class FaultServer:
    """Serves on a port of 127.0.0.1 within `async with`; leaves neither a task nor a socket behind."""

    def __init__(self, *script: Reply, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.script = list(script)
        self.log = Log()
        self._tls = tls
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, ssl=self._tls, limit=MAX_HEAD)
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def url(self) -> str:
        """Its root, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def choose(self, request: Received) -> Reply:
        """Decide on a request that is not in the script."""
        del request
        return OK

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # start_server would make the task itself if this were a coroutine function, but then no caller could cancel it.
        self.log.connections += 1
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._serve_one(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; False if that was the connection's last."""
        if self.script and self.script[0].read == "nothing":
            return await _act(self.script.pop(0), writer)
        method, path, headers = _parse_head(await reader.readuntil(b"\r\n\r\n"))
        length = int(headers.get("content-length", "0"))
        if self.script and self.script[0].read == "half":
            await reader.readexactly(length // 2)
        if self.script and self.script[0].read != "all":
            return await _act(self.script.pop(0), writer)
        request = Received(method, path, headers, await reader.readexactly(length))
        self.log.requests.append(request)
        return await _act(self.script.pop(0) if self.script else self.choose(request), writer)


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    return method, path, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _act(reply: Reply, writer: asyncio.StreamWriter) -> bool:
    if reply.delay:
        await asyncio.sleep(reply.delay)
    await _send(reply, writer)
    if reply.then == "hang":
        await asyncio.Event().wait()
    if reply.then == "reset":
        linger = struct.pack("ii", 1, 0)  # on, zero seconds: close() sends RST instead of FIN
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    elif reply.then == "close":
        writer.close()
        await writer.wait_closed()
    return reply.then == "keep"


async def _send(reply: Reply, writer: asyncio.StreamWriter) -> None:
    if not reply.drip:
        writer.write(reply.raw)
        await writer.drain()
        return
    for byte in reply.raw:
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(reply.drip)
