"""Everything about errors, as the host runs it: the parts put together, and the work between batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.clock import every
from agent.issues.detector import IssueDetector
from agent.issues.payloads import EventPayloads
from agent.issues.reader import RecordReader
from agent.issues.recent.activity import RecentActivity
from agent.issues.recent.breadcrumbs import Breadcrumbs
from agent.issues.runs.keeper import RunKeeper
from agent.issues.runs.monitors import Monitors
from agent.issues.source_states import SourceStates
from agent.issues.summaries import Summaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.clock import Clock
    from agent.issues.event.completer import Completer
    from agent.issues.options import IssueOptions
    from agent.issues.source_states import IssueSpool
    from agent.metrics import Metrics
    from agent.telemetry import Telemetry


TICK: Final = 5.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Issues:
    """The parts: the detector is for the intakes."""

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
        """Take a sample, keep runs, sum up the windows that have ended, check in."""
        self.payloads.sample()
        await self.runs.tick()
        await self.summaries.send()
        await self.monitors.tick()

    async def finish(self) -> None:
        """Sum up all windows."""
        await self.summaries.send(all_of_them=True)

    def close(self) -> None:
        """Let go of the SDK's client."""
        self.payloads.close()


def assemble(
    options: IssueOptions,
    completer: Completer,
    figures: Callable[[], Mapping[str, float]],
    *,
    spool: IssueSpool,
    clock: Clock,
    metrics: Metrics,
    telemetry: Telemetry,
) -> Issues:
    """The parts over one spool; `figures` reads the workload's figures at this moment."""
    states = SourceStates(options, spool)
    runs = RunKeeper(options, states, spool, clock)
    activity = RecentActivity(clock, figures)
    payloads = EventPayloads(options, completer, activity, clock)
    reader, breadcrumbs = RecordReader(options, runs), Breadcrumbs(options.breadcrumbs)
    detector = IssueDetector(
        reader, payloads, states, runs, breadcrumbs=breadcrumbs, activity=activity, clock=clock, metrics=metrics, telemetry=telemetry
    )
    summaries, monitors = Summaries(states, payloads, spool, clock), Monitors(options.reporting, spool)
    return Issues(detector, payloads, states, runs, summaries, monitors, clock, options.sources)
