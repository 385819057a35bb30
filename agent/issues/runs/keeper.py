"""Keeps the runs of processes over batches, ticks and kills of the agent."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Final

from agent.errors import SpoolError
from agent.issues.envelope.items import identifier
from agent.issues.reading.exits import ExitStatus
from agent.issues.reading.record_fields import event_id
from agent.issues.runs.run import CHILD_RUN, Run, began_ns, place_of
from agent.issues.source_states import PATIENCE
from agent.names import CHILD
from agent.record import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.clock import Clock
    from agent.issues.changes import BatchChanges
    from agent.issues.options import IssueOptions
    from agent.issues.source_states import IssueSpool, SourceStates
    from agent.record import LogRecord, Payload

HOLDER: Final = uuid.uuid4().hex
"""This process, among all that ever held the state directory."""


class RunKeeper:
    """Begins and keeps runs; their ends are found in records."""

    def __init__(self, options: IssueOptions, states: SourceStates, spool: IssueSpool, clock: Clock) -> None:
        self._reporting = options.reporting
        self._subject = options.subject
        self._states = states
        self._spool = spool
        self._clock = clock
        self._silent: Run | None = None
        """The run of the wrapped command, as long as it has written nothing."""

    def child_started(self, key: str, began: int) -> None:
        """The wrapped command runs: the next tick begins its run, unless its first record has done so."""
        self._silent = Run(identifier(key, "run"), began, self._reporting, holder=HOLDER)

    def child_wrote(self) -> None:
        """The first records of the command are stored."""
        self._silent = None

    def lacks_child(self) -> bool:
        """Whether the command's run is still to begin."""
        return self._reporting.wanted and not _is_ours(self._states.of(CHILD).runs.get(CHILD_RUN))

    def begin(self, changes: BatchChanges, record: LogRecord) -> None:
        """Begin the run of an observed process with the record of its start."""
        if self._reporting.wanted:
            changes.begin_run(place_of(record.origin), Run(record.origin.key, began_ns(record), self._reporting))

    def begin_child(self, changes: BatchChanges, record: LogRecord) -> None:
        """Begin the command's run with its first record."""
        before = changes.own.runs.get(CHILD_RUN)
        if not _is_ours(before):
            changes.payloads += self._end_of_orphan(before) if before is not None else ()
            key = event_id(record, self._subject, "run")
            changes.begin_run(CHILD_RUN, Run(key, began_ns(record), self._reporting, holder=HOLDER))

    async def tick(self) -> None:
        """Store the changes that no record makes."""
        await self.end_orphans()
        await self._begin_silent()
        await self._store_errors()

    async def end_orphans(self) -> None:
        """End the run of a command whose agent was killed."""
        state = self._states.of(CHILD)
        async with state.lock:
            await self._states.restore(CHILD)
            run = state.runs.get(CHILD_RUN)
            if run is not None and not _is_ours(run):
                with contextlib.suppress(SpoolError):  # the next tick does it
                    await self._store(CHILD, self._end_of_orphan(run), {CHILD_RUN: None})
                    del state.runs[CHILD_RUN]

    def _end_of_orphan(self, run: Run) -> list[Payload]:
        return run.end(ExitStatus(unknown=True), self._clock.wall_ns(), uncaught=False)

    async def _begin_silent(self) -> None:
        """Begin the run of a command that writes nothing, before Sentry misses its check-in."""
        state = self._states.of(CHILD)
        async with state.lock:
            await self._states.restore(CHILD)
            run = self._silent
            if run is None or CHILD_RUN in state.runs or not self._reporting.wanted:
                return
            with contextlib.suppress(SpoolError):  # the next tick does it, or its first record
                await self._store(CHILD, run.begin(), {CHILD_RUN: run.dump()})
                state.runs[CHILD_RUN] = run

    async def _store(self, source: str, payloads: Sequence[Payload], runs: Mapping[str, bytes | None]) -> None:
        """Store rows of a source and its runs in one transaction. SpoolError."""
        await self._spool.append(source, payloads, {}, {}, replayable=False, state={Owner.ISSUES: runs})

    async def _store_errors(self) -> None:
        """Store how many errors the runs have: their ends report it, whichever agent sees them."""
        for source, state in self._states.all():
            async with state.free_within(PATIENCE) as free:
                if free and state.has_unstored_errors and state.runs:
                    state.has_unstored_errors = False  # more may come meanwhile
                    kept = {place: run.dump() for place, run in state.runs.items()}
                    try:
                        await self._store(source, [], kept)
                    except SpoolError:  # the next tick does it
                        state.has_unstored_errors = True


def _is_ours(run: Run | None) -> bool:
    return run is not None and run.holder == HOLDER
