"""JSON lines, many at a time: ordinary lines → a `Block`, column by column. The agent's hottest code.

    lines ──orjson──▶ objects ──grouped by their names──▶ columns: time, level, body and ids understood ──▶ encoded

Ordinary is a line with a time, a level and a body that mean what they should; `json_lines.parse` takes the others, and is the reference of
this module: a property test holds them equal.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import orjson
import re2

from agent.columns import Block, Columns
from agent.encode.otlp_columns import ColumnEncoder
from agent.parse import fields as named
from agent.parse.json_lines import LONG_NUMBER, too_deep
from agent.parse.limits import MAX_TEXT
from agent.parse.timestamps import EARLIEST, from_text, parse_time
from agent.record import LogRecord

if TYPE_CHECKING:
    from agent.record import Origin, Value

MOST: Final = 256
"""Lines of one block: what is made of them stays in the processor's cache until it is encoded."""
_HAZARDS: Final = re2.compile(rb"[:,\[\s](?:[0-9]{20}|-[0-9]{19})|(?:[{\[][^{\[\n]*){65}")
"""A number that may need more than 64 bits, or so many brackets in a line that it may nest deeper than `MAX_DEPTH`."""
_EXACT: Final = 4_000_000_000_000_000_000
"""Up to here (the year 2096) a double holds microseconds exactly with a half to spare; what is later takes the longer way."""
_TEXTS: Final = frozenset((str,))
_encoder: Final = ColumnEncoder()
"""One for all files: what it remembers depends on names and values only."""

Lines = Sequence[tuple[int, bytes]]
"""(offset, line without its end)."""


class Group(NamedTuple):
    """Lines with the same names."""

    names: tuple[str, ...]
    plan: named.Plan
    places: list[int]
    rows: list[Iterable[Value]]


class Reader:
    """Reads blocks of one origin. `more`: attributes that every record gets unless it has one of that name."""

    def __init__(self, origin: Origin, observed_ns: int, more: Mapping[str, Value] | None = None) -> None:
        self._origin = origin
        self._observed_ns = observed_ns
        self._more = more or {}

    def read(self, lines: Lines, *, careful: bool = True) -> Block:
        """The records of the first lines, up to the first that is not ordinary. `careful`: some line may be hazardous, look at each."""
        groups, size = _grouped(lines, careful=careful)
        columns = self._columns(groups)
        if len(columns) < len(groups):
            size = min(_first_odd(group) for group in groups)
            groups, _ = _grouped(lines[:size], careful=careful)
            columns = self._columns(groups)
        worst = max((max(group.levels)[0] for group in columns), default=0)
        return Block(lines[:size], _encoder.encode(columns, size, self._origin, self._observed_ns), worst, self._records)

    def _columns(self, groups: Iterable[Group]) -> list[Columns]:
        """The columns of the groups in which all lines are ordinary."""
        return [made for group in groups if (made := _columns_of(group, self._more)) is not None]

    def _records(self, lines: Lines) -> list[LogRecord]:
        """The same once more as records."""
        groups, _ = _grouped(lines, careful=False)
        placed = [pair for group in self._columns(groups) for pair in zip(group.places, self._rows(group, lines), strict=True)]
        return [record for _, record in sorted(placed, key=itemgetter(0))]

    def _rows(self, group: Columns, lines: Lines) -> Iterator[LogRecord]:
        observed_ns, origin, names = self._observed_ns, self._origin, group.names
        values = zip(*group.values, strict=True) if names else repeat(())
        traces, spans = group.traces or repeat(b""), group.spans or repeat(b"")
        for place, time_ns, (severity, text), body, row, trace, span in zip(
            group.places, group.times_ns, group.levels, group.bodies, values, traces, spans, strict=False
        ):
            attributes = dict(zip(names, row, strict=True))
            yield LogRecord(time_ns, observed_ns, severity, text, body, attributes, origin, lines[place][0], trace, span)


