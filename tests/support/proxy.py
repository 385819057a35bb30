"""A small HTTP proxy: CONNECT tunnels and absolute-form requests, with credentials and with TLS of its own if wanted. It resolves every name
to this machine, so that a test can ask it for hosts that are nowhere."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


class Asked(NamedTuple):
    """The head of a request as the proxy read it."""

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass
class Proxy:
    """Serves on a port of 127.0.0.1 within `async with`."""

    tls: ssl.SSLContext | None = None
    authorization: str = ""
    """The `Proxy-Authorization` that it wants; empty for none."""
    refusal: bytes = b""
    """The answer to every request, if not empty."""
    asked: list[Asked] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self.tls)
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def address(self) -> str:
        """`host:port`."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        self.asked.append(Asked(method, target, headers))
        if self.refusal:
            writer.write(self.refusal)
            await writer.drain()
        elif self.authorization and headers.get("proxy-authorization") != self.authorization:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        elif method == "CONNECT":
            await _relay(reader, writer, int(target.rpartition(":")[2]), b"", b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            url = urlsplit(target)
            await _relay(reader, writer, url.port or 80, head.replace(target.encode(), (url.path or "/").encode(), 1), b"")


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, first: bytes, greeting: bytes) -> None:
    """Pass bytes both ways until either side ends."""
    their_reader, their_writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        their_writer.write(first)
        writer.write(greeting)
        ways = [asyncio.ensure_future(_pass(reader, their_writer)), asyncio.ensure_future(_pass(their_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
    finally:
        their_writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
