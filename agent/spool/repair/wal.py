"""The write-ahead log, read without SQLite, which ends at the first frame whose checksum is wrong and does not mention what is behind it.

Follows the SQLite file format (sqlite.org/fileformat2.html, section 4.1 "WAL File Format", 4.2 "WAL Checksum Algorithm"). A frame's checksum
goes on from the one that stands in the frame before: so each can be tested by itself, also behind a damaged one.
"""

from __future__ import annotations

import os
import sys
from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.spool.quota import PAGE_SIZE

if TYPE_CHECKING:
    from pathlib import Path

_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_FRAME: Final = _FRAME_HEADER + PAGE_SIZE
_SALTS: Final = slice(8, 16)
"""Of a frame; the log's own stand in its header from byte 16. They differ from one filling of the log to the next."""
_BIG_ENDIAN: Final = 1
"""Lowest bit of the magic number: the byte order in which checksums are made, that of the machine."""


class Committed(NamedTuple):
    """The committed transactions of a log."""

    frames: int
    """The number of the last frame of the last transaction, counted from 1."""
    size: int
    """Pages that the file has by that transaction."""
    pages: dict[int, int]
    """Page number → where its newest bytes begin in the log."""


def committed(path: Path) -> Committed:
    """Find what was committed, as far as a sound frame says so; a missing log is an empty one. OSError if it can't be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return Committed(0, 0, {})
    try:
        return _Log(handle).committed()
    finally:
        os.close(handle)


class _Log:
    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._header = os.pread(handle, _HEADER, 0)
        self._count = max(0, os.fstat(handle).st_size - _HEADER) // _FRAME
        swapped = bool(self._header[3:4] and self._header[3] & _BIG_ENDIAN) != (sys.byteorder == "big")
        sound = self._header[24:] == _checksum(self._header[:24], bytes(8), swapped=swapped)
        self._salts = self._header[16:24] if sound else self._frame(1)[_SALTS]
        self._orders = (swapped,) if sound else (False, True)
        """Whether checksums are made in the other byte order than this machine's; where the header is damaged, perhaps."""

    def committed(self) -> Committed:
        last = next((number for number in range(self._count, 0, -1) if self._is_commit(number)), 0)
        pages = {int.from_bytes(self._frame(number)[:4]): self._offset(number) + _FRAME_HEADER for number in range(1, last + 1)}
        size = int.from_bytes(self._frame(last)[4:8]) if last else 0
        return Committed(last, size, {page: at for page, at in pages.items() if 0 < page <= size})

    def _is_commit(self, number: int) -> bool:
        """Whether this frame ends a transaction of the log's present filling, and is undamaged."""
        header = self._frame(number)
        if header[_SALTS] != self._salts or not any(header[4:8]):
            return False
        before = self._header[24:] if number == 1 else self._frame(number - 1)[16:]
        page = os.pread(self._handle, PAGE_SIZE, self._offset(number) + _FRAME_HEADER)
        return any(header[16:] == _checksum(header[:8] + page, before, swapped=swapped) for swapped in self._orders)

    def _frame(self, number: int) -> bytes:
        return os.pread(self._handle, _FRAME_HEADER, self._offset(number))

    def _offset(self, number: int) -> int:
        return _HEADER + (number - 1) * _FRAME


def _checksum(data: bytes, before: bytes, *, swapped: bool) -> bytes:
    """Go on from the checksum `before`, over whole pairs of 32-bit words; big-endian, as it is stored."""
    words = array("I", data[: len(data) // 8 * 8])
    if swapped:
        words.byteswap()
    first, second = int.from_bytes(before[:4]), int.from_bytes(before[4:8])
    for number in range(0, len(words), 2):
        first = (first + words[number] + second) & 0xFFFFFFFF
        second = (second + words[number + 1] + first) & 0xFFFFFFFF
    return first.to_bytes(4) + second.to_bytes(4)
