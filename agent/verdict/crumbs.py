"""What went before: the last records of each trail, made breadcrumbs only where an error wants them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.columns import Lines, last
from agent.verdict.errors import crumb_of
from agent.verdict.last import LastOfEach

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.error_event import Crumb
    from agent.record import LogRecord, Origin
    from agent.verdict.last import Last

_NEAR: Final = 4
"""So many times as many records as there may be crumbs are looked through: those of other trails may lie between."""


def is_child(origin: Origin) -> bool:
    """Whether a record from there is the wrapped command's, or about it."""
    return origin.key.startswith("child:")


def trail(source: str, origin: Origin) -> str:
    """What a record is a crumb for: its file; of the wrapped command all that it says and how it ends."""
    return source if is_child(origin) else origin.key


def by_trail(source: str, parts: Iterable[Lines | Sequence[LogRecord]]) -> Mapping[str, Sequence[Lines | Sequence[LogRecord]]]:
    """Parts of records, each trail's in their order; in the order in which the trails appear."""
    found: dict[str, list[Lines | Sequence[LogRecord]]] = {}
    for part in parts:
        if isinstance(part, Lines):
            found.setdefault(trail(source, part.origin), []).append(part)
            continue
        records: dict[str, list[LogRecord]] = {}
        for record in part:
            records.setdefault(trail(source, record.origin), []).append(record)
        for key, some in records.items():
            found.setdefault(key, []).append(some)
    return found


class Crumbs:
    """The last records of each trail, as breadcrumbs."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = LastOfEach(limit, crumb_of)

    def take(self, source: str, records: Sequence[LogRecord]) -> Batch:
        """Remember the last of a batch's records; return what one can ask for those before each of them."""
        found = by_trail(source, last(records, _NEAR * self._limit))
        before = {key: self._kept.of(key) for key in found}
        for key, parts in found.items():
            self._kept.extend(key, parts)
        return Batch(source, records, before, self._limit)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, and what went before it."""

    source: str
    records: Sequence[LogRecord]
    before: Mapping[str, Last[Crumb]]
    limit: int

    def of(self, index: int) -> LazyCrumbs:
        """What went before a record."""
        return LazyCrumbs(self, index)


@dataclass(frozen=True, slots=True)
class LazyCrumbs:
    """Breadcrumbs of one record, made when they are wanted: most errors of a storm are folded and want none."""

    batch: Batch
    index: int

    def __call__(self) -> tuple[Crumb, ...]:
        """The records of the same trail before this one, the oldest first."""
        batch = self.batch
        if not batch.limit:
            return ()
        key = trail(batch.source, batch.records[self.index].origin)
        near = batch.records[max(0, self.index - _NEAR * batch.limit) : self.index]
        own = tuple(crumb_of(record) for record in near if trail(batch.source, record.origin) == key)
        return (*batch.before.get(key, ()), *own)[-batch.limit :]
