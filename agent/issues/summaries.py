"""Sends the summaries of folded errors: one for each window that has ended, stored with the positions that forget it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from agent.errors import SpoolError
from agent.issues.source_states import PATIENCE
from agent.record import Owner

if TYPE_CHECKING:
    from agent.clock import Clock
    from agent.issues.payloads import EventPayloads
    from agent.issues.source_states import IssueSpool, SourceStates
    from agent.issues.windows import OpenWindows


class Summaries:
    """Sums up the windows of all sources."""

    def __init__(self, states: SourceStates, payloads: EventPayloads, spool: IssueSpool, clock: Clock) -> None:
        self._states = states
        self._payloads = payloads
        self._spool = spool
        self._clock = clock

    async def send(self, *, all_of_them: bool = False) -> None:
        """Sum up the windows that have ended, or all."""
        for source, state in self._states.all():
            async with state.free_within(None if all_of_them else PATIENCE) as free:
                if free and state.windows is not None:
                    await self._send(source, state.windows, all_of_them=all_of_them)

    async def _send(self, source: str, windows: OpenWindows, *, all_of_them: bool) -> None:
        with windows.begin() as draft:
            summaries = draft.close(self._clock.wall_ns(), all_of_them=all_of_them)
            made = [await self._payloads.summary(source, one) for one in summaries]
            lost = windows.overflow
            draft.overflow = -lost
            made += self._payloads.report(sum(one.window.folded - 1 for one in summaries), lost)
            positions = draft.positions()
            if positions:
                with contextlib.suppress(SpoolError):  # nothing was stored: the next tick does it
                    await self._spool.append(source, made, {}, {}, replayable=True, state={Owner.ISSUES: positions})
                    draft.commit()
