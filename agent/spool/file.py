"""The spool's file, kept usable: opened again, given room and repaired, so that a write has happened or certainly has not."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, Self, TypeVar

import apsw

from agent.errors import OutriderError, SpoolError, SpoolFullError
from agent.spool import database, opening, quota
from agent.spool.condition import Condition
from agent.spool.database import Trouble
from agent.spool.open_file import Session
from agent.spool.opening import ATTEMPTS, BACKOFF, FAULTS
from agent.spool.state_dir import StateDir
from agent.spool.values import State

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.spool.tables import Tables
    from agent.spool.values import SpoolEvent

T = TypeVar("T")
UNREADABLE_TIMES: Final = 8
"""Tries after which what the disk does not give is damage."""


class NotOpenError(SpoolError):
    """The file can't be opened now. The outcome of the jobs under way is unknown: ask again with the same jobs."""


class SpoolFile:
    """The file of one state directory, for one thread. Made by `open`.

        write ──ok──▶ results
          │ apsw.Error: close, reopen, read the commit number back
          ├─ it is there ──────▶ results
          ├─ FULL ─────────────▶ once more (its log is written back), once more without the ballast; then SpoolFullError
          ├─ DAMAGED ──────────▶ set the file aside, salvage, once more
          ├─ IO ───────────────▶ once more, with back-off; then SpoolError
          └─ it can't be opened ▶ NotOpenError, until it can be: asked again it goes on here

    No error of SQLite passes it.
    """

    def __init__(self, home: StateDir, tables: Tables, closing: threading.Event) -> None:
        self.home = home
        self.tables = tables
        """Of the file as it was opened last."""
        self.session = tables.session
        self.condition = Condition(self.session)
        self.is_open = True
        self._closing = closing
        self._trouble = Trouble.IO, ""
        """Why the file is not open."""
        self._failures = 0
        self._again_at = 0.0
        self._unsure: tuple[int, list[object]] | None = None
        """Number and results of a transaction whose commit failed, until the file says whether it is stored."""
        self._found: list[object] | None = None
        """Its results, if it is."""

    @classmethod
    def open(cls, directory: Path, quota_bytes: int, closing: threading.Event, *, patience: float = 0.0) -> Self:
        """Take the directory and open its file. An error that may pass (of a disk that fails now and then) is tried again for `patience` seconds.

        SpoolLockedError names who has it, ConfigError: its format is newer than this agent's, or the quota too small; UnavailableError: its volume is
        too small; SpoolError or OSError: it can't be used.
        """
        quota.limits(quota_bytes)
        until = time.monotonic() + patience
        home, events = opening.patiently(lambda _last: StateDir.take(directory, quota_bytes), directory, until, closing)
        session = Session(home.limit, home.limit, events=events)
        try:
            tables = opening.patiently(lambda last: opening.open_first(home, session, last=last), directory, until, closing)
        except BaseException:
            home.lock.release()
            raise
        home.ballast.take()
        return cls(home, tables, closing)

    # -- opening again

    def reopen(self, kind: Trouble, message: str) -> None:
        """Close and open the file; NotOpenError if that can't be now."""
        self.tables.db.close()
        self.is_open, self._trouble = False, (kind, message)
        for attempt in range(1, ATTEMPTS + 1):
            if self._open_again():
                return
            self._pause(attempt)
        raise self._not_open()

    def require_open(self) -> None:
        """Open the file if it is time to try that again; NotOpenError if it is not, or can't be."""
        if not self.is_open and (time.monotonic() < self._again_at or not self._open_again()):
            raise self._not_open()

    def _not_open(self) -> NotOpenError:
        return NotOpenError(f"the spool can't be opened: {self._trouble[1]}")

    def _open_again(self) -> bool:
        kind, message = self._trouble
        try:
            if kind is Trouble.DAMAGED or (kind is Trouble.UNREADABLE and self._failures > UNREADABLE_TIMES):
                self.tables = opening.open_salvaged(self.home, self.session, message)
            else:
                self.tables = opening.open_tables(self.home, self.session)
        except (*FAULTS, OSError) as error:
            self._trouble = kind, message = database.trouble(error), database.explained(error)
            self._failures += 1
            self._again_at = time.monotonic() + BACKOFF.delay(self._failures, 0.5)
            self.condition.now(State.DEGRADED, "the disk is full" if kind is Trouble.FULL else message)
            if kind is Trouble.FULL:
                self.home.ballast.drop()
            return False
        self._decide_unsure()
        self.is_open, self._failures = True, 0
        return True

    def _decide_unsure(self) -> None:
        """The file says whether the transaction is stored whose commit failed."""
        unsure, self._unsure = self._unsure, None
        if unsure is not None and self.tables.opened_at >= unsure[0]:
            self._found = unsure[1]
            self.tables.announce_all()

    def _pause(self, attempt: int) -> None:
        self._closing.wait(BACKOFF.delay(attempt, 0.5))

    # -- writing and reading

    def write(self, jobs: Sequence[Callable[[Tables], T]], *, durable: bool = False) -> list[T | OutriderError]:
        """Run jobs in one transaction, or each in one of its own if that fails. See `write_together`."""
        results = self.write_together(jobs, durable=durable)
        if results is None:
            return [result for job in jobs for result in self.write_together([job], durable=durable) or ()]
        return results

    def write_together(self, jobs: Sequence[Callable[[Tables], T]], *, durable: bool = False) -> list[T | OutriderError] | None:
        """Run jobs in one transaction; None: nothing is stored, and each must be tried alone.

        Each result is a value, or the error that says its job was certainly not stored. NotOpenError: ask again, with the same jobs.
        """
        self.require_open()
        if (found := self._take_found()) is not None:
            return found  # type: ignore[return-value] # they are those of the same jobs
        for attempt in range(1, ATTEMPTS + 1):
            number = self.tables.db.commit_id + 1
            try:
                results = self.tables.write(jobs, durable=durable)
            except FAULTS as error:
                kind, message = self.tables.db.trouble(error), str(error)
            else:
                self.condition.committed(self.tables.last_seq)
                return results
            self._unsure = number, self.session.results
            self._write_back(kind)
            self.reopen(kind, message)
            if (found := self._take_found()) is not None:
                return found  # type: ignore[return-value] # as above
            if len(jobs) > 1:
                return None
            if kind is Trouble.FULL and attempt > 1 and not self._relieve():
                self.disk_is_full()
                return [SpoolFullError(f"the disk is full: {message}")]
            self._pause(attempt)
        return [SpoolError(f"the spool can't be written: {message}")]

    def read(self, job: Callable[[Tables], T]) -> T:
        """Run a job that changes nothing (or does so in a transaction of its own). NotOpenError; SpoolError."""
        self.require_open()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return job(self.tables)
            except FAULTS as error:
                kind, message = self.tables.db.trouble(error), str(error)
            if kind is Trouble.UNREADABLE and attempt == ATTEMPTS - 1:
                kind = Trouble.DAMAGED
            self.reopen(kind, message)
            self._pause(attempt)
        raise SpoolError(f"the spool can't be read: {message}")

    def forget(self) -> None:
        """Roll back a transaction that a programming error left open."""
        try:
            self.tables.db.rollback()
            self.tables.load()
        except FAULTS as error:
            self.reopen(self.tables.db.trouble(error), str(error))

    def _take_found(self) -> list[object] | None:
        found, self._found = self._found, None
        return found

    # -- a full disk

    def _write_back(self, kind: Trouble) -> None:
        """On a full disk, have the log's room used again: it is kept, for there may be none for another."""
        if kind is Trouble.FULL:
            with contextlib.suppress(apsw.Error):  # the next try will show
                self.tables.db.rollback()
                self.tables.db.checkpoint()

    def _relieve(self) -> bool:
        """Make a little room on a full disk; return whether another try is worth it."""
        dropped = self.home.ballast.drop()
        if dropped:
            with contextlib.suppress(apsw.Error):  # the next try will show
                self.tables.db.checkpoint(truncate=True)
        return dropped

    def disk_is_full(self) -> None:
        """Have appends wait, and grant no more than what is in use."""
        self.session.limit = quota.shrunk(self.home.limit, self.tables.db.used())
        self.condition.disk_is_full(self.tables.last_seq)

    # -- the end

    def take_events(self) -> list[SpoolEvent]:
        """Return the events since the last call."""
        events, self.session.events = self.session.events, []
        return events

    def close(self) -> None:
        """Write the log back, close, let go of the directory."""
        with contextlib.suppress(OSError):  # a disk without room; then the next start reports a log that was written back
            self.home.mark(log=False)
        self.tables.db.close(tidy=True)
        self.home.lock.release()
