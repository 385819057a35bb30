"""An answer's body: collected and unpacked, both within one bound."""

from __future__ import annotations

import zlib

WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class BodyTooLargeError(Exception):
    """The bound is passed; what was collected is dropped."""


class Inflater:
    """Takes a body piece by piece. The bound holds for the packed and for the unpacked size, so a bomb costs no more than an honest answer."""

    def __init__(self, coding: str, limit: int) -> None:
        """Take the Content-Encoding in lower case ("" and "identity" = none) and the bound in bytes."""
        self._limit = limit
        self._wbits = WBITS.get(coding)
        self._unknown = coding if coding not in ("", "identity", *WBITS) else ""
        self._packed = 0
        self._pieces: list[bytes] = []
        self._size = 0
        self._inflate = zlib.decompressobj(self._wbits) if self._wbits else None

    def feed(self, data: bytes) -> None:
        """Add a piece; BodyTooLargeError, or ValueError if it can't be unpacked."""
        self._packed += len(data)
        if self._packed > self._limit:
            raise BodyTooLargeError
        if self._inflate is None:
            self._add(data)
        else:
            self._unpack(data)

    def finish(self) -> bytes:
        """Return the body; ValueError if it ends too early or its coding is not known."""
        if self._unknown and self._pieces:
            raise ValueError(f"unknown Content-Encoding {self._unknown[:40]!r}")
        if self._inflate is not None and self._packed and not self._inflate.eof:
            raise ValueError("it ends in the middle")
        return b"".join(self._pieces)

    def _unpack(self, data: bytes) -> None:
        while data:
            if self._inflate is None or self._inflate.eof:  # gzip may have several members (RFC 1952 section 2.2)
                self._inflate = zlib.decompressobj(self._wbits or 0)
            try:
                self._add(self._inflate.decompress(data, self._limit - self._size + 1))
            except zlib.error as error:
                raise ValueError(str(error)) from error
            data = self._inflate.unused_data

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise BodyTooLargeError
        self._pieces.append(piece)
