"""From the settings to components, wired to the host's parts. Wiring only: nothing is opened or started here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from agent import __version__
from agent.component import Context, Observing
from agent.encode.otlp_logs import LogEncoder
from agent.event_names import TARGET
from agent.host.intake import Intake
from agent.host.observing import Observer
from agent.host.polling import Host as PollingHost
from agent.host.polling import ProbePoller, SamplerPoller
from agent.host.supervise import Health
from agent.redact.redactor import Redactor
from agent.registry import Kind, load
from agent.resource import process
from agent.spool.positions import remembered_as
from agent.target.roots import Roots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from agent.component import Exporter, Probe, Sampler, Source
    from agent.config.settings import Entry, ProbeEntry, SamplerEntry, Settings
    from agent.issues.detector import Detector
    from agent.spool.spool import Spool

HOST_KEYS: Final = "host:"
"""Positions whose keys begin so are the host's (a detector's state), stored with the batches of a source and not shown to it."""


@dataclass(frozen=True, slots=True)
class Host(PollingHost):
    """What lives as long as the process, and every pipeline uses."""

    spool: Spool
    since_ns: int = 0
    """Since when the ledger counts, nanoseconds since the Unix epoch."""


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
    detector: Detector | None = None
    """What finds errors, if anybody is to be told of them."""
    roots: Roots = field(default_factory=Roots)
    """The file systems of the workload's processes."""
    observer: Observer | None = None
    """What watches the target for its end, if one is configured."""

    async def close(self) -> None:
        """Release what sources and exporters hold, whatever was started; pollers close what they poll when they end."""
        for running in self.sources:
            await running.source.close()
        for _, exporter in self.exporters:
            await exporter.close()
        if self.detector is not None:
            self.detector.close()
        self.roots.close()


class Builder:
    """Makes the components of one configuration."""

    def __init__(self, settings: Settings, host: Host) -> None:
        self._settings = settings
        self._host = host
        self._redactor = Redactor(settings.redact)
        self.roots = Roots()
        self.detector = self._make_detector()
        self._resource = settings.service.resource()
        self._encoder = LogEncoder(self._resource, ("outrider", __version__), settings.service.given())

    def _make_detector(self) -> Detector | None:
        """What finds errors; None if nobody is to be told of them."""
        if all(entry.type != "sentry" for entry in self._settings.exporters):
            return None
        from agent.host.detecting import build_detector  # noqa: PLC0415 - only with a Sentry destination

        return build_detector(self._settings, self._host, self._redactor.text, self.roots)

    def settling(self) -> float:
        """Seconds of silence after which log files have given out what was written last, an open record (a traceback) included."""
        entries = [entry for entry in self._settings.sources if entry.type == "log_files"]
        if not entries:
            return 0.0
        from agent.sources.log_files import LogFiles  # noqa: PLC0415 - only where it is configured, and loaded then anyhow

        return max(one.record_idle + 3 * one.poll_interval for entry in entries if isinstance(one := entry.options, LogFiles.Config))

    def identify(self, pid: int) -> None:
        """The workload is this process: what is collected from now on says so, but for what the configuration says itself."""
        resource: dict[str, str | int] = {"process.pid": pid, **process(pid), **self._resource}
        self._encoder.describe(resource)
        self._host.metrics.describe(resource)

    def build(self) -> Pipeline:
        """Every configured component, unstarted."""
        settings = self._settings
        pipeline = Pipeline(
            [self.source(entry) for entry in settings.sources],
            [self.sampler(entry) for entry in settings.samplers],
            [self.probe(entry) for entry in settings.probes],
            [(entry.name, cast("Exporter", self._component(Kind.EXPORTER, entry))) for entry in settings.exporters],
            self.detector,
            self.roots,
        )
        if self.detector is not None:
            self.detector.watch(pipeline.probes)
        if any(isinstance(poller.sampler, Observing) for poller in pipeline.samplers):
            emit = self.intake(TARGET, replayable=True).emit  # it can wait: what has ended does not change any more
            observer = pipeline.observer = Observer(
                pipeline.samplers, emit, self._positions(TARGET), self._host.clock, self.roots, settling=self.settling()
            )
            for poller in pipeline.probes:
                poller.planned = lambda: observer.at_rest
        return pipeline

    def source(self, entry: Entry) -> RunningSource:
        """One source with its intake."""
        source = cast("Source", self._component(Kind.SOURCE, entry))
        return RunningSource(entry.name, entry.type, source, self.intake(entry.name, replayable=source.replayable))

    def sampler(self, entry: SamplerEntry) -> SamplerPoller:
        """One sampler with the host that asks it."""
        return SamplerPoller(entry.name, cast("Sampler", self._component(Kind.SAMPLER, entry)), entry.interval, self._host)

    def probe(self, entry: ProbeEntry) -> ProbePoller:
        """One probe with the host that lets it look; changes of its state are records under its name."""
        probe = cast("Probe", self._component(Kind.PROBE, entry))
        emit = self.intake(entry.name, replayable=False).emit
        return ProbePoller(entry.name, probe, self._host, emit, interval=entry.interval, timeout=entry.timeout)

    def intake(self, name: str, *, replayable: bool) -> Intake:
        """The way into the spool for whoever emits under this name."""
        return Intake(
            name,
            replayable=replayable,
            spool=self._host.spool,
            redactor=self._redactor,
            encoder=self._encoder,
            detector=self.detector,
            telemetry=self._host.telemetry,
        )

    def context(self, name: str, place: str = "") -> Context:
        """What a component of this name is lent; `place`: where its positions stand, if not under its name."""
        host, spool = self._host, self._host.spool
        positions = self._positions(place or name)
        return Context(name, host.clock, host.metrics, host.telemetry, self._resource, positions, lambda: spool.evicted(name))

    def _positions(self, name: str) -> Callable[[], Awaitable[Mapping[str, bytes]]]:
        async def read() -> Mapping[str, bytes]:
            stored = await self._host.spool.positions(name)
            return {key: value for key, value in stored.items() if not key.startswith(HOST_KEYS)}

        return read

    def _component(self, kind: Kind, entry: Entry) -> object:
        place = remembered_as(entry.name) if kind is Kind.EXPORTER else entry.name
        return load(kind, entry.type)(entry.options, self.context(entry.name, place))
