"""Finds errors among the records of all sources and makes Sentry envelopes of them, committed with the records they were found in.

    records ──▶ errors? ──▶ same as before? ──▶ event ──▶ sentry-sdk ──▶ envelope ─┐
                               └──▶ folded: a count in the source's positions ─────┴─▶ one commit with the records

The way of a record: here it is found, `judging` reads and folds it, `event_payloads` makes its envelope. A draft of the new state becomes the
state only when the intake says that it is stored. What was folded is reported when its window is over: `tick` looks for such windows, `finish`
ends all of them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from agent.clock import every
from agent.columns import first_origin
from agent.errors import SpoolError
from agent.event_names import TARGET
from agent.issues.changes import Findings
from agent.issues.folding.summaries import Folding
from agent.issues.judging import Judge, is_end, is_of_process
from agent.issues.recent.breadcrumbs import Crumbs, is_child
from agent.issues.runs.keeper import RunKeeper
from agent.issues.runs.monitors import Monitors
from agent.issues.source_states import KnownSources
from agent.metrics import Kind, Metric
from agent.record import Detected
from agent.telemetry import DetectionFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from agent.clock import Clock
    from agent.issues.folding.windows import Limits
    from agent.issues.payloads import EventPayloads
    from agent.issues.reading.errors import Rules, Subject
    from agent.issues.recent.attachments import BlackBox
    from agent.issues.runs.monitors import Look, Watched
    from agent.issues.runs.run import Reporting
    from agent.issues.source_states import DetectorSpool
    from agent.metrics import Metrics
    from agent.record import LogRecord
    from agent.telemetry import Telemetry

TICK: Final = 5.0
"""Seconds between two looks for windows that are over."""
MONITORS: Final = "outrider.monitors"
"""The source name of the check-ins of probes."""

FOUND: Final = Metric(
    "outrider.errors.found", Kind.COUNTER, "{error}", "Errors found in records, by what became of them: sent, folded, dropped."
)


@dataclass(frozen=True, slots=True)
class Setup:
    """What the detector goes by."""

    rules: Rules
    limits: Limits
    subject: Subject
    reporting: Reporting
    crumbs: int = 50
    """Breadcrumbs of an event."""
    logs: int | None = None
    """Records from this SeverityNumber on go to Sentry Logs; None = none."""
    known: tuple[str, ...] = ()
    """Sources that may have left windows open in an earlier run."""


class Detector:
    """Implements the intake's `Detector`."""

    def __init__(
        self,
        setup: Setup,
        payloads: EventPayloads,
        *,
        box: BlackBox,
        spool: DetectorSpool,
        clock: Clock,
        metrics: Metrics,
        telemetry: Telemetry,
    ) -> None:
        self._setup = setup
        self._payloads = payloads
        self._box = box
        self._spool = spool
        self._clock = clock
        self._metrics = metrics
        self._telemetry = telemetry
        self._sources = KnownSources(spool, setup.limits, setup.reporting)
        self._runs = RunKeeper(setup.reporting, setup.subject, self._sources, spool, clock)
        self._folding = Folding(self._sources, payloads, spool, clock)
        self._judge = Judge(setup.rules, setup.subject, self._runs, payloads, clock)
        self._crumbs = Crumbs(setup.crumbs)
        self._monitors = Monitors(setup.reporting)
        self._probes: Sequence[Watched] = ()
        self.started = self._runs.started

    @contextlib.asynccontextmanager
    async def judge(self, source: str, records: Sequence[LogRecord]) -> AsyncIterator[Detected]:
        """Look at redacted records; one batch of a source at a time if there are errors in it."""
        rules = self._setup.rules
        errors = [(index, record) for index, record in rules.among(records) if rules.concerns(record) or is_of_process(record)]
        of_child = is_child(first_origin(records))
        begins = of_child and self._runs.lacks_child()
        keep = partial(self._keep, source, records, of_child=of_child)
        with self._box.judging(source, records) as waiting:
            found = self._payloads.logs(records, self._setup.logs, self._setup.subject.of)
            if not errors and not begins:
                yield Detected(found, commit=keep)
                return
            before = self._crumbs.before(source, records, (record.origin for _, record in errors), waiting)
            if not of_child and any(is_end(record) for _, record in errors):
                await self._sources.settled()
            known = self._sources.of(source)
            async with known.lock:
                with (await self._sources.restored(source)).begin() as draft:
                    findings = Findings(source, known, known if of_child else self._sources.of(TARGET), draft, found)
                    if begins:
                        self._runs.begin_child(findings, records[0])
                    for index, record in errors:
                        await self._judge.take(findings, record, before.of(index))
                    yield Detected(findings.payloads, findings.positions(), {}, partial(self._commit, findings, keep))

    def watch(self, probes: Sequence[Watched]) -> None:
        """Check in for these probes."""
        self._probes = probes if self._setup.reporting.check_ins else ()

    async def run(self) -> None:
        """Look after the windows until cancelled."""
        await self.restore(self._setup.known)
        await self._runs.end_orphans()
        await every(self._clock, TICK, self.tick)

    async def restore(self, sources: Iterable[str]) -> None:
        """Take up the windows that an earlier run has left open."""
        for source in sources:
            async with self._sources.of(source).lock:
                await self._sources.restored(source)

    async def tick(self) -> None:
        """Report the windows that are over; take a sample for the black box; check in."""
        self._payloads.sample()
        await self._runs.tick()
        await self._folding.close()
        for probe in self._probes:
            if probe.last is not None:
                await self._check_in(probe.last, probe.interval)

    async def finish(self) -> None:
        """Report all that was folded."""
        await self._folding.close(all_of_them=True)

    def close(self) -> None:
        """Let go of the SDK's client."""
        self._payloads.close()

    def _keep(self, source: str, records: Sequence[LogRecord], *, of_child: bool) -> None:
        """A batch is stored: it is what goes before the next."""
        self._crumbs.keep(source, records)
        self._box.remember(source, records)
        if of_child:
            self._runs.heard()

    def _commit(self, findings: Findings, keep: Callable[[], None]) -> None:
        """What was found is stored with the batch."""
        keep()
        findings.apply()
        for outcome, count in findings.counts.items():
            self._metrics.add(FOUND, count, {"source": findings.source, "outcome": outcome})
        for failure in findings.failures:
            self._telemetry.emit(DetectionFailed(findings.source, failure))

    async def _check_in(self, look: Look, interval: float) -> None:
        if not self._monitors.due(look.name, well=look.is_well, time_ns=look.time_ns, interval=interval):
            return
        made = self._monitors.payload(look.name, well=look.is_well, time_ns=look.time_ns, interval=interval, seconds=look.seconds)
        with contextlib.suppress(SpoolError):  # the next look does it
            await self._spool.append(MONITORS, [made], {}, {}, replayable=False)
            self._monitors.told(look.name, well=look.is_well, time_ns=look.time_ns)
