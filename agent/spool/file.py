"""Keeps the store working: reopens, frees and repairs it, so that above it a write either happened or certainly did not."""

from __future__ import annotations

import contextlib
import errno
import resource
import time
from typing import TYPE_CHECKING, Final, TypeVar

import apsw

from agent.errors import OutriderError, SpoolError, SpoolFullError, SpoolLockedError
from agent.retry import Backoff
from agent.spool import database, quota, state_dir
from agent.spool.ballast import Ballast
from agent.spool.database import Trouble
from agent.spool.lock import Lock
from agent.spool.repair import salvage
from agent.spool.state_dir import BALLAST_FILE, FILE, LOCK_FILE
from agent.spool.tables import Store
from agent.spool.values import LogRemoved, SpoolRemoved, State, StateChanged

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.spool.database import Fault
    from agent.spool.lock import Holder
    from agent.spool.values import SpoolEvent

T = TypeVar("T")
FAULTS: Final = (apsw.Error, UnicodeDecodeError)
ATTEMPTS: Final = 4
"""Tries of one group before its jobs are told that it was not stored; tries to open the file before others may go on."""
UNREADABLE_TIMES: Final = 8
"""Tries after which what the disk does not give is damage."""
LIFT_AFTER: Final = 5.0
"""Seconds after a full disk before more than what was in use then is tried again."""
_BACKOFF: Final = Backoff(first=0.05, longest=2.0)
_PROBE: Final = Backoff(first=1.0, longest=3.0)
_FINAL: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
)
"""Errors that do not pass by themselves: the first time that the directory is used, they are the answer."""


class NotOpenError(SpoolError):
    """The file can't be opened now. What was under way is neither stored nor not: ask again with the same jobs."""


