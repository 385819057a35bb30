"""The changes that a batch makes, and the one place where they become the state: when the batch is stored.

A batch may be judged several times before the spool takes it, or never be stored. Until then only the changes themselves are modified.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from agent.errors import describe
from agent.issues.reading.exit_cause import ExitCause, cause_of
from agent.issues.reading.exits import note_end
from agent.issues.source_states import BAD_ENDS
from agent.issues.windows import Choice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.issues.event.error_event import ErrorEvent
    from agent.issues.reading.exits import ExitStatus
    from agent.issues.runs.run import Run
    from agent.issues.source_states import SourceState
    from agent.issues.windows import WindowDraft
    from agent.record import LogRecord, Payload

_OUTCOMES: Final = {Choice.SEND: "sent", Choice.FOLD: "folded", Choice.FOLD_FIRST: "folded", Choice.DROP: "dropped"}


@dataclass(slots=True)
class BatchChanges:
    """The changes of one batch, before it is stored."""

    source: str
    own: SourceState
    """Of the source."""
    speaker: SourceState
    """Of the process that most likely made its errors: the wrapped command, or the observed target."""
    windows: WindowDraft
    payloads: list[Payload] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Errors by outcome."""
    failures: list[str] = field(default_factory=list)
    """Why records could not be read, one line each."""
    runs: dict[str, Run | None] = field(default_factory=dict)
    """Runs that began, and None for those that ended."""
    bad_ends_ns: list[int] | None = None
    """All recent bad ends, if there is a new one."""
    errors: int = 0
    """Errors that count in the speaker's runs."""
    _cause: ExitCause = field(default_factory=ExitCause)
    _process_ended: bool = False
    """Whether an end has used up all earlier causes."""

    @contextlib.contextmanager
    def surviving(self) -> Iterator[None]:
        """Count a record that can't be read: it is still stored as a log record, and the others are read."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a record that breaks us must not stop its source for ever
            self.counts["failed"] += 1
            self.failures.append(describe(error))

    def note_error(self, record: LogRecord, event: ErrorEvent) -> None:
        """Count an error of the workload's, which may be why its process ends."""
        if not event.mechanism.own:
            self.errors += 1
            self._cause = self._cause.then(cause_of(record, event))

    def hold_back(self, death: ErrorEvent) -> None:
        """Report an interpreter's death only with the end of its process."""
        self._cause = self._cause.then(ExitCause(unreported=death))

    def take_exit_cause(self) -> ExitCause:
        """The cause of an end; it does not explain the next."""
        cause = self._cause if self._process_ended else self.speaker.exit_cause.then(self._cause)
        self._cause, self._process_ended = ExitCause(), True
        return cause

    def note_bad_end(self, now_ns: int) -> bool:
        """Note a bad end; whether it makes a crash loop."""
        before = self.own.bad_ends_ns if self.bad_ends_ns is None else self.bad_ends_ns
        self.bad_ends_ns, is_loop = note_end(before, now_ns)
        return is_loop

    def begin_run(self, place: str, run: Run) -> None:
        """A run has begun; `place` is the key of its position."""
        self.runs[place] = run
        self.payloads += run.begin()

    def end_run(self, place: str, ending: ExitStatus, now_ns: int, *, uncaught: bool) -> None:
        """A run has ended, if there is one; a silent process begins and ends in one batch."""
        run = self.runs[place] if place in self.runs else self.own.runs.get(place)
        if run is not None:
            self.runs[place] = None
            self.payloads += run.with_more(self.errors).end(ending, now_ns, uncaught=uncaught)

    def fold(self, key: str, event: ErrorEvent, now_ns: int) -> Choice:
        """Decide whether an error is sent by itself, and count that."""
        choice = self.windows.note(key, event.time_ns, now_ns, event.said)
        self.counts[_OUTCOMES[choice]] += 1
        return choice

    def positions(self) -> dict[str, bytes | None]:
        """The positions to store."""
        made = self.windows.positions()
        made |= {place: None if run is None else run.with_more(self.errors).dump() for place, run in self.runs.items()}
        return made if self.bad_ends_ns is None else made | {BAD_ENDS: orjson.dumps(self.bad_ends_ns)}

    def apply(self) -> None:
        """Make them the state: the batch is stored."""
        self.windows.commit()
        own, speaker = self.own, self.speaker
        own.runs = {place: run for place, run in (own.runs | self.runs).items() if run is not None}
        own.bad_ends_ns = own.bad_ends_ns if self.bad_ends_ns is None else self.bad_ends_ns
        speaker.exit_cause = (ExitCause() if self._process_ended else speaker.exit_cause).then(self._cause)
        if self.errors:
            speaker.count_errors(self.errors)