def hazardous(text: bytes) -> bool:
    """Whether any line of a chunk may hold what `orjson` takes and we do not: numbers beyond 64 bits, deep nesting."""
    return _HAZARDS.search(text) is not None


def _grouped(lines: Lines, *, careful: bool) -> tuple[Collection[Group], int]:
    """The first lines' objects by their names, and how many lines that are. One loop with local variables: each line goes through it."""
    loads, plans = orjson.loads, named.plans
    groups: dict[tuple[str, ...], Group] = {}
    for place, (_, line) in enumerate(lines):
        try:
            fields = loads(line)
        except ValueError:
            return groups.values(), place
        if type(fields) is not dict or len(line) > MAX_TEXT or (careful and (too_deep(line) or LONG_NUMBER.search(line))):
            return groups.values(), place
        names = tuple(fields)
        group = groups.get(names)
        if group is None:
            if not (plan := plans[names]).plain:
                return groups.values(), place
            group = groups[names] = Group(names, plan, [], [])
        group.places.append(place)
        group.rows.append(fields.values())
    return groups.values(), len(lines)


def _columns_of(group: Group, more: Mapping[str, Value]) -> Columns | None:
    """The records of a group; None if one of them is not ordinary."""
    plan = group.plan
    columns = dict(zip(group.names, zip(*group.rows, strict=True), strict=True))
    times = _times(columns.pop(cast("str", plan.time)))
    levels = _levels(columns.pop(cast("str", plan.level)), bunyan=plan.present.bunyan)
    bodies = columns.pop(cast("str", plan.body))
    traces = plan.trace and _ids(columns.pop(plan.trace), 16)
    spans = plan.span and _ids(columns.pop(plan.span), 8)
    if times is None or levels is None or not _are_texts(bodies) or traces == [] or spans == []:
        return None
    for name, value in more.items():
        columns.setdefault(name, (value,) * len(times))
    texts = cast("Sequence[str]", bodies)
    return Columns(group.places, times, levels, texts, tuple(columns), list(columns.values()), traces or None, spans or None)


def _first_odd(group: Group) -> int:
    """The place of the first line of a group that is not ordinary; beyond all places if there is none."""
    alone = (group._replace(places=[place], rows=[row]) for place, row in zip(group.places, group.rows, strict=True))
    return next((one.places[0] for one in alone if _columns_of(one, {}) is None), sys.maxsize)


def _are_texts(column: Sequence[Value]) -> bool:
    return set(map(type, column)) == _TEXTS


def _times(column: Sequence[Value]) -> list[int] | None:
    """Nanoseconds since the epoch, by the rules of `timestamps`; None if one of them is no time."""
    from_iso = datetime.fromisoformat
    if not _are_texts(column):
        times = [parse_time(value) for value in column]
    else:
        try:  # microseconds and Z is what nearly everybody writes
            times = [
                int(from_iso(text).timestamp() * 1e6 + 0.5) * 1000 if text[26:] == "Z" and text[4] == "-" else from_text(text)
                for text in cast("Sequence[str]", column)
            ]
        except ValueError:
            return None
    return times if min(times) >= EARLIEST and max(times) <= _EXACT else None


def _levels(column: Sequence[Value], *, bunyan: bool) -> list[tuple[int, str]] | None:
    if _are_texts(column):
        numbers = named.levels
        return [(numbers[text], text) for text in cast("Sequence[str]", column)]
    levels = [named.as_level(value, bunyan=bunyan) for value in column]
    return None if None in levels else cast("list[tuple[int, str]]", levels)


def _ids(column: Sequence[Value], size: int) -> list[bytes]:
    """Ids of so many bytes from their hexadecimal digits; empty if one of them is none."""
    if not _are_texts(column) or set(map(len, texts := cast("Sequence[str]", column))) != {2 * size}:
        return []
    try:
        joined = bytes.fromhex("".join(texts))
    except ValueError:
        return []
    ids = [joined[at : at + size] for at in range(0, len(joined), size)]
    return ids if len(joined) == size * len(texts) and bytes(size) not in ids else []
