"""Keeps the store working: reopens, frees and repairs it, so that above it a write either happened or certainly did not."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from typing import TYPE_CHECKING, Final, TypeVar

import apsw

from agent.errors import OutriderError, SpoolError, SpoolFullError, SpoolLockedError
from agent.retry import Backoff
from agent.spool import database, quota
from agent.spool.ballast import Ballast
from agent.spool.database import Trouble
from agent.spool.lock import Lock
from agent.spool.repair import salvage
from agent.spool.store import Store
from agent.spool.values import LogRemoved, Restored, State, StateChanged

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.spool.database import Fault
    from agent.spool.values import SpoolEvent

T = TypeVar("T")
FAULTS: Final = (apsw.Error, UnicodeDecodeError)
FILE: Final = "spool.db"
LOCK_FILE: Final = "spool.lock"
BALLAST_FILE: Final = "spool.ballast"
RESTORED: Final = "spool.restored"
ATTEMPTS: Final = 4
"""Tries of one group before its jobs are told that it was not stored."""
LOOK_EVERY: Final = 1.0
"""Seconds between looks at what need not be seen at once."""
LIFT_AFTER: Final = 5.0
"""Seconds after a full disk before more than what was in use then is tried again."""
_BACKOFF: Final = Backoff(first=0.05, longest=2.0)
_PROBE: Final = Backoff(first=1.0, longest=15.0)


class Keeper:
    """Lock, ballast and store of one state directory, for one thread.

        write ──ok──▶ results
          │ apsw.Error: close, reopen, read the commit number back
          ├─ it is there ──────▶ results
          ├─ FULL ─────────────▶ once more (closing wrote the log back), once more without the ballast; then SpoolFullError
          ├─ DAMAGED ──────────▶ set the file aside, salvage, once more
          └─ IO ───────────────▶ once more, with back-off; then SpoolError

    Nothing above it ever sees an error of SQLite.
    """

    def __init__(self, directory: Path, quota_bytes: int, closing: threading.Event) -> None:
        """Take the directory; SpoolLockedError names who has it, ConfigError if its format is newer than ours or the quota absurd."""
        quota.limits(quota_bytes)
        _make(directory)
        self.directory = directory
        self.state, self.reason = State.OK, ""
        self.events: list[SpoolEvent] = []
        self._quota = quota_bytes
        self._limit = limit = quota.limits(quota.affordable(quota_bytes, _room(directory), _file_size_limit()))
        self._closing = closing
        self._looked = time.monotonic()
        self.untidy = False
        self._disk_full = False
        self._try_at = 0.0
        self._waits = 0
        self._lift_at = 0.0
        self._last_seq = 0
        self._lock = Lock(directory / LOCK_FILE)
        self.ballast = Ballast(directory / BALLAST_FILE, limit.ballast)
        try:
            self.store = self._first()
        except BaseException:
            self._lock.release()
            raise
        self.ballast.take()

    @property
    def path(self) -> Path:
        """The spool file."""
        return self.directory / FILE

    def _first(self) -> Store:
        """Open the file; a damaged one is salvaged, never a reason not to start."""
        before = self._lock.before
        if before is not None and before.wal and self.path.exists() and not database.log_of(self.path).exists():
            self.events.append(LogRemoved(self.path))
        store = Store(self.path, self._limit)
        for attempt in range(1, ATTEMPTS):
            try:
                self._open_first(store, last=attempt == ATTEMPTS - 1)
            except (*FAULTS, OSError) as error:
                kind, message = _meaning(error), str(error)
            else:
                return store
            if kind is Trouble.LOCKED:
                raise SpoolLockedError(f"{self.path} is open in another process")
            self._pause(attempt)
        raise SpoolError(f"{self.path} can't be opened: {message}")

    def _open_first(self, store: Store, *, last: bool) -> None:
        try:
            self._open(store)
        except FAULTS as error:
            kind = database.trouble(error)
            if kind is not Trouble.DAMAGED and not (kind is Trouble.UNREADABLE and last):
                raise
            self._open_salvaged(store, str(error))

    def _open(self, store: Store) -> None:
        """Open the store, having finished a salvage that a crash interrupted."""
        self._lock.mark(wal=False)
        report = salvage.resume(self.path, self._limit.pages, "a salvage was interrupted")
        if report is not None:
            self.events.append(report)
        store.open()
        self._lock.mark(wal=True)

    def _open_salvaged(self, store: Store, reason: str) -> None:
        """Set the damaged file aside and open what could be saved of it."""
        salvage.begin(self.path)
        report = salvage.resume(self.path, self._limit.pages, reason)
        if report is not None:
            self.events.append(report)
        store.open()
        self._lock.mark(wal=True)

    def write(self, jobs: Sequence[Callable[[Store], T]], *, durable: bool = False) -> list[T | OutriderError]:
        """Run jobs in one transaction. Each result is a value, or the error that says its job was certainly not stored."""
        for attempt in range(1, ATTEMPTS + 1):
            number = self.store.db.commit_id + 1
            try:
                results = self.store.write(jobs, durable=durable)
            except FAULTS as error:
                kind, message = self.store.db.trouble(error), str(error)
            else:
                self._written()
                return results
            results = self.store.results
            self._reopen(kind, message)
            if self.store.db.commit_id >= number:
                self.store.announce_all()
                return results
            if len(jobs) > 1:
                return [result for job in jobs for result in self.write([job], durable=durable)]
            if kind is Trouble.FULL and attempt > 1 and not self._relieve():
                self._disk_is_full()
                return [SpoolFullError(f"the disk is full: {message}")]
            self._pause(attempt)
        return [SpoolError(f"the spool can't be written: {message}")]

    def read(self, job: Callable[[Store], T]) -> T:
        """Run a job that changes nothing (or does so in a transaction of its own)."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return job(self.store)
            except FAULTS as error:
                kind, message = self.store.db.trouble(error), str(error)
            if kind is Trouble.UNREADABLE and attempt == ATTEMPTS - 1:
                kind = Trouble.DAMAGED
            self._reopen(kind, message)
            self._pause(attempt)
        raise SpoolError(f"the spool can't be read: {message}")

    def _reopen(self, kind: Trouble, message: str) -> None:
        """Close and open the file, as often as it takes; SpoolError only when the agent is to end meanwhile."""
        self.store.db.close()
        for attempt in range(1, 1 << 30):
            try:
                if kind is Trouble.DAMAGED:
                    self._open_salvaged(self.store, message)
                else:
                    self._open(self.store)
            except (*FAULTS, OSError) as error:
                kind, message = _meaning(error), str(error)
            else:
                return
            self._now(State.DEGRADED, message)
            if kind is Trouble.FULL:
                self.ballast.drop()
            if self._closing.is_set():
                raise SpoolError(f"the spool can't be opened again: {message}")
            self._pause(attempt)

    def _written(self) -> None:
        """After a commit: a row that was stored proves that the disk has room."""
        if self.store.last_seq > self._last_seq:
            self._disk_full, self._waits = False, 0
            self._last_seq = self.store.last_seq
        self._settle_state()

    def _disk_is_full(self) -> None:
        """Have appends wait, for longer each time: what can be written where is only known by trying."""
        self._disk_full, self._waits = True, self._waits + 1
        self._try_at = time.monotonic() + _PROBE.delay(self._waits, 1.0)
        self._lift_at = time.monotonic() + LIFT_AFTER
        self.store.limit = quota.shrunk(self._limit, self.store.db.used())
        self._last_seq = self.store.last_seq
        self._settle_state()

    def _lengthy(self) -> None:
        try:
            self.untidy = self.store.db.too_long()
        except FAULTS as error:
            self._recover(self.store.db.trouble(error), str(error))

    def _recover(self, kind: Trouble, message: str) -> None:
        """After a failed look after the file, which nobody waits for: only what the file needs."""
        if kind is Trouble.FULL:
            self._disk_is_full()
        self._reopen(kind, message)

    def _relieve(self) -> bool:
        """Make a little room on a full disk; say whether trying again is worth it."""
        dropped = self.ballast.drop()
        if dropped:
            with contextlib.suppress(apsw.Error):  # the next try will show
                self.store.db.checkpoint(truncate=True)
        return dropped

    def _pause(self, attempt: int) -> None:
        self._closing.wait(_BACKOFF.delay(attempt, 0.5))

    def look_after(self, *, idle: bool) -> None:
        """Keep the log short, the file no longer than its data, the ballast taken, and see whether there is room again."""
        try:
            self._tidy(idle=idle)
        except FAULTS as error:
            self._recover(self.store.db.trouble(error), str(error))
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            self._look()

    def _tidy(self, *, idle: bool) -> None:
        db = self.store.db
        if db.wal_pages > self._limit.log_pages:
            db.checkpoint()
        if self.untidy and idle:
            self.untidy = db.vacuum_step()
        if idle and not self.untidy and db.wal_pages:
            db.checkpoint(truncate=True)
        if self.store.still_full() and self.store.unneeded() is not None:
            self.store.write([Store.let_go])

    def _look(self) -> None:
        why = self.store.db.displaced()
        if why and not self._restore(why):
            return
        try:
            if time.monotonic() >= self._lift_at:
                self._grant()
                self.ballast.take()
        except OSError as error:
            self._now(State.DEGRADED, str(error))
            return
        if not self.untidy:
            self._lengthy()
        self._settle_state()

    def _grant(self) -> None:
        """Let the store use what the quota and the disk allow now: more, once somebody else made room."""
        now = quota.limits(quota.affordable(self._quota, _room(self.directory), _file_size_limit()))
        if now.quota > self._limit.quota:
            self._limit = now
            self.store.grant(now)
        self.store.limit = self._limit

    def _restore(self, why: str) -> bool:
        """Write the file anew from what the open one still holds: its name is gone, or another's now. False: that can't be now."""
        draft = self.directory / RESTORED
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            draft.unlink(missing_ok=True)
            self.store.db.copy_to(draft)
        except OSError as error:  # there is no place for it now: the open file still takes everything
            self._now(State.DEGRADED, str(error))
            return False
        except FAULTS as error:
            self._reopen(_meaning(error), str(error))
            return True
        try:
            self.store.db.close()
            intruder = self._step_aside()
            draft.rename(self.path)
            database.sync_directory(self.directory)
            self._open(self.store)
        except (*FAULTS, OSError) as error:
            self._reopen(_meaning(error), str(error))
        else:
            self.events.append(Restored(why, intruder))
        return True

    def _step_aside(self) -> Path | None:
        """Move whatever lies at the spool's path away."""
        database.log_of(self.path).unlink(missing_ok=True)
        if not self.path.exists():
            return None
        return self.path.rename(self.directory / time.strftime("spool.replaced-%Y%m%dT%H%M%SZ.db", time.gmtime()))

    def _settle_state(self) -> None:
        if self._disk_full:
            self._now(State.FULL, "the disk is full")
        elif self.store.refused:
            self._now(State.FULL, "the quota is used up")
        else:
            self._now(State.OK, "")

    @property
    def full(self) -> bool:
        """Whether appends had better wait: the quota is used up, or the disk was full a moment ago."""
        return self.store.refused > 0 or (self._disk_full and time.monotonic() < self._try_at)

    def forget(self) -> None:
        """Undo a transaction that a mistake left open."""
        try:
            self.store.db.rollback()
            self.store.load()
        except FAULTS as error:
            self._reopen(self.store.db.trouble(error), str(error))

    def take_events(self) -> list[SpoolEvent]:
        """Return what happened since the last call."""
        events = [*self.events, *self.store.events]
        self.events.clear()
        self.store.events.clear()
        return events

    def _now(self, state: State, reason: str) -> None:
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self.events.append(StateChanged(state, reason))

    def close(self) -> None:
        """Write the log back, close, let go of the directory."""
        self._lock.mark(wal=False)
        self.store.db.close()
        self._lock.release()


def _make(directory: Path) -> None:
    """Make the directory, for us alone; an empty one that is there becomes ours. One that holds something keeps its mode: it may be `/tmp`."""
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        with contextlib.suppress(PermissionError):  # the root of a volume belongs to whoever mounted it
            if not any(directory.iterdir()):
                directory.chmod(0o700)


def _room(directory: Path) -> int:
    """Bytes that the disk has for us, with what is ours already."""
    status = os.statvfs(directory)
    ours = sum(
        path.stat().st_size for path in (directory / FILE, database.log_of(directory / FILE), directory / BALLAST_FILE) if path.exists()
    )
    return status.f_bavail * status.f_frsize + ours


def _file_size_limit() -> int:
    """Bytes a file may have (RLIMIT_FSIZE); -1 = no limit."""
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0]


def _meaning(error: Fault | OSError) -> Trouble:
    return Trouble.IO if isinstance(error, OSError) else database.trouble(error)
