"""One connection to one SQLite file: how it is opened, how a transaction ends for certain, how the file is kept small.

SQLite facts this rests on, each tried: a COMMIT that failed may be found committed after reopening; on a full disk neither DELETE nor
a checkpoint succeeds; 3.7.0 to 3.51.2 can corrupt a WAL that two connections use, so there is exactly one connection here.
"""

from __future__ import annotations

import errno
import os
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import apsw

from agent.crash import crash_point
from agent.spool import schema

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
"""What goes wrong below us; a text that is no text any more is a damaged file that SQLite took for sound."""


class Trouble(Enum):
    """What an error of SQLite means to us."""

    FULL = auto()
    """The disk, the page limit or the file size limit is used up."""
    DAMAGED = auto()
    """The file is not what it was."""
    UNREADABLE = auto()
    """The disk does not give a part of the file: damaged, if it stays so."""
    LOCKED = auto()
    """Somebody else has it."""
    IO = auto()
    """The disk did not do as told; or anything else that reopening may cure."""


_FULL_ERRNO: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READING: Final = frozenset({apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_SHORT_READ, apsw.SQLITE_IOERR_CORRUPTFS})
DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError, apsw.SchemaChangeError)


def trouble(error: Fault, system_errno: int = 0) -> Trouble:
    """Say what an error means. `system_errno` is the connection's last: a write over the file size limit shows only there."""
    if isinstance(error, apsw.FullError):
        return Trouble.FULL
    if isinstance(error, (*DAMAGE, UnicodeDecodeError)):
        return Trouble.DAMAGED
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return Trouble.LOCKED
    if isinstance(error, apsw.IOError) and system_errno in _FULL_ERRNO:
        return Trouble.FULL
    if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) in _READING:
        return Trouble.UNREADABLE
    return Trouble.IO


def private_file(path: Path) -> None:
    """Create an empty file that only its owner may read; SQLite gives its log the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_directory(path.parent)


def log_of(path: Path) -> Path:
    """Return the path of a file's write-ahead log."""
    return path.with_name(path.name + "-wal")


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Database:
    """The connection. For one thread; every method may raise `apsw.Error`, which `trouble` explains."""

    def __init__(self, path: Path, max_pages: int) -> None:
        """Open or create the file, take its exclusive lock, bring it to the newest schema."""
        if not path.exists():
            private_file(path)
        self.path = path
        self.wal_pages = 0
        self._durable = False
        self.connection = apsw.Connection(str(path))
        try:
            self._prepare(max_pages)
            self.commit_id: int = self.connection.execute("SELECT commit_id FROM state").get
        except BaseException:
            self.connection.close(force=True)
            raise
        self._identity = _identity(path)

    def _prepare(self, max_pages: int) -> None:
        connection = self.connection
        connection.pragma("locking_mode", "exclusive")
        connection.pragma("page_size", schema.PAGE_SIZE)
        connection.pragma("auto_vacuum", "incremental")
        connection.pragma("journal_mode", "wal")
        connection.pragma("journal_size_limit", LOG_LIMIT)
        connection.pragma("synchronous", "normal")
        connection.pragma("mmap_size", 0)
        connection.pragma("cache_size", -CACHE_KIB)
        connection.pragma("temp_store", "memory")
        connection.pragma("cell_size_check", "on")
        connection.pragma("max_page_count", max_pages)
        connection.set_wal_hook(self._on_commit)
        schema.migrate(connection)
        schema.verify(connection)

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

    def commit(self, last_seq: int) -> None:
        """End it. If this raises, only `landed` of a newly opened `Database` knows whether it is stored."""
        number = self.commit_id + 1
        self.connection.execute("UPDATE state SET commit_id = ?, last_seq = ?", (number, last_seq))
        crash_point("spool.before_commit")
        self.connection.execute("COMMIT")
        self.commit_id = number
        crash_point("spool.after_commit")

    def rollback(self) -> None:
        """Forget the open transaction, if SQLite has not done so already."""
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
        """Shorten the file by at most `VACUUM_STEP` pages if it is too long for its data; say whether it was."""
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
        return pages * schema.PAGE_SIZE

    def displaced(self) -> str:
        """Return why the path is not our open file any more, or nothing."""
        try:
            now = _identity(self.path)
        except OSError:  # nobody can say now; the open file goes on
            return ""
        if now == self._identity:
            return ""
        return "deleted" if now is None else "replaced"

    def copy_to(self, path: Path) -> None:
        """Copy the open file, log included, page by page."""
        private_file(path)
        target = apsw.Connection(str(path))
        try:
            with target.backup("main", self.connection, "main") as backup:
                while not backup.done:
                    backup.step(VACUUM_STEP)
        finally:
            target.close(force=True)

    def trouble(self, error: Fault) -> Trouble:
        """Say what an error of this connection means."""
        try:
            return trouble(error, self.connection.system_errno)
        except apsw.ConnectionClosedError:
            return trouble(error)

    def close(self) -> None:
        """Close, whatever state it is in; what was committed stays in file and log."""
        self.connection.close(force=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
