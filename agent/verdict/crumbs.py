"""What went before: the last records of each trail, made breadcrumbs only where an error wants them."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.verdict.errors import crumb_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.error_event import Crumb
    from agent.record import LogRecord

MAX_TRAILS: Final = 64
"""Trails that are remembered: the ones that were followed last."""


def is_child(record: LogRecord) -> bool:
    """Whether a record is the wrapped command's, or about it."""
    return record.origin.key.startswith("child:")


def trail(source: str, record: LogRecord) -> str:
    """What a record is a crumb for: its file; of the wrapped command all that it says and how it ends."""
    return source if is_child(record) else record.origin.key


class Crumbs:
    """The last records of each trail, as breadcrumbs."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, deque[Crumb]] = OrderedDict()

    def take(self, source: str, records: Sequence[LogRecord]) -> Batch:
        """Remember the last of a batch's records; return what one can ask for those before each of them."""
        last: dict[str, list[LogRecord]] = {}
        for record in records[-4 * self._limit :] if self._limit else ():
            last.setdefault(trail(source, record), []).append(record)
        before = {key: tuple(self._kept.get(key, ())) for key in last}
        for key, some in last.items():
            self._kept.setdefault(key, deque(maxlen=self._limit)).extend(crumb_of(record) for record in some[-self._limit :])
            self._kept.move_to_end(key)
        while len(self._kept) > MAX_TRAILS:
            self._kept.popitem(last=False)
        return Batch(source, records, before, self._limit)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, and what went before it."""

    source: str
    records: Sequence[LogRecord]
    before: Mapping[str, tuple[Crumb, ...]]
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
        key = trail(batch.source, batch.records[self.index])
        if not batch.limit:
            return ()
        near = batch.records[max(0, self.index - 4 * batch.limit) : self.index]
        own = tuple(crumb_of(record) for record in near if trail(batch.source, record) == key)
        return (*batch.before.get(key, ()), *own)[-batch.limit :]
