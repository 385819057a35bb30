"""What waits to be collected of a pipe's bytes, and which lines are not whole. Pure."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Piece(NamedTuple):
    """What is collected at a time: what was given up, then what comes behind it."""

    data: bytes
    lost: int = 0
    """Lines that are not there, or not whole, right before `data`."""
    skipped: int = 0
    """Their bytes."""
    unwritten: int = 0
    """Lines, of those that were given so far, that could not be passed on, or not whole."""


class Torn:
    """Counts the lines of which not every byte came through, given what did and what did not, in order."""

    def __init__(self) -> None:
        self._lines = 0
        self.is_open = False
        """Something is missing of a line whose end is still to come."""

    def __bool__(self) -> bool:
        """Whether there are any that were not taken."""
        return self._lines > 0

    def came(self, data: bytes) -> None:
        """These bytes came through."""
        if self.is_open and b"\n" in data:
            self.end()

    def went(self, data: bytes) -> None:
        """These did not."""
        if data:
            self._lines += data.count(b"\n")
            self.is_open = not data.endswith(b"\n")

    def end(self) -> None:
        """The line has ended."""
        self._lines += self.is_open
        self.is_open = False

    def take(self) -> int:
        """How many there are since the last time."""
        lines, self._lines = self._lines, 0
        return lines


class Backlog:
    """Bytes that wait to be collected, at most `room` of them; no threads, no I/O.

    When there is no room for more the oldest lines are given up, and not the newest: what a program said last is what tells why it ended,
    and the spool lets the oldest go as well. Only whole lines go, so that what follows begins with a line.
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
        """Whether so many bytes more have room."""
        return self.size + size <= self._room

    def put(self, chunk: bytes) -> None:
        """Add bytes; give up as many of the oldest lines as that takes."""
        self._chunks.append(chunk)
        self.size += len(chunk)
        while self.size > self._room:
            self._give_up(len(self._chunks[0]))
        while self._gone.is_open and self._chunks:
            self._give_up(self._chunks[0].find(b"\n") + 1 or len(self._chunks[0]))

    def end(self) -> None:
        """No more will come: a line whose beginning was given up has ended."""
        self._gone.end()

    def take(self, most: int) -> Piece:
        """Remove up to `most` bytes, at least one chunk if there is any, and what is to be known before them."""
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
