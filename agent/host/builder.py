"""From the settings to components, wired to the host's parts. Wiring only: nothing is opened or started here."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from agent import __version__
from agent.component import Context, Observing, Settling, Tapping, Verbatim
from agent.config.settings import SamplerEntry
from agent.encode.otlp_logs import LogEncoder
from agent.host.intake import Intake, Way
from agent.host.observing import Observer
from agent.host.pipeline import Pipeline, RunningSource
from agent.host.probing import ProbePoller
from agent.host.sampling import SamplerPoller
from agent.names import PROCESS_PID, TARGET
from agent.record import Owner, Signal
from agent.redact.redactor import Redactor
from agent.registry import TARGET_SAMPLER, Kind, load
from agent.resource import process

if TYPE_CHECKING:
    from agent.component import Exporter, Probe, Sampler, Source, Stage, Tap
    from agent.config.settings import Entry, ProbeEntry, Settings
    from agent.host.pipeline import Host
    from agent.issues.issues import Issues


class Builder:
    """Makes the components of one configuration."""

    def __init__(self, settings: Settings, host: Host) -> None:
        self._settings = settings
        self._host = host
        self._redactor = Redactor(settings.redact)
        self._resource = settings.service.resource()
        self._encoder = LogEncoder(self._resource, ("outrider", __version__), settings.service.given(), self._redactor.attributes)
        self._pipeline = Pipeline()
        self.roots = self._pipeline.roots
        self.stages: list[Stage] = []
        """Steps that all batches pass before they are redacted, in order."""
        self.taps: list[Tap] = []
        """Functions that see all stored batches."""

    def build(self) -> Pipeline:
        """Every configured component, unstarted. Exporters come first: errors are searched for only if an exporter takes them."""
        settings, pipeline = self._settings, self._pipeline
        pipeline.exporters += [(entry.name, self._exporter(entry)) for entry in settings.exporters]
        pipeline.issues = self._make_issues()
        pipeline.sources += [self._source(entry) for entry in settings.sources]
        pipeline.samplers += [self._sampler(entry) for entry in settings.samplers]
        pipeline.probes += [self._probe(entry) for entry in settings.probes]
        if any(isinstance(poller.sampler, Observing) for poller in pipeline.samplers):
            self._observe()
        return pipeline

    @property
    def issues(self) -> Issues | None:
        """The search for errors, if they have somewhere to go."""
        return self._pipeline.issues

    def settling(self) -> float:
        """Seconds of silence after which all sources have emitted all their input, including an open record (a traceback)."""
        return max((one.source.settling for one in self._pipeline.sources if isinstance(one.source, Settling)), default=0.0)

    def identify(self, pid: int) -> None:
        """Take this process as the workload: its attributes are in the resource from now on, except those that the configuration gives."""
        resource: dict[str, str | int] = {PROCESS_PID: pid, **process(pid), **self._resource}
        self._encoder.describe(resource)
        self._host.metrics.describe(resource)

    def begin(self, run: str, began_ns: int) -> None:
        """A run of the workload has begun, by this key."""
        if self.issues is not None:
            self.issues.runs.child_started(run, began_ns)

    def follow(self, pid: int) -> None:
        """The workload is this process, and its files are seen as it sees them."""
        self.identify(pid)
        self.roots.follow(pid, self._host.clock.wall_ns())

    def target_sampler(self, target: str, interval: float) -> SamplerPoller:
        """A sampler that measures a target, which the configuration does not name; `interval` in seconds."""
        options = load(Kind.SAMPLER, TARGET_SAMPLER).Config.model_validate({"target": target})
        return self._sampler(SamplerEntry(type=TARGET_SAMPLER, name=TARGET_SAMPLER, options=options, interval=interval))

    def intake(self, name: str, *, replayable: bool, verbatim: bool = False) -> Intake:
        """The way into the spool for all that is emitted under this name."""
        detector = self.issues.detector if self.issues else None
        way = Way(self._host.spool, self._redactor, self._encoder, self._host.telemetry, detector, self.stages, self.taps)
        return Intake(name, way, replayable=replayable, verbatim=verbatim)

    def context(self, name: str, owner: Owner = Owner.SOURCE) -> Context:
        """The context of a component of this name; `owner`: the owner of its positions."""
        host, spool = self._host, self._host.spool
        positions = functools.partial(spool.positions, name, owner)
        return Context(
            name, host.clock, host.metrics, host.telemetry, self._resource, positions, lambda: spool.evicted(name), history=host.history
        )

    def _make_issues(self) -> Issues | None:
        if not any(Signal.SENTRY_ERROR in exporter.signals for _, exporter in self._pipeline.exporters):
            return None
        from agent.host.issues import build_issues  # noqa: PLC0415 - only with a destination of errors

        return build_issues(self._settings, self._host, self._pipeline, self._redactor.text)

    def _observe(self) -> None:
        """Watch the target for its end."""
        pipeline, context = self._pipeline, self._storing(TARGET, replayable=True)  # it can wait: what has ended does not change any more
        observer = pipeline.observer = Observer(pipeline.samplers, context, self.roots, settling=self.settling())
        for poller in pipeline.probes:
            poller.planned = observer.ended_in_order

    def _source(self, entry: Entry) -> RunningSource:
        source = cast("Source", self._make(Kind.SOURCE, entry, self.context(entry.name)))
        return RunningSource(
            entry.name, entry.type, source, self.intake(entry.name, replayable=source.replayable, verbatim=isinstance(source, Verbatim))
        )

    def _sampler(self, entry: SamplerEntry) -> SamplerPoller:
        context = self._storing(entry.name)
        return SamplerPoller(cast("Sampler", self._make(Kind.SAMPLER, entry, context)), context, entry.interval)

    def _probe(self, entry: ProbeEntry) -> ProbePoller:
        context = self._storing(entry.name)
        return ProbePoller(cast("Probe", self._make(Kind.PROBE, entry, context)), context, interval=entry.interval, timeout=entry.timeout)

    def _exporter(self, entry: Entry) -> Exporter:
        return cast("Exporter", self._make(Kind.EXPORTER, entry, self.context(entry.name, Owner.EXPORTER)))

    def _make(self, kind: Kind, entry: Entry, context: Context) -> object:
        made = load(kind, entry.type)(entry.options, context)
        if isinstance(made, Tapping):
            self.taps.append(made.stored)
        return made

    def _storing(self, name: str, *, replayable: bool = False) -> Context:
        """The context of a component that may store records though it is not a source."""
        return replace(self.context(name), emit=self.intake(name, replayable=replayable).emit)
