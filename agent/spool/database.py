"""One connection to one SQLite file: how it is opened, how a transaction ends for certain, how the file is kept small.

SQLite facts this rests on, each tried: a COMMIT that failed may be found committed after reopening; on a full disk neither DELETE nor
a checkpoint succeeds; 3.7.0 to 3.51.2 can corrupt a WAL that two connections use, so there is exactly one connection here.
"""

from __future__ import annotations

import contextlib
import errno
import os
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import apsw

from agent.crash import crash_point
from agent.spool import paths, schema
from agent.spool.quota import PAGE_SIZE
from agent.spool.repair import header
from agent.spool.repair.wal import committed

if TYPE_CHECKING:
    from pathlib import Path

LOG_LIMIT: Final = 1 << 24
"""Bytes that the log may keep on the disk once written back."""
CACHE_KIB: Final = 2048
VACUUM_STEP: Final = 512
"""Pages (2 MiB) given back to the disk in one go, which takes some milliseconds."""
VACUUM_ALLOWED: Final = 20
"""A file may be longer than its live data by one part in so many, before it is shortened."""


Fault = apsw.Error | UnicodeDecodeError
"""Errors of SQLite. Text that is not valid UTF-8 comes from a damaged file that SQLite took for sound."""


class Trouble(Enum):
    """The meaning of an error of SQLite."""

    FULL = auto()
    """The disk, the page limit or the file size limit is used up."""
    DAMAGED = auto()
    """The file is not what it was."""
    UNREADABLE = auto()
    """The disk does not give a part of the file: damaged, if it stays so."""
    LOCKED = auto()
    """Another process has it."""
    IO = auto()
    """The disk reported an error; or anything else that reopening may cure."""


_FULL_ERRNO: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READING: Final = frozenset({apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_SHORT_READ, apsw.SQLITE_IOERR_CORRUPTFS})
_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOFOLLOW
DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError, apsw.SchemaChangeError)


def trouble(error: Fault | OSError, system_errno: int = 0) -> Trouble:
    """Return the meaning of an error. `system_errno` is the connection's last: a write over the file size limit shows only there."""
    number = error.errno if isinstance(error, OSError) else system_errno or getattr(error, "system_errno", 0)
    if isinstance(error, apsw.FullError) or (isinstance(error, (apsw.IOError, apsw.CantOpenError, OSError)) and number in _FULL_ERRNO):
        return Trouble.FULL
    if isinstance(error, (*DAMAGE, UnicodeDecodeError)):
        return Trouble.DAMAGED
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return Trouble.LOCKED
    if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) in _READING:
        return Trouble.UNREADABLE
    return Trouble.IO


def reason(error: Fault | OSError) -> int:
    """Return the errno of an error, 0 where it is unknown: with most errors SQLite keeps the number of an earlier one."""
    if isinstance(error, OSError):
        return error.errno or 0
    is_own = isinstance(error, (apsw.CantOpenError, apsw.ReadOnlyError)) or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_WRITE
    return int(getattr(error, "system_errno", 0)) if is_own else 0


def explained(error: Fault | OSError) -> str:
    """Return the text of an error, with that of the system where SQLite leaves it out."""
    number = 0 if isinstance(error, OSError) else reason(error)
    return f"{error} ({os.strerror(number)})" if number else str(error)


def log_of(path: Path) -> Path:
    """Return the path of a file's write-ahead log."""
    return path.with_name(path.name + "-wal")


