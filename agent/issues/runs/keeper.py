"""Keeps the runs of processes over batches, ticks and kills of the agent: when one begins, how many errors it has, when it was an orphan's."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Final

from agent.errors import SpoolError
from agent.event_names import CHILD
from agent.issues.envelope.items import identifier
from agent.issues.reading.errors import event_id
from agent.issues.reading.exits import Ending
from agent.issues.runs.run import RUN, Run, began_ns
from agent.issues.source_states import PATIENCE

if TYPE_CHECKING:
    from agent.clock import Clock
    from agent.issues.changes import Findings
    from agent.issues.reading.errors import Subject
    from agent.issues.runs.run import Reporting
    from agent.issues.source_states import DetectorSpool, KnownSources
    from agent.record import LogRecord, Payload

HOLDER: Final = uuid.uuid4().hex
"""This process, among all that ever held the state directory."""
CHILD_RUN: Final = f"{RUN}{CHILD}"
"""The position of the command's run."""


class RunKeeper:
    """Begins and keeps runs; their ends are found in records."""

    def __init__(self, reporting: Reporting, subject: Subject, sources: KnownSources, spool: DetectorSpool, clock: Clock) -> None:
        self._reporting = reporting
        self._subject = subject
        self._sources = sources
        self._spool = spool
        self._clock = clock
        self._silent: Run | None = None
        """Of the wrapped command, while it has said nothing."""

    def started(self, key: str, began: int) -> None:
        """The wrapped command runs: the next tick tells of that, if nothing that it says has done so by then."""
        self._silent = Run(identifier(key, "run"), began, self._reporting, holder=HOLDER)

    def heard(self) -> None:
        """The command has said something, and that is stored."""
        self._silent = None

    def lacks_child(self) -> bool:
        """Whether the command's run is still to begin."""
        return self._reporting.wanted and not _is_ours(self._sources.of(CHILD).runs.get(CHILD_RUN))

    def begin(self, findings: Findings, place: str, key: str, record: LogRecord, holder: str = "") -> None:
        """Begin a run with a record."""
        if self._reporting.wanted:
            run = Run(key, began_ns(record), self._reporting, holder=holder)
            findings.runs[place] = run
            findings.payloads += run.begin()

    def begin_child(self, findings: Findings, record: LogRecord) -> None:
        """Begin the command's run with its first record."""
        before = findings.own.runs.get(CHILD_RUN)
        if not _is_ours(before):
            findings.payloads += self._end_of_orphan(before) if before is not None else ()
            self.begin(findings, CHILD_RUN, event_id(record, self._subject, "run"), record, HOLDER)

    async def tick(self) -> None:
        """Store what no record does."""
        await self.end_orphans()
        await self._begin_silent()
        await self._keep()

    async def end_orphans(self) -> None:
        """End the run of a command whose agent was killed."""
        known = self._sources.of(CHILD)
        async with known.lock:
            await self._sources.restored(CHILD)
            run = known.runs.get(CHILD_RUN)
            if run is not None and not _is_ours(run):
                with contextlib.suppress(SpoolError):  # the next look does it
                    await self._spool.append(CHILD, self._end_of_orphan(run), {CHILD_RUN: None}, {}, replayable=False)
                    del known.runs[CHILD_RUN]

    def _end_of_orphan(self, run: Run) -> list[Payload]:
        """How the command ended is unknown."""
        return run.end(Ending(unknown=True), self._clock.wall_ns(), uncaught=False)

    async def _begin_silent(self) -> None:
        """Tell that the command runs, before anybody misses its check-in."""
        known = self._sources.of(CHILD)
        async with known.lock:
            await self._sources.restored(CHILD)
            run = self._silent
            if run is None or CHILD_RUN in known.runs or not self._reporting.wanted:
                return
            with contextlib.suppress(SpoolError):  # the next look does it, or what it says first
                await self._spool.append(CHILD, run.begin(), {CHILD_RUN: run.dump()}, {}, replayable=False)
                known.runs[CHILD_RUN] = run

    async def _keep(self) -> None:
        """Store how many errors there were in runs: their ends tell it, whichever agent sees them."""
        for source, known in self._sources.all():
            async with known.free_within(PATIENCE) as free:
                if free and known.grown and known.runs:
                    known.grown = False  # others may let them grow meanwhile
                    kept = {place: run.dump() for place, run in known.runs.items()}
                    try:
                        await self._spool.append(source, [], kept, {}, replayable=False)
                    except SpoolError:  # the next look does it
                        known.grown = True


def _is_ours(run: Run | None) -> bool:
    return run is not None and run.holder == HOLDER
