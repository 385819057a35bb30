"""The last records of each trail, made breadcrumbs only for an event that needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING

from agent.columns import Block, Lines, segments_of
from agent.issues.reading.record_fields import breadcrumb_of
from agent.issues.reading.rules import is_child
from agent.issues.recent.last_records import LastOfEach
from agent.record import LogRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agent.issues.event.error_event import Breadcrumb
    from agent.issues.recent.last_records import LastRecords
    from agent.record import Origin

Part = Lines | Sequence[LogRecord]
_origin = attrgetter("origin")


def trail(source: str, origin: Origin) -> str:
    """The records that precede one another: those of a file; of the wrapped command all output and its end."""
    return source if is_child(origin) else origin.key


def by_trail(source: str, records: Sequence[LogRecord], limit: int, end: int | None = None) -> Mapping[str, Sequence[Part]]:
    """At least the last `limit` records before `end` of each trail, in order; of blocks their lines. The trail of the last record is the last."""
    found: dict[str, list[Part]] = {}
    rows: dict[str, int] = {}
    for origin, part in _parts_backwards(records, limit, end):
        key = trail(source, origin)
        if rows.get(key, 0) < limit:
            found.setdefault(key, []).append(part)
            rows[key] = rows.get(key, 0) + len(part)
    return {key: parts[::-1] for key, parts in reversed(found.items())}


def _parts_backwards(records: Sequence[LogRecord], limit: int, end: int | None) -> Iterator[tuple[Origin, Part]]:
    """Records of one origin that follow one another, no more than the last `limit` of them; the last ones first."""
    first = len(records)
    for segment in reversed(segments_of(records)):
        first -= len(segment)
        until = len(segment) if end is None else min(end - first, len(segment))
        if until <= 0 or limit <= 0:
            continue
        if isinstance(segment, Block):
            yield segment.origin, _lines(segment, max(0, until - limit), until)
            continue
        for origin, group in groupby(reversed(segment[:until]), _origin):
            yield origin, list(islice(group, limit))[::-1]


def _lines(block: Block, first: int, until: int) -> Lines:
    lines = block.last(len(block) - first)
    return lines if until == len(block) else replace(lines, lines=lines.lines[: until - first])


class Breadcrumbs:
    """The last records of each trail, as breadcrumbs."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = LastOfEach(limit, breadcrumb_of)

    def keep(self, source: str, records: Sequence[LogRecord]) -> None:
        """Remember the last of a batch's records."""
        for key, parts in by_trail(source, records, self._limit).items():
            self._kept.extend(key, parts)

    def before(
        self, source: str, records: Sequence[LogRecord], origins: Iterable[Origin], waiting: Iterable[tuple[str, Sequence[LogRecord]]] = ()
    ) -> Preceding:
        """The records before those of a batch that are of these origins.

        `waiting`: earlier batches that are not kept yet, each with its source.
        """
        kept = {key: self._kept.of(key) for key in {trail(source, origin) for origin in origins}}
        for name, some in waiting:
            for key, parts in by_trail(name, some, self._limit).items():
                if key in kept:
                    kept[key].extend(parts)
        return Preceding(source, records, kept, self._limit)


@dataclass(frozen=True, slots=True)
class Preceding:
    """A batch, and the records before it."""

    source: str
    records: Sequence[LogRecord]
    kept: Mapping[str, LastRecords[Breadcrumb]]
    limit: int

    def breadcrumbs(self, index: int) -> tuple[Breadcrumb, ...]:
        """The records of the same trail before one of the batch, the oldest first."""
        key = trail(self.source, self.records[index].origin)
        found = self.kept[key].copy()
        found.extend(by_trail(self.source, self.records, self.limit, index).get(key, ()))
        return tuple(found)
