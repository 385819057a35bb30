"""Everything about errors, as the host runs it: the detector for its intakes, and the work between batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.clock import every

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.clock import Clock
    from agent.issues.detector import IssueDetector
    from agent.issues.folding.summaries import Summaries
    from agent.issues.payloads import EventPayloads
    from agent.issues.runs.keeper import RunKeeper
    from agent.issues.runs.monitors import Monitors
    from agent.issues.source_states import SourceStates

TICK: Final = 5.0
"""Seconds between two looks for windows that are over."""


@dataclass(frozen=True, slots=True)
class Issues:
    """The parts, put together by `assembly`."""

    detector: IssueDetector
    payloads: EventPayloads
    states: SourceStates
    runs: RunKeeper
    summaries: Summaries
    monitors: Monitors
    clock: Clock
    sources: Sequence[str] = ()
    """Sources that may have left windows open in an earlier run."""

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        await self.restore(self.sources)
        await self.runs.end_orphans()
        await every(self.clock, TICK, self.tick)

    async def restore(self, sources: Iterable[str]) -> None:
        """Read back the windows that an earlier run has left open."""
        for source in sources:
            async with self.states.of(source).lock:
                await self.states.restore(source)

    async def tick(self) -> None:
        """Take a sample, keep runs, sum up the windows that are over, check in."""
        self.payloads.sample()
        await self.runs.tick()
        await self.summaries.send()
        await self.monitors.tick()

    async def finish(self) -> None:
        """Sum up all windows, also those that are not over."""
        await self.summaries.send(all_of_them=True)

    def close(self) -> None:
        """Let go of the SDK's client."""
        self.payloads.close()
