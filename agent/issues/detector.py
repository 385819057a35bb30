"""The way of a batch with errors in it, from its records to what is committed with them.

    found ──▶ read ──▶ folded or not ──▶ event ──▶ payload ─┐
                         └──▶ a count in the positions ─────┴─▶ one commit with the records

Found by `reading/rules`, read by `reader`, folded by `windows`, encoded by `event/`, put into an envelope by `payloads`. Other
changes by a batch stand in its `changes` and become the state of its source only when the intake says that it is stored.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from agent.columns import first_origin
from agent.issues.changes import BatchChanges
from agent.issues.reading.grouping import key_of
from agent.issues.reading.rules import is_child, is_exit
from agent.issues.windows import Choice
from agent.metrics import Kind, Metric
from agent.names import TARGET
from agent.record import Detected
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from agent.clock import Clock
    from agent.issues.event.error_event import Breadcrumb, ErrorEvent
    from agent.issues.payloads import EventPayloads
    from agent.issues.reader import RecordReader
    from agent.issues.recent.activity import RecentActivity
    from agent.issues.recent.breadcrumbs import Breadcrumbs
    from agent.issues.runs.keeper import RunKeeper
    from agent.issues.source_states import SourceStates
    from agent.metrics import Metrics
    from agent.record import LogRecord
    from agent.telemetry import Telemetry

FOUND: Final = Metric(
    "outrider.errors.found", Kind.COUNTER, "{error}", "Errors found in records, by what became of them: sent, folded, dropped."
)
UNJUDGED: Final = Metric("outrider.errors.unjudged", Kind.COUNTER, "{record}", "Records that the search for errors failed on.")


@dataclass(frozen=True, slots=True)
class DetectionFailed(Event):
    """A record could not be read as an error: it is stored, but there is no issue for it."""

    name = "detection failed"
    level = Level.ERROR
    counter = UNJUDGED
    labels = ("source",)
    source: str
    error: str


class IssueDetector:
    """Implements the intake's `Detector`."""

    def __init__(
        self,
        reader: RecordReader,
        payloads: EventPayloads,
        states: SourceStates,
        runs: RunKeeper,
        *,
        breadcrumbs: Breadcrumbs,
        activity: RecentActivity,
        clock: Clock,
        metrics: Metrics,
        telemetry: Telemetry,
    ) -> None:
        self._reader = reader
        self._payloads = payloads
        self._states = states
        self._runs = runs
        self._breadcrumbs = breadcrumbs
        self._activity = activity
        self._clock = clock
        self._metrics = metrics
        self._telemetry = telemetry

    @contextlib.asynccontextmanager
    async def judge(self, source: str, records: Sequence[LogRecord]) -> AsyncIterator[Detected]:
        """Look at redacted records; one batch of a source at a time if there are errors in it."""
        errors = self._reader.find(records)
        of_child = is_child(first_origin(records))
        begins = of_child and self._runs.lacks_child()
        remember = partial(self._remember, source, records, of_child=of_child)
        with self._activity.judging(source, records) as waiting:
            logs = self._payloads.logs(records)
            if not errors and not begins:
                yield Detected(logs, commit=remember)
                return
            preceding = self._breadcrumbs.before(source, records, (record.origin for _, record in errors), waiting)
            if not of_child and any(is_exit(record) for _, record in errors):
                await self._states.settle()
            async with self._changes(source, of_child=of_child) as changes:
                if begins:
                    self._runs.begin_child(changes, records[0])
                for index, record in errors:
                    await self._read(changes, record, partial(preceding.breadcrumbs, index))
                yield Detected([*logs, *changes.payloads], changes.positions(), {}, partial(self._commit, changes, remember))

    @contextlib.asynccontextmanager
    async def _changes(self, source: str, *, of_child: bool) -> AsyncIterator[BatchChanges]:
        """The changes of a batch, while no other batch of its source is stored."""
        state = self._states.of(source)
        async with state.lock:
            with (await self._states.restore(source)).begin() as draft:
                yield BatchChanges(source, state, state if of_child else self._states.of(TARGET), draft)

    async def _read(self, changes: BatchChanges, record: LogRecord, breadcrumbs: Callable[[], tuple[Breadcrumb, ...]]) -> None:
        with changes.surviving():
            for event in self._reader.events(record, changes):
                await self._report(changes, event, breadcrumbs)

    async def _report(self, changes: BatchChanges, event: ErrorEvent, breadcrumbs: Callable[[], tuple[Breadcrumb, ...]]) -> None:
        """Send an error, or fold it. Only what is sent needs breadcrumbs, and of a storm nearly nothing is."""
        key = key_of(event, self._payloads.service)
        choice = changes.fold(key, event, self._clock.wall_ns())
        if choice is Choice.SEND:
            changes.payloads.append(await self._payloads.event(changes.source, replace(event, breadcrumbs=breadcrumbs())))
        elif choice is Choice.FOLD_FIRST:
            changes.windows.keep(key, self._payloads.template(replace(event, breadcrumbs=breadcrumbs())))

    def _remember(self, source: str, records: Sequence[LogRecord], *, of_child: bool) -> None:
        """The batch is stored: it goes before the next."""
        self._breadcrumbs.keep(source, records)
        self._activity.keep(source, records)
        if of_child:
            self._runs.child_wrote()

    def _commit(self, changes: BatchChanges, remember: Callable[[], None]) -> None:
        """The batch is stored, with its changes."""
        remember()
        changes.apply()
        for outcome, count in changes.counts.items():
            self._metrics.add(FOUND, count, {"source": changes.source, "outcome": outcome})
        for failure in changes.failures:
            self._telemetry.emit(DetectionFailed(changes.source, failure))
