"""From the settings to everything about errors. Imported only where errors have somewhere to go."""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING, Final

from agent.component import Labelling
from agent.issues.envelope.names import environment, environment_of, release, release_of
from agent.issues.event.completer import LazyCompleter
from agent.issues.event.frames import EncodeOptions, NoSourceCode
from agent.issues.event.source_files import SourceFiles
from agent.issues.event.workload import Workload
from agent.issues.issues import assemble
from agent.issues.options import IssueOptions
from agent.issues.reading.rules import Rules
from agent.issues.reading.subject import resource_subject
from agent.issues.runs.monitors import ProbeCheck
from agent.issues.runs.run import Reporting
from agent.issues.windows import FoldingLimits
from agent.names import CHILD, TARGET
from agent.parse.patterns import compile_pattern
from agent.record import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.component import Exporter
    from agent.config.settings import Settings
    from agent.host.pipeline import Host, Pipeline
    from agent.host.probing import ProbePoller
    from agent.host.sampling import SamplerPoller
    from agent.issues.issues import Issues
    from agent.metrics import Metrics, Observation
    from agent.parse.patterns import Compiled

LEVELS: Final = {
    "debug": Severity.DEBUG,
    "info": Severity.INFO,
    "warning": Severity.WARN,
    "error": Severity.ERROR,
    "fatal": Severity.FATAL,
}


def build_issues(settings: Settings, host: Host, pipeline: Pipeline, clean: Callable[[str], str]) -> Issues:
    """The parts for a configuration, whose exporters are made; `clean` takes secrets out of source lines."""
    errors = settings.errors
    sources = SourceFiles(clean, pipeline.roots) if errors.source else NoSourceCode()
    options = IssueOptions(
        resource_subject(settings.service.resource(), socket.gethostname()),
        _reporting(settings, [exporter for _, exporter in pipeline.exporters]),
        Rules(LEVELS[errors.level], _any_of(errors.patterns), errors.probes, errors.in_app),
        FoldingLimits(round(errors.window * 1e9), errors.per_fingerprint, errors.total, errors.kinds),
        EncodeOptions(errors.in_app, sources, errors.locals, Workload(pipeline.roots, clean)),
        errors.breadcrumbs,
        None if errors.logs is None else LEVELS[errors.logs],
        (CHILD, TARGET, *(entry.name for entry in (*settings.sources, *settings.probes))),
    )
    figures = _figures(pipeline.samplers, host.metrics)
    issues = assemble(options, LazyCompleter(), figures, spool=host.spool, clock=host.clock, metrics=host.metrics, telemetry=host.telemetry)
    issues.monitors.probes = functools.partial(_checks, pipeline.probes)
    return issues


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


def _checks(probes: Iterable[ProbePoller]) -> list[ProbeCheck]:
    """The last results of probes, for their monitors."""
    results = [(probe.last, probe.interval) for probe in probes]
    return [ProbeCheck(one.name, one.is_well, one.seconds, one.time_ns, interval) for one, interval in results if one is not None]
