"""Puts the parts of `Issues` together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.issues.detector import IssueDetector
from agent.issues.event.frames import EncodeOptions
from agent.issues.folding.summaries import Summaries
from agent.issues.folding.windows import FoldingLimits
from agent.issues.issues import Issues
from agent.issues.payloads import EventPayloads
from agent.issues.reader import RecordReader
from agent.issues.reading.rules import Rules
from agent.issues.recent.activity import RecentActivity
from agent.issues.recent.breadcrumbs import Breadcrumbs
from agent.issues.runs.keeper import RunKeeper
from agent.issues.runs.monitors import Monitors
from agent.issues.source_states import SourceStates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.clock import Clock
    from agent.issues.event.completer import Completer
    from agent.issues.reading.subject import Subject
    from agent.issues.runs.run import Reporting
    from agent.issues.source_states import IssueSpool
    from agent.metrics import Metrics
    from agent.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class IssueOptions:
    """Everything about errors that is configured."""

    subject: Subject
    reporting: Reporting
    rules: Rules = field(default_factory=Rules)
    limits: FoldingLimits = field(default_factory=FoldingLimits)
    encoding: EncodeOptions = field(default_factory=EncodeOptions)
    breadcrumbs: int = 50
    """Breadcrumbs of an event."""
    logs_from: int | None = None
    """Records from this SeverityNumber on go to Sentry Logs; None = none."""
    sources: tuple[str, ...] = ()
    """Sources that may have left windows open in an earlier run."""


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
    subject, reporting = options.subject, options.reporting
    states = SourceStates(spool, options.limits, reporting)
    runs = RunKeeper(reporting, subject, states, spool, clock)
    activity = RecentActivity(clock, figures)
    payloads = EventPayloads(
        subject,
        reporting.labels,
        options.encoding,
        completer=completer,
        activity=activity,
        clock=clock,
        logs_from=options.logs_from,
    )
    detector = IssueDetector(
        RecordReader(options.rules, subject, runs),
        payloads,
        states,
        runs,
        breadcrumbs=Breadcrumbs(options.breadcrumbs),
        activity=activity,
        clock=clock,
        metrics=metrics,
        telemetry=telemetry,
    )
    summaries = Summaries(states, payloads, spool, clock)
    return Issues(detector, payloads, states, runs, summaries, Monitors(reporting, spool), clock, options.sources)
