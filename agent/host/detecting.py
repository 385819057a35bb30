"""From the settings to a detector. Imported only where errors have somewhere to go."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from agent.component import Labelling
from agent.event_names import CHILD, TARGET
from agent.issues.detector import Detector, Setup
from agent.issues.envelope.names import environment, environment_of, release, release_of
from agent.issues.event.frames import NoSources, Scene
from agent.issues.event.source_files import SourceFiles
from agent.issues.event.workload import Workload
from agent.issues.folding.windows import Limits
from agent.issues.payloads import EventPayloads
from agent.issues.reading.errors import Rules, resource_subject
from agent.issues.recent.attachments import BlackBox
from agent.issues.runs.run import Reporting
from agent.parse.patterns import compile_pattern
from agent.record import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.component import Exporter
    from agent.config.settings import Settings
    from agent.host.pipeline import Host, Pipeline
    from agent.host.polling import SamplerPoller
    from agent.issues.event.sdk import EventMaker
    from agent.metrics import Metrics, Observation
    from agent.parse.patterns import Compiled
    from agent.record import Value

LEVELS: Final = {
    "debug": Severity.DEBUG,
    "info": Severity.INFO,
    "warning": Severity.WARN,
    "error": Severity.ERROR,
    "fatal": Severity.FATAL,
}


class LaterMaker:
    """Makes events with sentry-sdk, which is imported for the first one: it takes megabytes, and most workloads have no error for days."""

    def __init__(self) -> None:
        self._maker: EventMaker | None = None
        self._loading = asyncio.Lock()

    async def make(self, event: Mapping[str, Value]) -> bytes:
        """The event as JSON, completed and scrubbed."""
        async with self._loading:
            if self._maker is None:  # the import takes a third of a second: in a thread, so that everything else goes on
                self._maker = await asyncio.to_thread(_load)
        return self._maker.make(event)

    def close(self) -> None:
        """Let go of the SDK's client, if there is one."""
        if self._maker is not None:
            self._maker.close()


def _load() -> EventMaker:
    from agent.issues.event.sdk import EventMaker  # noqa: PLC0415 - see above

    return EventMaker()


def build_detector(settings: Settings, host: Host, pipeline: Pipeline, clean: Callable[[str], str]) -> Detector:
    """The detector of a configuration, whose exporters are made; `clean` takes secrets out of source lines."""
    resource, errors = settings.service.resource(), settings.errors
    sources = SourceFiles(clean, pipeline.roots) if errors.source else NoSources()
    window_ns = round(errors.window * 1e9)
    scene = Scene(errors.in_app, sources, errors.locals, Workload(pipeline.roots, clean))
    subject, reporting = (
        resource_subject(resource, socket.gethostname()),
        _reporting(settings, [exporter for _, exporter in pipeline.exporters]),
    )
    setup = Setup(
        Rules(LEVELS[errors.level], _any_of(errors.patterns), errors.probes, errors.in_app),
        Limits(window_ns, errors.per_fingerprint, errors.total, errors.kinds),
        subject,
        reporting,
        errors.breadcrumbs,
        None if errors.logs is None else LEVELS[errors.logs],
        (CHILD, TARGET, *(entry.name for entry in (*settings.sources, *settings.probes))),
    )
    box = BlackBox()
    payloads = EventPayloads(
        subject.service,
        reporting.labels,
        scene,
        maker=LaterMaker(),
        box=box,
        clock=host.clock,
        figures=_figures(pipeline.samplers, host.metrics),
    )
    return Detector(setup, payloads, box=box, spool=host.spool, clock=host.clock, metrics=host.metrics, telemetry=host.telemetry)


def _figures(samplers: Sequence[SamplerPoller], metrics: Metrics) -> Callable[[], Mapping[str, float]]:
    """A function that reads the figures which the samplers have published."""

    def read() -> Mapping[str, float]:
        return {_series(one): one.value for name in sorted(poller.name for poller in samplers) for one in metrics.published(name)}

    return read


def _series(one: Observation) -> str:
    labels = ",".join(f"{key}={value}" for key, value in sorted(one.attributes.items()) if key not in ("component", "target"))
    return f"{one.metric.name}{{{labels}}}" if labels else one.metric.name


def _any_of(patterns: Sequence[str]) -> Compiled | None:
    return compile_pattern("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None


def _reporting(settings: Settings, exporters: Iterable[Exporter]) -> Reporting:
    """Release and environment are the resource's, or else those of the first destination that gives some, as Sentry takes them."""
    resource, errors = settings.service.resource(), settings.errors
    given = [exporter.labels for exporter in exporters if isinstance(exporter, Labelling)]
    labels = {
        "release": release(release_of(resource) or next((one["release"] for one in given if "release" in one), "")),
        "environment": environment(environment_of(resource) or next((one["environment"] for one in given if "environment" in one), "")),
    }
    known = {key: value for key, value in labels.items() if value}
    return Reporting(settings.service.name, known, errors.sessions, errors.check_ins, errors.schedule, errors.monitor)
