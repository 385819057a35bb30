"""The file of the history store: one table in SQLite, for one thread. Each write enforces its bounds."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw

from agent.component import HistoryEntry
from agent.spool import paths
from agent.spool.database import DAMAGE, log_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FAULTS: Final = (apsw.Error, OSError, ValueError)
"""ValueError: what is stored is not UTF-8, not JSON, or of another type."""
APPLICATION_ID: Final = 0x4F555448
"""`OUTH`, in the header of the file."""
VERSION: Final = 1
CACHE_KIB: Final = 256
LOG_PAGES: Final = 64
"""Pages (256 KiB): the write-ahead log is written back at this length."""
OVERHEAD: Final = 64
"""Bytes of an entry on the disk beside its own: kind, key and time stand in the table and in its index."""
TRIM_TO: Final = 0.9
"""A series that has grown too large is trimmed to this part of its limit, so that it is not trimmed at every write."""
_CREATE: Final = """
CREATE TABLE entries(
  kind TEXT NOT NULL, time_ns INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(kind, time_ns, key)) WITHOUT ROWID;
CREATE INDEX entries_by_key ON entries(kind, key, time_ns);
"""
_SIZE: Final = f"2 * length(CAST(key AS BLOB)) + length(value) + {OVERHEAD}"
_TOO_MUCH: Final = f"""
SELECT max(time_ns) FROM (
  SELECT time_ns, sum({_SIZE}) OVER (ORDER BY time_ns DESC, key DESC) AS above FROM entries WHERE kind = ?) WHERE above > ?"""  # noqa: S608


class Stored(NamedTuple):
    """An entry as it is stored; `value` is JSON."""

    kind: str
    time_ns: int
    key: str
    value: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return 2 * len(self.key.encode()) + len(self.value) + OVERHEAD

    def entry(self) -> HistoryEntry:
        """Return it with its value; ValueError if it is not what was stored."""
        if not (isinstance(self.time_ns, int) and isinstance(self.key, str) and isinstance(self.value, bytes)):
            raise ValueError("an entry has a column of another type")  # noqa: TRY004 - damage, not a caller's mistake
        return HistoryEntry(self.time_ns, self.key, json.loads(self.value))


class Limit(NamedTuple):
    """How much of a series is kept."""

    age_ns: int
    most_bytes: int


class HistoryFile:
    """The open file. Every method may raise what `FAULTS` names; then it is closed, and removed if `is_damage` says so."""

    def __init__(self, directory: Path) -> None:
        """Open or make it. A file of another version, or of another program, is damage."""
        path = directory / paths.HISTORY
        if not paths.is_there(path):
            paths.create(path)
        self._connection = apsw.Connection(
            str(path.parent.resolve() / path.name), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
        )
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise
        self._path, self._inode = path, path.stat().st_ino
        self._sizes: dict[str, int] = {}
        """Kind → bytes when it was last summed up, and what has come since."""

    def _prepare(self) -> None:
        connection = self._connection
        connection.pragma("locking_mode", "exclusive")
        connection.pragma("page_size", 4096)
        connection.pragma("auto_vacuum", "incremental")
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "normal")
        connection.pragma("cache_size", -CACHE_KIB)
        connection.pragma("journal_size_limit", 2 * LOG_PAGES * 4096)
        connection.wal_autocheckpoint(LOG_PAGES)
        if not connection.pragma("user_version"):
            with connection:
                connection.execute(_CREATE)
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", VERSION)
        if (connection.pragma("application_id"), connection.pragma("user_version")) != (APPLICATION_ID, VERSION):
            raise apsw.FormatError("it is not a history of this version")
        if (found := connection.execute("PRAGMA quick_check(1)").get) != "ok":
            raise apsw.CorruptError(str(found))

    def write(self, entries: Iterable[Stored], limits: Mapping[str, Limit], now_ns: int) -> bool:
        """Store entries and delete what is beyond the limits, in one transaction. Returns True."""
        with self._connection:
            for one in entries:
                if one.kind not in self._sizes:
                    self._sizes[one.kind] = self._sum(one.kind)
                self._connection.execute("REPLACE INTO entries VALUES (?, ?, ?, ?)", one)
                self._sizes[one.kind] += one.size
            for kind, limit in limits.items():
                self._connection.execute("DELETE FROM entries WHERE kind = ? AND time_ns < ?", (kind, now_ns - limit.age_ns))
                if self._sizes.get(kind, 0) > limit.most_bytes:
                    self._trim(kind, limit.most_bytes)
        self._connection.pragma("incremental_vacuum")
        return True

    def _sum(self, kind: str) -> int:
        found: int = self._connection.execute(f"SELECT ifnull(sum({_SIZE}), 0) FROM entries WHERE kind = ?", (kind,)).get  # noqa: S608
        return found

    def _trim(self, kind: str, most_bytes: int) -> None:
        last = self._connection.execute(_TOO_MUCH, (kind, int(most_bytes * TRIM_TO))).get
        if last is not None:
            self._connection.execute("DELETE FROM entries WHERE kind = ? AND time_ns <= ?", (kind, last))
        self._sizes[kind] = self._sum(kind)

    def query(self, kind: str, since_ns: int, until_ns: int, key: str | None, limit: int) -> list[HistoryEntry]:
        """Return the newest entries of a time, of one key or of all, newest first."""
        by_key, values = ("", ()) if key is None else (" AND key = ?", (key,))
        sql = f"SELECT * FROM entries WHERE kind = ? AND time_ns BETWEEN ? AND ?{by_key} ORDER BY time_ns DESC, key DESC LIMIT ?"  # noqa: S608
        return [Stored(*row).entry() for row in self._connection.execute(sql, (kind, since_ns, until_ns, *values, limit))]

    def is_displaced(self) -> bool:
        """Whether another file has the name now, or none."""
        try:
            return self._path.stat().st_ino != self._inode
        except OSError:
            return True

    def close(self) -> None:
        """Close it, whatever state it is in."""
        self._connection.close(force=True)

    @staticmethod
    def remove(directory: Path) -> None:
        """Delete the file and its log. OSError."""
        for path in (log_of(directory / paths.HISTORY), directory / paths.HISTORY):
            path.unlink(missing_ok=True)

    @staticmethod
    def is_damage(error: Exception, directory: Path) -> bool:
        """Whether the file is not what was written, so that only another one helps. A flipped bit in the header makes a file read-only too."""
        if isinstance(error, apsw.ReadOnlyError):
            return not os.statvfs(directory).f_flag & os.ST_RDONLY
        return isinstance(error, (*DAMAGE, apsw.SQLError, ValueError))
