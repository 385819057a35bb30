"""All components of one configuration, as values: what `builder` makes and the other parts of the host work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.host.supervise import Health
from agent.target.roots import Roots

if TYPE_CHECKING:
    from agent.clock import Clock
    from agent.component import Exporter, Source
    from agent.history.store import History
    from agent.host.intake import Intake
    from agent.host.observing import Observer
    from agent.host.probing import ProbePoller
    from agent.host.sampling import SamplerPoller
    from agent.issues.issues import Issues
    from agent.metrics import Metrics
    from agent.spool.spool import Spool
    from agent.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Host:
    """The parts that live as long as the process and serve every pipeline."""

    clock: Clock
    metrics: Metrics
    telemetry: Telemetry
    spool: Spool
    since_ns: int = 0
    """Since when the ledger counts, nanoseconds since the Unix epoch."""
    history: History | None = None


@dataclass(frozen=True, slots=True)
class RunningSource:
    """A source and its way into the spool."""

    name: str
    type: str
    source: Source
    intake: Intake
    health: Health = field(default_factory=Health)


@dataclass(slots=True)
class Pipeline:
    """All components of one configuration."""

    sources: list[RunningSource] = field(default_factory=list)
    samplers: list[SamplerPoller] = field(default_factory=list)
    probes: list[ProbePoller] = field(default_factory=list)
    exporters: list[tuple[str, Exporter]] = field(default_factory=list)
    issues: Issues | None = None
    """Finds errors, if they have somewhere to go."""
    roots: Roots = field(default_factory=Roots)
    """The file systems of the workload's processes."""
    observer: Observer | None = None
    """Watches the target for its end, if one is configured."""

    async def close(self) -> None:
        """Release what sources and exporters hold, whatever was started; pollers close what they poll when they end."""
        for running in self.sources:
            await running.source.close()
        for _, exporter in self.exporters:
            await exporter.close()
        if self.issues is not None:
            self.issues.close()
        self.roots.close()
