"""Many log records at once: ordinary lines that were encoded as they were read, and become records only where a reader wants records.

    lines ──▶ Columns (n, symbol, price)      lines 0, 2, 3  ─┐
          └─▶ Columns (n, symbol, trace_id)   lines 1, 4     ─┴─▶ Block: their bytes on the wire, and the lines ──on demand──▶ LogRecords

The interpreter's way from one value to the next is most of what a record costs. In a column the values are of one kind and one call takes
them all; and what is encoded at once never leaves the processor's cache. Most records are only stored and sent: no code reads them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple, Self, overload

from agent.record import LogRecord, Origin, Value


class Columns(NamedTuple):
    """Records whose attributes have the same names. All columns are equally long and in the order of the lines."""

    places: Sequence[int]
    """Which of the lines these are, ascending."""
    times_ns: Sequence[int]
    levels: Sequence[tuple[int, str]]
    """(severity, severity_text)."""
    bodies: Sequence[str]
    names: tuple[str, ...]
    values: Sequence[Sequence[Value]]
    """One column per name. Texts hold no lone surrogates."""
    kinds: Sequence[AbstractSet[type]]
    """The types in each column."""
    traces: Sequence[bytes] | None = None
    """16 bytes each; None: no record has one."""
    spans: Sequence[bytes] | None = None
    """8 bytes each; None: no record has one."""


_OVERHEAD: Final = 128
"""Bytes of memory that a line takes besides its own: the headers of two objects and a pair, and a place in a list."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines of a block, which may become records later: they keep nothing else of it alive."""

    lines: Sequence[tuple[int, bytes]]
    """(offset, line)."""
    origin: Origin
    make: Callable[[Sequence[tuple[int, bytes]]], Sequence[LogRecord]]

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[LogRecord]:
        return iter(self.make(self.lines))

    @property
    def size(self) -> int:
        """Bytes of memory that the lines take, about."""
        return sum([len(line) for _, line in self.lines]) + _OVERHEAD * len(self.lines)

    def since(self, index: int) -> Lines:
        """Without the first ones."""
        return Lines(self.lines[index:], self.origin, self.make)


class Block(Sequence[LogRecord]):
    """The records of consecutive lines of one origin. Immutable."""

    __slots__ = ("_made", "_make", "lines", "origin", "severities", "wire")

    def __init__(
        self,
        lines: Sequence[tuple[int, bytes]],
        wire: bytes,
        severities: bytes,
        origin: Origin,
        make: Callable[[Sequence[tuple[int, bytes]]], Sequence[LogRecord]],
    ) -> None:
        self.lines = lines
        """(offset, line) of each record."""
        self.wire = wire
        """The bytes of all of them in an `ExportLogsServiceRequest`: the fields `ScopeLogs.log_records`."""
        self.severities = severities
        """One byte for the severity of each."""
        self.origin = origin
        self._make = make
        self._made: Sequence[LogRecord] | None = None

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[LogRecord]:
        if self._made is None:
            self._made = self._make(self.lines)
        return iter(self._made)

    @overload
    def __getitem__(self, index: int) -> LogRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LogRecord]: ...
    def __getitem__(self, index: int | slice) -> LogRecord | Sequence[LogRecord]:
        if self._made is not None:
            return self._made[index]
        return self._make(self.lines[index]) if isinstance(index, slice) else self._make([self.lines[index]])[0]

    def some(self, places: Sequence[int]) -> Sequence[LogRecord]:
        """Those at these places, ascending; no others are made."""
        lines, made = self.lines, self._made
        return self._make([lines[place] for place in places]) if made is None else [made[place] for place in places]

    def last(self, count: int) -> Lines:
        """The lines of the last ones; `count` is positive."""
        return Lines(self.lines[-count:], self.origin, self._make)


