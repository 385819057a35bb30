"""Rows in the file: insert, find, verify, delete."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.record import Row, Signal
from agent.spool.checksum import checksum

if TYPE_CHECKING:
    import apsw

    from agent.spool.checksum import Packed

COLUMNS: Final = "seq, signal, source, records, raw_size, stored_ns, replayable, only, size, digest, body"
_INSERT: Final = f"INSERT INTO rows({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 constant columns

_NEXT: Final = """
SELECT seq FROM rows INDEXED BY rows_by_signal WHERE signal = ?1 AND seq > ?2 AND (only IS NULL OR only = ?3) ORDER BY seq LIMIT 1"""

_SIGNALS: Final = frozenset(signal.value for signal in Signal)


class Stored(NamedTuple):
    """One row of the table; it may be damaged."""

    seq: int
    signal: str
    source: str
    records: int
    raw_size: int
    stored_ns: int
    replayable: int
    only: str | None
    size: int
    digest: int
    body: bytes

    @property
    def intact(self) -> bool:
        """Whether body and columns are those that were stored."""
        return isinstance(self.body, bytes) and self.digest == row_checksum(self) and self.signal in _SIGNALS

    def row(self) -> Row:
        """Return it in the form that exporters take."""
        return Row(self.seq, Signal(self.signal), self.source, self.records, self.body, self.raw_size, self.stored_ns)


class Head(NamedTuple):
    """The columns of a row without its body."""

    seq: int
    signal: str
    source: str
    records: int
    size: int
    only: str | None


def row_checksum(row: Stored) -> int:
    """CRC-32 of a row's body and of all its columns but the checksum."""
    return checksum(*row[:9], body=row.body)


def build(seq: int, source: str, packed: Packed, stored_ns: int, *, replayable: bool, only: str | None = None) -> Stored:
    """Make a row of a packed payload."""
    row = Stored(
        seq, packed.signal, source, packed.records, packed.raw_size, stored_ns, int(replayable), only, len(packed.body), 0, packed.body
    )
    return row._replace(digest=row_checksum(row))


def insert(connection: apsw.Connection, row: Stored) -> None:
    """Store a row."""
    connection.execute(_INSERT, row)


def find_next(connection: apsw.Connection, signal: str, after: int, destination: str) -> int | None:
    """Return the number of the first row behind `after` that is meant for this destination."""
    found: int | None = connection.execute(_NEXT, (signal, after, destination)).get
    return found


def fetch(connection: apsw.Connection, seq: int) -> Stored | None:
    """Read one row, body and all."""
    values = connection.execute(f"SELECT {COLUMNS} FROM rows WHERE seq = ?", (seq,)).fetchone()  # noqa: S608 constant columns
    return None if values is None else Stored(*values)


def head(connection: apsw.Connection, seq: int) -> Head | None:
    """Read one row without its body."""
    values = connection.execute("SELECT seq, signal, source, records, size, only FROM rows WHERE seq = ?", (seq,)).fetchone()
    return None if values is None else Head(*values)


def heads(connection: apsw.Connection, signal: str, last: int, limit: int) -> list[Head]:
    """List the oldest rows of a signal up to number `last`; from the index alone."""
    sql = (
        "SELECT seq, signal, source, records, size, only FROM rows INDEXED BY rows_by_signal"
        " WHERE signal = ? AND seq <= ? ORDER BY seq LIMIT ?"
    )
    return [Head(*values) for values in connection.execute(sql, (signal, last, limit))]


def oldest_evictable(connection: apsw.Connection) -> int | None:
    """Return the number of the oldest row that cannot be read again from its source anyway."""
    found: int | None = connection.execute("SELECT seq FROM rows INDEXED BY rows_evictable WHERE replayable = 0 ORDER BY seq LIMIT 1").get
    return found


def oldest(connection: apsw.Connection, signal: str) -> int | None:
    """Return the number of the oldest row of a signal."""
    found: int | None = connection.execute("SELECT min(seq) FROM rows WHERE signal = ?", (signal,)).get
    return found


def meant_for(connection: apsw.Connection, destination: str) -> list[Head]:
    """List the rows that are meant for one destination alone."""
    sql = "SELECT seq, signal, source, records, size, only FROM rows INDEXED BY rows_by_signal WHERE only = ?"
    return [Head(*values) for values in connection.execute(sql, (destination,))]


def delete(connection: apsw.Connection, seq: int) -> None:
    """Delete a row."""
    connection.execute("DELETE FROM rows WHERE seq = ?", (seq,))


def recent(connection: apsw.Connection, signal: str, limit: int) -> list[Row]:
    """Read the newest intact rows of a signal, oldest first."""
    sql = f"SELECT {COLUMNS} FROM rows WHERE signal = ? ORDER BY seq DESC LIMIT ?"  # noqa: S608 constant columns
    found = [Stored(*values) for values in connection.execute(sql, (signal, limit))]
    return [row.row() for row in reversed(found) if row.intact]


def tail(connection: apsw.Connection, signal: str, after: int, limit: int) -> list[Row]:
    """Read up to `limit` intact rows of a signal behind a number, oldest first."""
    sql = f"SELECT {COLUMNS} FROM rows WHERE signal = ? AND seq > ? ORDER BY seq"  # noqa: S608 constant columns
    cursor = connection.execute(sql, (signal, after))
    found = (row.row() for row in (Stored(*values) for values in cursor) if row.intact)
    try:
        return list(itertools.islice(found, limit))
    finally:
        cursor.close(force=True)
