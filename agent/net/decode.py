"""The body of a message: decompressed and collected piece by piece within bounds, so that a bomb costs no more than an honest body."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

WBITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content-Encoding → zlib's window bits, which also name the format."""
PIECE: Final = 16 * 1024
"""Bytes that are decompressed at a time."""


class BodyTooLargeError(Exception):
    """A bound is passed."""

    def __init__(self, limit: int, *, packed: bool) -> None:
        super().__init__(f"the body is larger than {limit} bytes" + ("" if packed else " once decompressed"))


class Inflater:
    """Collects one body."""

    def __init__(self, coding: str, limit: int, packed_limit: int | None = None, grown: Callable[[int], None] = lambda _: None) -> None:
        """`coding` is the Content-Encoding in lower case ("" and "identity" = none).

        Bounds are bytes: `limit` of the body, `packed_limit` of a compressed body as sent (by default the same). `grown` is called with the number
        of bytes before they are collected, and may raise.
        """
        self._limit = limit
        self._packed_limit = limit if packed_limit is None else packed_limit
        self._wbits = WBITS.get(coding)
        self._unknown = coding if coding not in ("", "identity", *WBITS) else ""
        self._grown = grown
        self._packed = 0
        self._body = bytearray()  # a list of pieces would take 50 bytes and more for each, however short its sender makes them
        self._inflate = zlib.decompressobj(self._wbits) if self._wbits else None

    def feed(self, data: bytes) -> None:
        """Add a piece; BodyTooLargeError, or ValueError if it can't be decompressed."""
        self._packed += len(data)
        if self._packed > self._packed_limit:
            raise BodyTooLargeError(self._packed_limit, packed=True)
        if self._wbits is None:
            self._add(data)
        else:
            for start in range(0, len(data), PIECE):  # zlib copies the bytes behind each member's end: short pieces bound that cost
                self._unpack(data[start : start + PIECE], self._wbits)

    def finish(self) -> bytes:
        """Return the body and keep no copy; ValueError if it ends too early or its coding is unknown."""
        if self._unknown and self._body:
            raise ValueError(f"unknown Content-Encoding {self._unknown[:40]!r}")
        if self._inflate is not None and self._packed and not self._inflate.eof:
            raise ValueError("it ends in the middle")
        body, self._body = bytes(self._body), bytearray()
        return body

    def _unpack(self, data: bytes, wbits: int) -> None:
        while data:
            if self._inflate is None or self._inflate.eof:  # gzip may have several members (RFC 1952 section 2.2)
                self._inflate = zlib.decompressobj(wbits)
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            self._add(piece)
            data = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail

    def _add(self, piece: bytes) -> None:
        if len(self._body) + len(piece) > self._limit:
            raise BodyTooLargeError(self._limit, packed=self._wbits is None)
        self._grown(len(piece))
        self._body += piece
