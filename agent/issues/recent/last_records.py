"""The last records per key, kept for the rare case that they are needed: of blocks only their lines, which become records then. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from agent.columns import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from agent.record import LogRecord

T = TypeVar("T")

MAX_KEYS: Final = 64
"""Keys that are kept: those with the newest records."""
MAX_WAITING: Final = 2 << 20
"""Bytes of the lines that wait, of all keys together."""
MAX_LINE: Final = 2048
"""Bytes of a waiting line, on average over a key's; longer lines become values at once."""


class LastRecords(Generic[T]):
    """The values that `make` takes from the last `limit` records; at most `limit * MAX_LINE` bytes of lines wait for it."""

    __slots__ = ("_limit", "_make", "_parts", "_rows", "_size")

    def __init__(self, limit: int, make: Callable[[LogRecord], T]) -> None:
        self._limit = limit
        self._make = make
        self._parts: deque[tuple[int, Lines | Sequence[T]]] = deque()
        """Each with the bytes of its lines."""
        self._rows = self._size = 0

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[T]:
        """The oldest first."""
        for _, part in self._parts:
            yield from map(self._make, part) if isinstance(part, Lines) else part

    @property
    def waiting(self) -> int:
        """Bytes of memory that the lines take."""
        return self._size

    def copy(self) -> LastRecords[T]:
        """The present values, as an object of their own."""
        made = LastRecords(self._limit, self._make)
        made._parts, made._rows, made._size = self._parts.copy(), self._rows, self._size
        return made

    def extend(self, parts: Iterable[Lines | Sequence[LogRecord]]) -> None:
        """Add records at the end, and forget as many at the beginning as there are too many."""
        for part in reversed(self._newest(parts)):
            self._append(part if isinstance(part, Lines) else tuple(map(self._make, part)))
        while self._rows > self._limit:
            self._forget(self._rows - self._limit)
        if self._size > self._limit * MAX_LINE:
            self.settle()

    def settle(self) -> None:
        """Make all of it, so that no lines wait."""
        if self._size:
            self._parts = deque([(0, tuple(self))])
            self._size = 0

    def _newest(self, parts: Iterable[Lines | Sequence[LogRecord]]) -> list[Lines | Sequence[LogRecord]]:
        """The ones that will be kept, the newest first: nothing is made of the others."""
        found: list[Lines | Sequence[LogRecord]] = []
        room = self._limit
        for part in reversed(list(parts)):
            first = max(0, len(part) - room)
            if first < len(part):
                found.append(part.since(first) if isinstance(part, Lines) else part[first:])
            room -= len(part) - first
        return found

    def _append(self, part: Lines | Sequence[T]) -> None:
        size = part.size if isinstance(part, Lines) else 0
        self._parts.append((size, part))
        self._size += size
        self._rows += len(part)

    def _forget(self, surplus: int) -> None:
        """Some of the oldest part, or all of it."""
        size, oldest = self._parts.popleft()
        left = oldest.since(surplus) if isinstance(oldest, Lines) else oldest[surplus:]
        remaining = left.size if isinstance(left, Lines) else 0
        if left:
            self._parts.appendleft((remaining, left))
        self._rows -= len(oldest) - len(left)
        self._size -= size - remaining


class LastOfEach(Generic[T]):
    """The last records of each key: of a file, of a source."""

    __slots__ = ("_kept", "_limit", "_make")

    def __init__(self, limit: int, make: Callable[[LogRecord], T]) -> None:
        self._limit = limit
        self._make = make
        self._kept: OrderedDict[str, LastRecords[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[T]:
        """Of all keys, one after the other."""
        for kept in self._kept.values():
            yield from kept

    @property
    def waiting(self) -> int:
        """Bytes of memory that the lines of all keys take."""
        return sum([kept.waiting for kept in self._kept.values()])

    def of(self, key: str) -> LastRecords[T]:
        """The present values of a key."""
        return self._kept[key].copy() if key in self._kept else LastRecords(self._limit, self._make)

    def extend(self, key: str, parts: Iterable[Lines | Sequence[LogRecord]]) -> None:
        """Add records of a key, and forget the key that was silent for the longest time if there are too many."""
        kept = self._kept.setdefault(key, LastRecords(self._limit, self._make))
        self._kept.move_to_end(key)
        kept.extend(parts)
        while len(self._kept) > MAX_KEYS:
            self._kept.popitem(last=False)
        if self.waiting > MAX_WAITING:
            self._settle()

    def _settle(self) -> None:
        """Leave no lines waiting of the keys that were silent for the longest time, so that there is room for a while."""
        for kept in self._kept.values():
            kept.settle()
            if self.waiting <= MAX_WAITING // 2:
                break
