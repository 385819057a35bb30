"""A connected stream of bytes, with TLS or without."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.net.tls import TlsInfo

RECEIVE_LIMIT: Final = 256 * 1024
"""Received bytes that may wait to be read; then the peer has to wait."""


class Connection(asyncio.Protocol):
    """Write to its `transport`, read with `receive`.

    Unlike StreamReader, it returns the bytes that arrived before a reset: they may be the answer that explains it (a server that answers
    413 and closes while we still send).
    """

    transport: asyncio.Transport

    def __init__(self, peer: str = "") -> None:
        """`peer` is the address and port at the other end."""
        self.peer = peer
        self.tls: TlsInfo | None = None
        """The agreed parameters of TLS; None without TLS."""
        self._received = bytearray()
        self._error: Exception | None = None
        self._ended = False
        self._paused = False
        self._news = asyncio.Event()
        """Set when bytes have arrived or the end has."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's transport is one
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._received += data
        if len(self._received) > RECEIVE_LIMIT and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._news.set()

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self._ended = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._ended, self._paused = True, False
        self._error = exc
        self._news.set()

    @property
    def idle(self) -> bool:
        """Whether the connection is open and nothing of it is unread, so that it can be used again."""
        return not (self._ended or self._received or self.transport.is_closing())

    async def receive(self) -> bytes:
        """Wait for bytes and return all that have arrived; b"" at the end. OSError if the connection broke."""
        while not self._received:
            if self._error:
                raise self._error
            if self._ended:
                return b""
            self._news.clear()
            await self._news.wait()
        data = bytes(self._received)
        self._received.clear()
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return data

    def abort(self) -> None:
        """Close at once, without TLS's closing message."""
        self.transport.abort()
