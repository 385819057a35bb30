"""Which lines of our own log are written, and which are folded into one: a state that lasts must not fill the log.

first ──▶ written ──10 s──▶ its repeats as one line with their number ──▶ … and, of a state that lasts for the same cause,
                            after a minute, six minutes, … an hour; another cause, or the state's end, begins again
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

FIRST: Final = 10.0
"""Seconds that the repeats of a line are folded into one."""
LONGEST: Final = 3600.0
"""The longest window of a lasting event, seconds."""
FACTOR: Final = 6.0
KEPT: Final = FIRST * FACTOR
"""Seconds without a repeat after which a lasting event counts as ended: attempts may be a minute apart."""
KEYS: Final = 1000
"""Kinds of lines that are remembered; further kinds are written unfolded, so that memory stays bounded."""

Key = tuple[object, ...]


@dataclass(slots=True)
class _Window(Generic[T]):
    """Lines that are folded at present."""

    since: float
    cause: str
    last: T
    lasting: bool
    length: float = FIRST
    repeats: int = 0


class Fold(Generic[T]):
    """Decides which lines are written. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._open: dict[Key, _Window[T]] = {}
        self._ended: list[tuple[T, int]] = []

    def admit(self, key: Key, line: T, now: float, *, cause: str = "", lasting: bool = False) -> bool:
        """Whether the line must be written now; otherwise it is counted, and `due` returns it."""
        known = self._open.get(key)
        if known is not None and (known.length == FIRST or known.cause == cause):
            known.repeats, known.last, known.cause = known.repeats + 1, line, cause
            return False
        self.end(key)
        if len(self._open) < KEYS:
            self._open[key] = _Window(now, cause, line, lasting)
        return True

    def end(self, key: Key) -> None:
        """End a window: the next line of the kind is written at once."""
        known = self._open.pop(key, None)
        if known is not None and known.repeats:
            self._ended.append((known.last, known.repeats))

    def take_ended(self) -> list[tuple[T, int]]:
        """The last line and the number of repeats of each state that ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def due(self, now: float, *, everything: bool = False) -> list[tuple[T, int]]:
        """Close the windows that have ended; return the last line of each that had repeats, and their number."""
        over = self.take_ended()
        for key, window in [one for one in self._open.items() if everything or now - one[1].since >= one[1].length]:
            if window.repeats:
                over.append((window.last, window.repeats))
            if window.lasting and not everything and (window.repeats or window.length <= KEPT):
                window.since, window.length, window.repeats = now, min(window.length * FACTOR, LONGEST), 0
            else:
                del self._open[key]
        return over
