"""JSON lines, many at a time: ordinary lines → a `Block`, column by column. The agent's hottest code.

    lines ──orjson──▶ objects ──grouped by their names──▶ columns: time, level, body and ids understood ──▶ encoded

Ordinary is a line with a time, a level and a body that mean what they should; `json_lines.parse` takes the others, and is the reference of
this module: a property test holds them equal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import orjson

from agent.columns import Block, Columns
from agent.encode.otlp_columns import ColumnEncoder
from agent.parse import fields as named
from agent.parse import json_rows, trace_context
from agent.parse.limits import MAX_TEXT
from agent.parse.timestamps import EARLIEST, LATEST, NS, from_text, parse_time
from agent.record import LogRecord

if TYPE_CHECKING:
    from agent.record import Origin, Value

MOST: Final = 256
"""Lines of one block: what is made of them stays in the processor's cache until it is encoded."""
FEWEST: Final = 128
"""Where ordinary lines come in runs of fewer than half of this, they are read row by row: most of what is read ahead would be in vain."""
_SCATTERED: Final = 5
"""With fewer lines than this with the same names, on average, columns cost more than they save."""
_FEW: Final = 16
"""Fewer lines than this are sooner read row by row."""
_TEXTS: Final = frozenset((str,))
_DOUBLES: Final = frozenset((float,))
_OBJECTS: Final = frozenset((dict,))
_DECIMAL: Final = (trace_context.datadog_trace_id, trace_context.datadog_span_id)
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


class _Seconds(dict[str, int]):
    """A time to the second → nanoseconds since the epoch, or far below zero if it is none."""

    def __missing__(self, text: str) -> int:
        """Work one out."""
        if len(self) >= 1024:
            self.clear()
        time_ns = from_text(text + "Z")
        made = self[text] = time_ns if time_ns and time_ns % NS == 0 else -EARLIEST
        return made


_seconds: Final = _Seconds()


