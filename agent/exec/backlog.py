"""The bytes of a pipe that wait to be collected, and the count of lines that are not whole. Pure."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Piece(NamedTuple):
    """Bytes that are collected at a time, and the losses before them."""

    data: bytes
    lost: int = 0
    """Lines that are not there, or not whole, right before `data`."""
    skipped: int = 0
    """Their bytes."""
    unwritten: int = 0
    """Lines that could not be passed on whole, among those that were collected so far."""


class Torn:
    """Counts the lines of which at least one byte did not come through. It is given all bytes in order: those that came and those that went."""

    def __init__(self) -> None:
        self._lines = 0
        self.is_open = False
        """Whether bytes are missing of a line that has no end yet."""

    def __bool__(self) -> bool:
        """Whether there are lines that were not taken."""
        return self._lines > 0

    def came(self, data: bytes) -> None:
        """These bytes came through."""
        if self.is_open and b"\n" in data:
            self.end()

    def went(self, data: bytes) -> None:
        """These bytes did not."""
        if data:
            self._lines += data.count(b"\n")
            self.is_open = not data.endswith(b"\n")

    def end(self) -> None:
        """The line has ended."""
        self._lines += self.is_open
        self.is_open = False

    def take(self) -> int:
        """Return how many lines there are since the last call."""
        lines, self._lines = self._lines, 0
        return lines


class Backlog:
    """Bytes that wait to be collected, at most `room` of them.

    Where there is no room for more the oldest lines are given up: the last lines of a program explain its end, and the spool gives up the oldest
    as well. Only whole lines go, so that the rest begins with a line.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._chunks: deque[bytes] = deque()
        self.size = 0
        """Bytes that can be taken."""
        self._gone = Torn()
        self._skipped = 0

    def __bool__(self) -> bool:
        """Whether there is something to take."""
        return self.size > 0 or bool(self._gone)

    def fits(self, size: int) -> bool:
        """Whether there is room for so many bytes more."""
        return self.size + size <= self._room

    def put(self, chunk: bytes) -> None:
        """Add bytes; give up as many of the oldest lines as are in their way."""
        self._chunks.append(chunk)
        self.size += len(chunk)
        while self.size > self._room:
            self._give_up(len(self._chunks[0]))
        while self._gone.is_open and self._chunks:
            self._give_up(self._chunks[0].find(b"\n") + 1 or len(self._chunks[0]))

    def end(self) -> None:
        """No more bytes come: a line whose beginning was given up has ended."""
        self._gone.end()

    def take(self, most: int) -> Piece:
        """Remove up to `most` bytes, at least one chunk if there is any, with the losses before them."""
        taken: list[bytes] = []
        room = most
        while self._chunks and (not taken or len(self._chunks[0]) <= room):
            taken.append(self._chunks.popleft())
            room -= len(taken[-1])
        data = b"".join(taken)
        self.size -= len(data)
        skipped, self._skipped = self._skipped, 0
        return Piece(data, self._gone.take(), skipped)

    def _give_up(self, size: int) -> None:
        """Remove the first bytes of the oldest chunk."""
        chunk = self._chunks.popleft()
        gone, rest = chunk[:size], chunk[size:]
        if rest:
            self._chunks.appendleft(rest)
        self.size -= len(gone)
        self._skipped += len(gone)
        self._gone.went(gone)