class Keeper:
    """Lock, ballast and store of one state directory, for one thread.

        write ──ok──▶ results
          │ apsw.Error: close, reopen, read the commit number back
          ├─ it is there ──────▶ results
          ├─ FULL ─────────────▶ once more (its log is written back), once more without the ballast; then SpoolFullError
          ├─ DAMAGED ──────────▶ set the file aside, salvage, once more
          ├─ IO ───────────────▶ once more, with back-off; then SpoolError
          └─ it can't be opened ▶ NotOpenError, until it can be: asked again it goes on here

    Nothing above it ever sees an error of SQLite.
    """

    def __init__(self, directory: Path, quota_bytes: int, closing: threading.Event, *, patience: float = 0.0) -> None:
        """Take the directory. What may pass (a disk that fails now and then) is tried again for `patience` seconds.

        SpoolLockedError names who has it, ConfigError: its format is newer than ours or the quota absurd; UnavailableError: its volume is
        too small; SpoolError or OSError: it can't be used.
        """
        quota.limits(quota_bytes)
        self.directory = directory
        self.state, self.reason = State.OK, ""
        self.events: list[SpoolEvent] = []
        self.quota = quota_bytes
        self.untidy = False
        self.lift_at = 0.0
        """Monotonic seconds: before that no more is granted than what was in use when the disk was full."""
        self._closing = closing
        self._disk_full = False
        self._try_at = 0.0
        self._waits = 0
        self._last_seq = 0
        self.is_open = False
        self._trouble = Trouble.IO, ""
        """Why the file is not open."""
        self._failures = 0
        self._again_at = 0.0
        self._unsure: tuple[int, list[object]] | None = None
        """Number and results of a transaction whose commit failed, until the file says whether it is stored."""
        self._found: list[object] | None = None
        """Its results, if it is."""
        until = time.monotonic() + patience
        self._patiently(self._take, until)
        try:
            self._patiently(self._open_first, until)
        except BaseException:
            self._lock.release()
            raise
        self.ballast.take()

    _lock: Lock
    ballast: Ballast
    store: Store

    @property
    def path(self) -> Path:
        """The spool file."""
        return self.directory / FILE

    @property
    def full(self) -> bool:
        """Whether appends had better wait: the quota is used up, or the disk was full a moment ago."""
        return self.store.refused > 0 or (self._disk_full and time.monotonic() < self._try_at)

    # -- at the start

    def _patiently(self, step: Callable[[bool], None], until: float) -> None:
        """Do a step, again after what may pass; the last time it is told so."""
        for attempt in range(1, 1 << 30):
            last = self._closing.is_set() or (attempt >= ATTEMPTS - 1 and time.monotonic() >= until)
            try:
                step(last)
            except (*FAULTS, OSError) as error:
                self._judge_first(error, last=last)
            else:
                return
            self._pause(attempt)

    def _judge_first(self, error: Fault | OSError, *, last: bool) -> None:
        """Raise if trying again is not worth it."""
        kind = database.trouble(error)
        lasting = database.reason(error) in _FINAL
        if kind is Trouble.LOCKED:
            raise SpoolLockedError(f"{self.path} is open in another process")
        if isinstance(error, OSError) and (last or lasting):
            raise error
        if last or lasting:
            raise SpoolError(f"{self.path} can't be opened: {database.explained(error)}") from error
        if kind is Trouble.FULL:
            state_dir.remove(self.directory / BALLAST_FILE)

    def _take(self, _last: bool) -> None:
        self.events[:] = state_dir.prepare(self.directory)
        self.limit = quota.limits(self.affordable())
        self.ballast = Ballast(self.directory / BALLAST_FILE, self.limit.ballast)
        self.store = Store(self.path, self.limit)
        self._lock = Lock(self.directory / LOCK_FILE)
        self._compare(self._lock.before)

    def _compare(self, before: Holder | None) -> None:
        """Report what is missing of what the last agent has left here."""
        self._powered = before is not None and before.has_not_lost_power
        log = database.log_of(self.path)
        if before is not None and before.spool and not state_dir.size(self.path) and not state_dir.size(log):
            self.events.append(SpoolRemoved(self.path))
        elif before is not None and before.wal and state_dir.is_there(self.path) and not state_dir.is_there(log):
            self.events.append(LogRemoved(self.path))

    def affordable(self) -> int:
        """Bytes that quota, disk and file size limit allow now. OSError."""
        room = state_dir.room(self.directory, database.log_of(self.path))
        return quota.affordable(self.quota, room, resource.getrlimit(resource.RLIMIT_FSIZE)[0])

    def _open_first(self, last: bool) -> None:
        """Open the file; a damaged one is salvaged, never a reason not to start."""
        try:
            self._open()
        except FAULTS as error:
            kind = database.trouble(error)
            if kind is not Trouble.DAMAGED and not (kind is Trouble.UNREADABLE and last):
                raise
            self._open_salvaged(str(error))

    # -- opening

    def _open(self, reason: str = "a salvage was interrupted") -> None:
        """Open the store, having finished a salvage that was begun for this reason."""
        self._lock.mark(wal=False)
        report = salvage.resume(self.path, self.limit.pages, reason)
        if report is not None:
            self.events.append(report)
        self.store.open(powered=self._powered)
        self._powered = True
        try:
            self._lock.mark(wal=True)
        except OSError:
            self.store.db.close()
            raise
        self._opened()

    def _open_salvaged(self, reason: str) -> None:
        """Set the damaged file aside and open what could be saved of it."""
        salvage.begin(self.path)
        self._open(reason)

    def _opened(self) -> None:
        self.is_open, self._failures = True, 0
        unsure, self._unsure = self._unsure, None
        if unsure is not None and self.store.opened_at >= unsure[0]:
            self._found = unsure[1]
            self.store.announce_all()

    def reopen(self, kind: Trouble, message: str) -> None:
        """Close and open the file; NotOpenError if that can't be now."""
        self.store.db.close()
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
                self._open_salvaged(message)
            else:
                self._open()
        except (*FAULTS, OSError) as error:
            self._trouble = kind, message = database.trouble(error), database.explained(error)
            self._failures += 1
            self._again_at = time.monotonic() + _BACKOFF.delay(self._failures, 0.5)
            self.now(State.DEGRADED, "the disk is full" if kind is Trouble.FULL else message)
            if kind is Trouble.FULL:
                self.ballast.drop()
            return False
        return True

    # -- writing and reading

    def write(self, jobs: Sequence[Callable[[Store], T]], *, durable: bool = False) -> list[T | OutriderError]:
        """Run jobs in one transaction, or each in one of its own if that fails. See `write_together`."""
        results = self.write_together(jobs, durable=durable)
        if results is None:
            return [result for job in jobs for result in self.write_together([job], durable=durable) or ()]
        return results

    def write_together(self, jobs: Sequence[Callable[[Store], T]], *, durable: bool = False) -> list[T | OutriderError] | None:
        """Run jobs in one transaction; None: nothing is stored, they are to be tried one by one.

        Each result is a value, or the error that says its job was certainly not stored. NotOpenError: ask again, with the same jobs.
        """
        self.require_open()
        if (found := self._take_found()) is not None:
            return found  # type: ignore[return-value] # they are those of the same jobs
        for attempt in range(1, ATTEMPTS + 1):
            number = self.store.db.commit_id + 1
            try:
                results = self.store.write(jobs, durable=durable)
            except FAULTS as error:
                kind, message = self.store.db.trouble(error), str(error)
            else:
                self._written()
                return results
            self._unsure = number, self.store.results
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

    def read(self, job: Callable[[Store], T]) -> T:
        """Run a job that changes nothing (or does so in a transaction of its own). NotOpenError; SpoolError."""
        self.require_open()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return job(self.store)
            except FAULTS as error:
                kind, message = self.store.db.trouble(error), str(error)
            if kind is Trouble.UNREADABLE and attempt == ATTEMPTS - 1:
                kind = Trouble.DAMAGED
            self.reopen(kind, message)
            self._pause(attempt)
        raise SpoolError(f"the spool can't be read: {message}")

    def _take_found(self) -> list[object] | None:
        found, self._found = self._found, None
        return found

    def _write_back(self, kind: Trouble) -> None:
        """On a full disk, have the log's room used again: it is kept, for there may be none for another."""
        if kind is Trouble.FULL:
            with contextlib.suppress(apsw.Error):  # the next try will show
                self.store.db.rollback()
                self.store.db.checkpoint()

    def _relieve(self) -> bool:
        """Make a little room on a full disk; say whether trying again is worth it."""
        dropped = self.ballast.drop()
        if dropped:
            with contextlib.suppress(apsw.Error):  # the next try will show
                self.store.db.checkpoint(truncate=True)
        return dropped

    def _written(self) -> None:
        """After a commit: a row that was stored proves that the disk has room."""
        if self.store.last_seq > self._last_seq:
            self._disk_full, self._waits = False, 0
            self._last_seq = self.store.last_seq
        self.settle_state()

    def disk_is_full(self) -> None:
        """Have appends wait, for longer each time: what can be written where is only known by trying."""
        self._disk_full, self._waits = True, self._waits + 1
        self._try_at = time.monotonic() + _PROBE.delay(self._waits, 1.0)
        self.lift_at = time.monotonic() + LIFT_AFTER
        self.store.limit = quota.shrunk(self.limit, self.store.db.used())
        self._last_seq = self.store.last_seq
        self.settle_state()

    def forget(self) -> None:
        """Undo a transaction that a mistake left open."""
        try:
            self.store.db.rollback()
            self.store.load()
        except FAULTS as error:
            self.reopen(self.store.db.trouble(error), str(error))

    def _pause(self, attempt: int) -> None:
        self._closing.wait(_BACKOFF.delay(attempt, 0.5))

    # -- what is reported

    def settle_state(self) -> None:
        """Say how the open store does."""
        if self._disk_full:
            self.now(State.DEGRADED, "the disk is full")
        elif self.store.refused:
            self.now(State.FULL, "the quota is used up")
        else:
            self.now(State.OK, "")

    def now(self, state: State, reason: str) -> None:
        """Change the state, and report that if it is another."""
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self.events.append(StateChanged(state, reason))

    def take_events(self) -> list[SpoolEvent]:
        """Return what happened since the last call."""
        events = [*self.events, *self.store.events]
        self.events.clear()
        self.store.events.clear()
        return events

    def close(self) -> None:
        """Write the log back, close, let go of the directory."""
        with contextlib.suppress(OSError):  # a disk without room; then the next start reports a log that was written back
            self._lock.mark(wal=False)
        self.store.db.close(tidy=True)
        self._lock.release()