class JsonReader:
    """Reads blocks of one origin. `more`: attributes that every record gets unless it has one of that name."""

    def __init__(self, origin: Origin, observed_ns: int, more: Mapping[str, Value] | None = None) -> None:
        self._origin = origin
        self._observed_ns = observed_ns
        self._more = more or {}

    def take(self, lines: Lines) -> Sequence[LogRecord]:
        """The records of the first lines, up to the first that is not ordinary: a block where that saves work."""
        groups, size = _grouped(lines, len(lines) // _SCATTERED)
        return self.rows(lines) if len(groups) * _SCATTERED > size else self._block(lines, groups, size)

    def rows(self, lines: Lines) -> list[LogRecord]:
        """The same row by row."""
        return json_rows.read(lines, self._origin, self._observed_ns, self._more)

    def read(self, lines: Lines) -> Block:
        """The same as a block."""
        return self._block(lines, *_grouped(lines))

    def _block(self, lines: Lines, groups: Collection[Group], size: int) -> Block:
        columns = self._columns(groups, lines)
        if len(columns) < len(groups):
            size = len(self.rows(lines[:size]))
            groups, _ = _grouped(lines[:size])
            columns = self._columns(groups, lines)
        if len(columns) < len(groups):  # never seen; in any case the slower reader takes these lines
            size, columns = 0, []
        severities = bytearray(size)
        for group in columns:
            for place, (severity, _) in zip(group.places, group.levels, strict=True):
                severities[place] = severity
        wire = _encoder.encode(columns, size, self._origin, self._observed_ns)
        return Block(lines[:size], wire, bytes(severities), self._origin, self._records)

    def _columns(self, groups: Iterable[Group], lines: Lines) -> list[Columns]:
        """The columns of the groups in which all lines are ordinary."""
        return [made for group in groups if (made := _columns_of(group, lines, self._more)) is not None]

    def _records(self, lines: Lines) -> list[LogRecord]:
        """The same once more as records: mostly of few lines, such as the errors among many."""
        if len(lines) < _FEW:
            return self.rows(lines)
        groups, _ = _grouped(lines)
        placed = [pair for group in self._columns(groups, lines) for pair in zip(group.places, self._rows(group, lines), strict=True)]
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


def _grouped(lines: Lines, enough: int = MOST) -> tuple[Collection[Group], int]:
    """The first lines' objects by their names, and how many lines that are; it ends when there are more than `enough` groups."""
    groups: dict[tuple[str, ...], Group] = {}
    objects = _objects([line for _, line in lines])
    for place, (names, fields) in enumerate(zip(map(tuple, objects), objects, strict=True)):
        group = groups.get(names)
        if group is None:
            if len(groups) > enough or not (plan := named.plans[names]).plain:
                return groups.values(), place
            group = groups[names] = Group(names, plan, [], [])
        group.places.append(place)
        group.rows.append(fields.values())
    return groups.values(), len(objects)


def _objects(texts: Sequence[bytes]) -> Sequence[dict[str, Value]]:
    """The objects of the first texts, up to the first that holds none, or is too long to be taken as it is."""
    try:
        values = list(map(orjson.loads, texts))
    except ValueError:
        values = list(_until_error(texts))
    if set(map(type, values)) <= _OBJECTS and max(map(len, texts), default=0) <= MAX_TEXT:
        return values
    odd = (place for place, value in enumerate(values) if type(value) is not dict or len(texts[place]) > MAX_TEXT)
    return values[: next(odd, None)]


def _until_error(texts: Iterable[bytes]) -> Iterator[dict[str, Value]]:
    with suppress(ValueError):
        for text in texts:
            yield orjson.loads(text)


def _columns_of(group: Group, lines: Lines, more: Mapping[str, Value]) -> Columns | None:
    """The records of a group; None if one of them is not ordinary."""
    plan = group.plan
    columns = dict(zip(group.names, zip(*group.rows, strict=True), strict=True))
    times = _times(columns.pop(cast("str", plan.time)))
    levels = _levels(columns.pop(cast("str", plan.level)), plan)
    bodies = columns.pop(cast("str", plan.body))
    traces = plan.trace and _ids(columns.pop(plan.trace), 16, plan.trace_of)
    spans = plan.span and _ids(columns.pop(plan.span), 8, plan.span_of)
    if times is None or levels is None or not _are_texts(bodies) or traces == [] or spans == []:
        return None
    if plan.error and list in set(map(type, columns[plan.error])):
        return None
    kinds = [set(map(type, column)) for column in columns.values()]
    doubtful = [column for of_column, column in zip(kinds, columns.values(), strict=True) if not _is_exact(of_column, column)]
    if doubtful and any(json_rows.is_hazardous(lines[place][1]) for place in _inexact(group.places, doubtful)):
        return None
    for name, value in more.items():
        if name not in columns:
            columns[name] = (value,) * len(times)
            kinds.append({type(value)})
    texts = cast("Sequence[str]", bodies)
    return Columns(group.places, times, levels, texts, tuple(columns), list(columns.values()), kinds, traces or None, spans or None)


def _is_exact(kinds: set[type], column: Sequence[Value]) -> bool:
    """Whether there is certainly no number among the values, at any depth, that `orjson` may have rounded, and nothing is deep."""
    if kinds <= json_rows.FLAT:
        return True
    if kinds == _DOUBLES:
        doubles = cast("Sequence[float]", column)
        return max(doubles) < json_rows.WIDE and min(doubles) > -json_rows.WIDE
    return False


def _inexact(places: Sequence[int], doubtful: Iterable[Sequence[Value]]) -> Iterator[int]:
    """Where such values really are. A line must not become odd by those beside it: it would be found ordinary when it is looked at alone."""
    return (place for place, *row in zip(places, *doubtful, strict=True) if not all(map(json_rows.is_certain, row)))


def _are_texts(column: Sequence[Value]) -> bool:
    return set(map(type, column)) == _TEXTS


def _times(column: Sequence[Value]) -> list[int] | None:
    """Nanoseconds since the epoch, by the rules of `timestamps`; None if one of them is not a time."""
    times = _usual_times(cast("Sequence[str]", column)) if _are_texts(column) else None
    if times is None:
        times = [parse_time(value) for value in column]
    return times if min(times) >= EARLIEST and max(times) <= LATEST else None


def _usual_times(column: Sequence[str]) -> list[int] | None:
    """With microseconds and `Z`, the most frequent form: the second is mostly that of the line before. None: not all are so."""
    size = len(column)
    joined = "".join(column)
    if set(map(len, column)) != {27} or joined[19::27] != "." * size or joined[26::27] != "Z" * size:
        return None
    fractions = [text[20:26] for text in column]
    if not "".join(fractions).isdigit() or not joined.isascii():
        return None
    seconds = _seconds
    return [seconds[text[:19]] + int(fraction) * 1000 for text, fraction in zip(column, fractions, strict=True)]


def _levels(column: Sequence[Value], plan: named.Plan) -> list[tuple[int, str]] | None:
    """The levels; None if one is not one, is coloured, or may as well stand in another field."""
    if _are_texts(column):
        known = {text: named.levels[text] for text in cast("set[str]", set(column))}
        if any(level.text != text or not (plan.sure or level.number) for text, level in known.items()):
            return None
        return [known[text] for text in cast("Sequence[str]", column)]
    levels = [named.as_level(value, bunyan=plan.bunyan) for value in column]
    return None if not plan.sure or None in levels else cast("list[tuple[int, str]]", levels)


def _ids(column: Sequence[Value], size: int, understand: named.Identify) -> list[bytes]:
    """Ids of so many bytes, mostly from hexadecimal digits; empty if one of them is not one."""
    usual = _usual_ids(cast("Sequence[str]", column), size) if understand not in _DECIMAL and _are_texts(column) else []
    if usual:
        return usual
    ids = [understand(value) for value in column]
    return [] if None in ids else cast("list[bytes]", ids)


def _usual_ids(column: Sequence[str], size: int) -> list[bytes]:
    """As above, of texts that are all digits and of full length; empty if they are not."""
    if set(map(len, column)) != {2 * size}:
        return []
    try:
        joined = bytes.fromhex("".join(column))
    except ValueError:
        return []
    ids = [joined[at : at + size] for at in range(0, len(joined), size)]
    return ids if len(joined) == size * len(column) and bytes(size) not in ids else []