class Database:
    """The connection. For one thread; every method may raise `apsw.Error`, which `trouble` explains."""

    def __init__(self, path: Path, max_pages: int, *, powered: bool = True, version: int = schema.VERSION) -> None:
        """Open or create the file, take its exclusive lock, bring it to `version`. OSError; `apsw.CorruptError` if it is damaged.

        Unless the machine was `powered` since it was written, the log ends where the first of its frames did not come to the disk.
        """
        stored = _stored(path, powered=powered)
        if not path.exists():
            paths.create(path)
        self.path = path
        self.wal_pages = 0
        self._durable = False
        self.connection = apsw.Connection(str(path.parent.resolve() / path.name), flags=_FLAGS)
        try:
            self._prepare(max_pages, stored, version)
            self.commit_id: int = self.connection.execute("SELECT commit_id FROM state").get
        except BaseException as error:
            error.system_errno = self.connection.system_errno  # type: ignore[attr-defined] # it can't be asked once it is closed
            self.close()
            raise
        self._identity = _identity(path)

    def _prepare(self, max_pages: int, stored: int, version: int) -> None:
        connection = self.connection
        # a damaged log is kept for inspection, and a full disk has no room for another
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.pragma("locking_mode", "exclusive")
        self._compare_with_log(stored)
        older = 0 < schema.check(connection, schema.MIGRATIONS[:version]) < version  # before anything that writes
        connection.pragma("page_size", PAGE_SIZE)
        connection.pragma("auto_vacuum", "incremental")
        connection.pragma("journal_mode", "wal")
        connection.pragma("journal_size_limit", LOG_LIMIT)
        connection.pragma("synchronous", "normal")
        connection.pragma("mmap_size", 0)
        connection.pragma("cache_size", -CACHE_KIB)
        connection.pragma("temp_store", "memory")
        connection.pragma("cell_size_check", "on")
        connection.set_wal_hook(self._on_commit)
        if older:  # tables stand there twice for a moment: the log's room is needed, and the disk is the only limit
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        schema.migrate(connection, schema.MIGRATIONS[:version])
        connection.pragma("max_page_count", max_pages)

    def _compare_with_log(self, stored: int) -> None:
        """Raise `apsw.CorruptError` if SQLite passes over transactions of the log, or if the file is longer than it says without one."""
        pages = int(self.connection.pragma("page_count"))  # before any look at the file it is not known to have a log
        frames, _ = self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        if max(frames, 0) < stored:  # -1: there is no log
            raise apsw.CorruptError(f"the write-ahead log is damaged behind frame {frames} of {stored}")
        if not 0 <= int(self.connection.pragma("freelist_count")) <= pages:
            raise apsw.CorruptError("the header says that the file has more free pages than pages")
        if frames < 1 and pages * PAGE_SIZE < self.path.stat().st_size:
            raise apsw.CorruptError("the header says that the file is shorter than it is")

    def _on_commit(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.wal_pages = pages
        return int(apsw.SQLITE_OK)

    def begin(self, *, durable: bool) -> None:
        """Start a transaction; a durable one is on the disk, not only with the kernel, when `commit` returns."""
        if durable != self._durable:
            self.connection.pragma("synchronous", "full" if durable else "normal")
            self._durable = durable
        crash_point("spool.before_begin")
        self.connection.execute("BEGIN IMMEDIATE")
        crash_point("spool.after_begin")

    def commit(self, last_seq: int, number: int | None = None) -> None:
        """Commit. If this raises, only the `commit_id` of a newly opened `Database` says whether the transaction is stored: it is the next, or `number`."""
        number = self.commit_id + 1 if number is None else number
        self.connection.execute("UPDATE state SET commit_id = ?, last_seq = ?", (number, last_seq))
        crash_point("spool.before_commit")
        self.connection.execute("COMMIT")
        self.commit_id = number
        crash_point("spool.after_commit")

    def rollback(self) -> None:
        """Roll back the open transaction, if SQLite has not done so already."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def checkpoint(self, *, truncate: bool = False) -> None:
        """Write the log back into the file; `truncate` also gives its room back to the disk."""
        crash_point("spool.before_checkpoint")
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if truncate else apsw.SQLITE_CHECKPOINT_PASSIVE
        self.connection.wal_checkpoint(mode=mode)
        self.wal_pages = 0
        crash_point("spool.after_checkpoint")

    def vacuum_step(self) -> bool:
        """Shorten the file by at most `VACUUM_STEP` pages if it is too long for its data; return whether it was."""
        if not self.too_long():
            return False
        crash_point("spool.before_vacuum")
        self.connection.execute(f"PRAGMA incremental_vacuum({VACUUM_STEP})").fetchall()
        crash_point("spool.after_vacuum")
        return True

    def too_long(self) -> bool:
        """Whether the file has more free pages than it should."""
        free = int(self.connection.pragma("freelist_count"))
        live = int(self.connection.pragma("page_count")) - free
        return free > max(live // VACUUM_ALLOWED, 64)

    def used(self) -> int:
        """Bytes of live data: pages in use, within the transaction if one is open."""
        pages = int(self.connection.pragma("page_count")) - int(self.connection.pragma("freelist_count"))
        return pages * PAGE_SIZE

    def displaced(self) -> str:
        """Return why the path does not lead to the open file any more, or an empty text."""
        try:
            now = _identity(self.path)
        except OSError:  # unknown now; the open file serves until it is known
            return ""
        if now == self._identity:
            return ""
        return "deleted" if now is None else "replaced"

    def copy_to(self, path: Path) -> None:
        """Copy the open file, log included, page by page."""
        paths.create(path)
        target = apsw.Connection(str(path))
        try:
            with target.backup("main", self.connection, "main") as backup:
                while not backup.done:
                    backup.step(VACUUM_STEP)
        finally:
            target.close(force=True)

    def trouble(self, error: Fault) -> Trouble:
        """Return the meaning of an error of this connection."""
        try:
            return trouble(error, self.connection.system_errno)
        except apsw.ConnectionClosedError:
            return trouble(error)

    def close(self, *, tidy: bool = False) -> None:
        """Close, in whatever state. Commits stay in file and log; `tidy` writes them back into the file and removes the log."""
        with contextlib.suppress(apsw.ConnectionClosedError):
            self.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(not tidy))
        self.connection.close(force=True)


def _stored(path: Path, *, powered: bool) -> int:
    """Return how many frames the log must have. `apsw.CorruptError`: the file beside it is empty, or can't be a spool; OSError."""
    wrong = header.contradiction(path)
    if wrong:
        raise apsw.CorruptError(wrong)
    frames = committed(log_of(path)).frames
    if frames and not paths.size(path):
        raise apsw.CorruptError("the file is empty, but its log is not")
    return frames if powered else 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
