"""Lines behind an open traceback of which only what follows can tell whether they are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agent.parse.traceback_extent import LATE_NS, MAX_DOUBTFUL_BYTES, MAX_DOUBTS, Ending

if TYPE_CHECKING:
    from agent.parse.parsed import Parsed


class Doubt(NamedTuple):
    """A line that may be more of a traceback's message: where it begins, where its last piece does, and what a wrapper knows of it."""

    offset: int
    end: int
    line: bytes
    base: Parsed
    pause_ns: int
    """Between reading the line before and this one."""


class Doubts:
    """The lines behind an open traceback that are held back until it is known whether they are its own; bounded in number, size and age."""

    __slots__ = ("_last_ns", "_since_ns", "_size", "held")

    def __init__(self) -> None:
        self.held: list[Doubt] = []
        self._size = 0
        self._since_ns = self._last_ns = 0

    @property
    def lines(self) -> list[bytes]:
        """The text of the lines."""
        return [doubt.line for doubt in self.held]

    @property
    def pauses(self) -> list[int]:
        """The pause before each, nanoseconds."""
        return [doubt.pause_ns for doubt in self.held]

    def sure(self, now_ns: int) -> None:
        """A line was surely the traceback's: the time in which one may be undecided counts from here."""
        self._since_ns = self._last_ns = now_ns

    def ending(self, now_ns: int) -> Ending | None:
        """The reason why one more can't be held back, if there is one. A clock that was set back is not a reason."""
        if now_ns - self._since_ns > LATE_NS:
            return Ending.LATER
        return Ending.TOO_MANY if len(self.held) >= MAX_DOUBTS or self._size >= MAX_DOUBTFUL_BYTES else None

    def add(self, offset: int, end: int, line: bytes, base: Parsed, now_ns: int) -> None:
        """Hold a line back."""
        self.held.append(Doubt(offset, end, line, base, now_ns - self._last_ns))
        self._size += len(line)
        self._last_ns = now_ns

    def take(self) -> list[Doubt]:
        """All of them, in order; from here on they are the caller's."""
        taken, self.held, self._size = self.held, [], 0
        return taken
