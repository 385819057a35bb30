"""One source's transactions: stored when there is room, or given up and counted.

part ──▶ spool.append ──▶ stored
│    └── full: wait (the source can read it again), refuse (its sender keeps it), or lose it and owe the count to the next commit
└─────── never fits: the caller halves it, or its largest row is given up
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.errors import SpoolFullError, SpoolOversizeError
from agent.record import Drop, Owner
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.record import Payload
    from agent.spool.spool import Spool
    from agent.telemetry import Telemetry

SETTLING: Final = 0.5
"""Seconds that a cancelled caller waits for a commit that cannot be stopped any more."""


@dataclass(frozen=True, slots=True)
class RecordsDropped(Event):
    """Records were lost, shortened or not understood. The spool counts them, in the transaction that stores the rest."""

    name = "records dropped or changed"
    level = Level.WARNING
    labels = ("source", "reason")
    source: str
    reason: str
    count: int


class Part(NamedTuple):
    """The content of one transaction."""

    payloads: Sequence[Payload]
    positions: Mapping[str, bytes | None]
    drops: Mapping[str, int]
    durable: bool = False
    state: Mapping[Owner, Mapping[str, bytes | None]] = {}
    """Positions of other owners than the source."""

    @property
    def records(self) -> int:
        """Records in all payloads."""
        return sum(payload.records for payload in self.payloads)


class Commits:
    """The transactions of one source."""

    def __init__(self, source: str, spool: Spool, telemetry: Telemetry, *, replayable: bool) -> None:
        self._source = source
        self._spool = spool
        self._telemetry = telemetry
        self._replayable = replayable
        self._owed: Mapping[str, int] = {}
        """Drops that could not be stored yet; the next commit counts them."""

    async def store(self, part: Part, stored: Callable[[Part], None], *, lighter: bool = False) -> None:
        """Store a part and call `stored` once it is committed, with what it was by then.

        SpoolOversizeError: it never fits, and `lighter` is not set. SpoolFullError: there is no room, and its sender keeps it.
        """
        owed, self._owed = self._owed, {}

        def settled(part: Part) -> None:
            nonlocal owed
            owed = {}
            stored(part)

        try:
            await self._store(part._replace(drops=total(part.drops, owed)), settled, lighter=lighter)
        except BaseException:
            self._owed = total(self._owed, owed)
            raise

    def lose(self, part: Part, reason: Drop) -> None:
        """Count a part that is given up."""
        self._owed = total(total(self._owed, part.drops), {reason: part.records})
        self._telemetry.emit(RecordsDropped(source=self._source, reason=reason, count=part.records))

    async def _store(self, part: Part, stored: Callable[[Part], None], *, lighter: bool) -> None:
        while True:
            try:
                await self._append(part, stored)
            except SpoolOversizeError:
                if not lighter or not part.payloads:
                    raise
                part = without_largest(part)
            except SpoolFullError:
                if part.durable:
                    raise
                if not self._replayable:
                    self.lose(part, Drop.SPOOL_FULL)
                    return
                await self._spool.wait_for_room()
            else:
                return

    async def _append(self, part: Part, stored: Callable[[Part], None]) -> None:
        """Append. If cancelled meanwhile, wait a moment for the commit: one that happened must not count as one that did not."""
        job = asyncio.ensure_future(
            self._spool.append(
                self._source,
                part.payloads,
                part.positions,
                part.drops,
                replayable=self._replayable or part.durable,
                durable=part.durable,
                state=part.state,
            )
        )
        job.add_done_callback(lambda done: None if done.cancelled() or done.exception() else stored(part))
        try:
            await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait([job], timeout=SETTLING)
            job.cancel()
            raise


def without_largest(part: Part) -> Part:
    """The same without its largest row, which is counted."""
    largest = max(part.payloads, key=lambda payload: len(payload.body))
    rest = [payload for payload in part.payloads if payload is not largest]
    return part._replace(payloads=rest, drops=total(part.drops, {Drop.SPOOL_OVERSIZE: largest.records}))


def total(first: Mapping[str, int], second: Mapping[str, int]) -> Mapping[str, int]:
    """The sums of both counts."""
    return Counter(first) + Counter(second) if second else first
