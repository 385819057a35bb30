"""Ends the windows of folded errors: each that is over becomes a summary, stored with the positions that forget it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from agent.errors import SpoolError
from agent.issues.source_states import PATIENCE

if TYPE_CHECKING:
    from agent.clock import Clock
    from agent.issues.folding.windows import Storms
    from agent.issues.payloads import EventPayloads
    from agent.issues.source_states import DetectorSpool, KnownSources


class Folding:
    """Looks after the windows of all sources."""

    def __init__(self, sources: KnownSources, payloads: EventPayloads, spool: DetectorSpool, clock: Clock) -> None:
        self._sources = sources
        self._payloads = payloads
        self._spool = spool
        self._clock = clock

    async def close(self, *, all_of_them: bool = False) -> None:
        """Report what was folded in windows that are over, or in all."""
        for source, known in self._sources.all():
            async with known.free_within(None if all_of_them else PATIENCE) as free:
                if free and known.storms is not None:
                    await self._close(source, known.storms, all_of_them=all_of_them)

    async def _close(self, source: str, storms: Storms, *, all_of_them: bool) -> None:
        with storms.begin() as draft:
            summaries = draft.close(self._clock.wall_ns(), all_of_them=all_of_them)
            made = [await self._payloads.summary(source, one) for one in summaries]
            lost = storms.overflow
            draft.overflow = -lost
            made += self._payloads.report(sum(one.window.folded - 1 for one in summaries), lost)
            positions = draft.positions()
            if positions:
                with contextlib.suppress(SpoolError):  # nothing was stored: the next look does it
                    await self._spool.append(source, made, positions, {}, replayable=True)
                    draft.commit()