class Records(Sequence[LogRecord]):
    """Records in their order, some of them in blocks. It grows like a list, and compares like one."""

    __slots__ = ("segments",)

    def __init__(self, records: Iterable[LogRecord] = ()) -> None:
        self.segments: list[Block | list[LogRecord]] = []
        """Never an empty one."""
        self.extend(records)

    def append(self, record: LogRecord) -> None:
        """Add one at the end."""
        if self.segments and isinstance(last := self.segments[-1], list):
            last.append(record)
        else:
            self.segments.append([record])

    def extend(self, records: Iterable[LogRecord]) -> None:
        """Add some at the end; a block stays a block."""
        for segment in records.segments if isinstance(records, Records) else [records]:
            if isinstance(segment, Block):
                self.segments += [segment] if segment else []
            elif self.segments and isinstance(last := self.segments[-1], list):
                last += segment
            elif some := list(segment):
                self.segments.append(some)

    def __iadd__(self, records: Iterable[LogRecord]) -> Self:
        self.extend(records)
        return self

    def __add__(self, records: Iterable[LogRecord]) -> Records:
        made = Records(self)
        made.extend(records)
        return made

    def replace_last(self, record: LogRecord) -> None:
        """Put another in the place of the last."""
        self.segments[-1] = [*self.segments[-1][:-1], record]

    def __len__(self) -> int:
        return sum(map(len, self.segments))

    def __bool__(self) -> bool:
        return bool(self.segments)

    def __iter__(self) -> Iterator[LogRecord]:
        for segment in self.segments:
            yield from segment

    @overload
    def __getitem__(self, index: int) -> LogRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LogRecord]: ...
    def __getitem__(self, index: int | slice) -> LogRecord | Sequence[LogRecord]:
        if isinstance(index, slice):
            places = range(len(self))[index]
            return self._between(places) if places.step == 1 else [self[place] for place in places]
        place = range(len(self))[index]
        for segment in self.segments:
            if place < len(segment):
                return segment[place]
            place -= len(segment)
        raise IndexError(index)

    def _between(self, places: range) -> list[LogRecord]:
        """The records of consecutive places; of a block only those are made."""
        found: list[LogRecord] = []
        first = 0
        for segment in self.segments:
            found += segment[max(places.start - first, 0) : max(places.stop - first, 0)]
            first += len(segment)
        return found

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Records({list(self)!r})"


def segments_of(records: Sequence[LogRecord]) -> Sequence[Sequence[LogRecord]]:
    """The parts of records, in order: blocks, and others."""
    return records.segments if isinstance(records, Records) else [records]


def last(records: Sequence[LogRecord], count: int) -> list[Lines | Sequence[LogRecord]]:
    """The last records, in order; none of a block is made."""
    found: list[Lines | Sequence[LogRecord]] = []
    for segment in reversed(segments_of(records)):
        if count <= 0:
            break
        found.append(segment.last(count) if isinstance(segment, Block) else segment[-count:])
        count -= len(segment)
    return found[::-1]


def severities(records: Sequence[LogRecord]) -> Counter[int]:
    """How many records there are of each severity; none of a block is made."""
    found: Counter[int] = Counter()
    for segment in segments_of(records):
        found.update(segment.severities if isinstance(segment, Block) else [record.severity for record in segment])
    return found


def first_origin(records: Sequence[LogRecord]) -> Origin:
    """Where the first record comes from; there must be one."""
    first = segments_of(records)[0]
    return first.origin if isinstance(first, Block) else first[0].origin


def unusual(records: Sequence[LogRecord], usual: bytes) -> Iterator[tuple[int, LogRecord]]:
    """Records with their places: of a block only those whose severity is not among the usual ones; no others are made."""
    first = 0
    for segment in segments_of(records):
        if not isinstance(segment, Block) or not usual:
            yield from enumerate(segment, first)
        elif segment.severities.translate(None, usual):
            places = [place for place, severity in enumerate(segment.severities) if severity not in usual]
            yield from zip((first + place for place in places), segment.some(places), strict=True)
        first += len(segment)
