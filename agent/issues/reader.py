"""From a batch's records to events: which records are errors, and which event each makes, given the state of its source.

The events are returned; the other changes (a run's end, a bad end, the cause of an end to come) are noted in the batch's changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.issues.reading.exit_cause import is_death
from agent.issues.reading.exits import exit_event, explains, kill_event, loop_event, read_exit_status
from agent.issues.reading.record_event import record_event
from agent.issues.reading.record_fields import time_of
from agent.issues.reading.rules import is_child, is_of_process
from agent.issues.runs.run import place_of
from agent.names import EVENT_NAME, PROCESS_EXITED, PROCESS_OOM_KILLED, PROCESS_STARTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.issues.changes import BatchChanges
    from agent.issues.event.error_event import ErrorEvent
    from agent.issues.options import IssueOptions
    from agent.issues.runs.keeper import RunKeeper
    from agent.record import LogRecord


class RecordReader:
    """Finds the errors of a batch and reads them one by one."""

    def __init__(self, options: IssueOptions, runs: RunKeeper) -> None:
        self._rules = options.rules
        self._subject = options.subject
        self._runs = runs

    def find(self, records: Sequence[LogRecord]) -> list[tuple[int, LogRecord]]:
        """The records to read, with their indices."""
        return self._rules.find(records)

    def events(self, record: LogRecord, changes: BatchChanges) -> Iterator[ErrorEvent]:
        """The events of one record."""
        name = record.attributes.get(EVENT_NAME) if is_of_process(record) else None
        if name == PROCESS_EXITED:
            yield from self._of_exit(record, changes)
        elif name == PROCESS_STARTED:
            self._runs.begin(changes, record)
        elif name == PROCESS_OOM_KILLED:
            yield kill_event(record, self._subject)
        else:
            yield from self._of_error(record, changes)

    def _of_error(self, record: LogRecord, changes: BatchChanges) -> Iterator[ErrorEvent]:
        event = record_event(record, self._subject, self._rules)
        changes.note_error(record, event)
        if is_child(record.origin) and is_death(event):
            changes.hold_back(event)
        else:
            yield event

    def _of_exit(self, record: LogRecord, changes: BatchChanges) -> Iterator[ErrorEvent]:
        ending, now_ns, cause = read_exit_status(record), time_of(record), changes.take_exit_cause()
        explained = explains(cause, ending, now_ns)
        changes.end_run(place_of(record.origin), ending, now_ns, uncaught=explained)
        if ending.bad and not explained:
            fatal = cause.unreported.fatal if cause.unreported else None
            yield exit_event(record, ending, self._subject, fatal=fatal, in_app=self._rules.in_app)
        elif cause.unreported is not None:  # it was another interpreter's, for example a worker's
            yield cause.unreported
        if ending.killed_beside:
            yield kill_event(record, self._subject)
        if (ending.suspicious or (explained and not ending.good)) and changes.note_bad_end(now_ns):
            yield loop_event(record, changes.bad_ends_ns or (), self._subject, ending.program)
