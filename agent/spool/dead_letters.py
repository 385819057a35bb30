"""Dead letters: records that a destination refused for good. They are kept for inspection, to be put back or to be discarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agent.spool import ledger, quota, rows
from agent.spool.checksum import Packed, checksum, squeeze
from agent.spool.values import StoredLetter

if TYPE_CHECKING:
    import apsw

    from agent.record import Row
    from agent.spool.rows import Stored
    from agent.spool.values import DeadLetter

COLUMNS: Final = "seq, signal, source, destination, reason, at_ns, records, raw_size, size, digest, body"
_INSERT: Final = f"INSERT INTO dead_letters({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 constant columns
_LISTED: Final = "id, seq, signal, source, destination, reason, at_ns, records, size"


class Letter(NamedTuple):
    """A dead letter as it is stored; `body` is gzip."""

    seq: int
    signal: str
    source: str
    destination: str
    reason: str
    at_ns: int
    records: int
    raw_size: int
    size: int
    digest: int
    body: bytes

    @property
    def line(self) -> tuple[str, str, str]:
        """Its line in the ledger."""
        return self.source, self.destination, self.signal


def letter(row: Stored, destination: str, reason: str, at_ns: int) -> Letter:
    """Make a dead letter of a row, or of the part of one that was refused."""
    check = checksum(row.records, row.raw_size, body=row.body)
    return Letter(row.seq, row.signal, row.source, destination, reason, at_ns, row.records, row.raw_size, len(row.body), check, row.body)


def bury(connection: apsw.Connection, destination: str, row: Row, dead: DeadLetter, *, at_ns: int, room: int, share: int) -> None:
    """Account for what a destination refused for good, and keep it where the file has `room` bytes for it; all may take `share` bytes."""
    line = (row.source, destination, row.signal.value)
    ledger.lose(connection, "dead_lettered", line, dead.reason, dead.records)
    body = row.body if dead.body is None else squeeze(dead.body)
    raw_size = row.raw_size if dead.body is None else len(dead.body)
    if quota.need([len(body)]) > room:
        ledger.note(connection, "dead_letter_evicted", line, dead.reason, dead.records)
        return
    stored = rows.build(row.seq, row.source, Packed(row.signal, dead.records, raw_size, body), row.stored_ns, replayable=True)
    insert(connection, letter(stored, destination, dead.reason, at_ns))
    trim(connection, share)


def insert(connection: apsw.Connection, dead: Letter) -> None:
    """Keep a dead letter."""
    connection.execute(_INSERT, dead)


def trim(connection: apsw.Connection, share: int) -> None:
    """Discard the oldest until all take at most `share` bytes; each is counted."""
    total: int = connection.execute("SELECT ifnull(sum(size), 0) FROM dead_letters").get
    while total > share:
        oldest = listed(connection, limit=1)[0]
        ledger.note(connection, "dead_letter_evicted", (oldest.source, oldest.destination, oldest.signal), oldest.reason, oldest.records)
        delete(connection, oldest.id)
        total -= oldest.size


def listed(connection: apsw.Connection, after: int = 0, limit: int = 1000) -> list[StoredLetter]:
    """List dead letters, oldest first, from behind an id."""
    sql = f"SELECT {_LISTED} FROM dead_letters WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 constant columns
    return [StoredLetter(*values) for values in connection.execute(sql, (after, limit))]


def fetch(connection: apsw.Connection, number: int) -> Letter | None:
    """Read one dead letter, body and all."""
    values = connection.execute(f"SELECT {COLUMNS} FROM dead_letters WHERE id = ?", (number,)).fetchone()  # noqa: S608 constant columns
    return None if values is None else Letter(*values)


def intact(dead: Letter) -> bool:
    """Whether the body is the one that was stored."""
    return isinstance(dead.body, bytes) and checksum(dead.records, dead.raw_size, body=dead.body) == dead.digest


def delete(connection: apsw.Connection, number: int) -> bool:
    """Delete one; return whether there was one."""
    connection.execute("DELETE FROM dead_letters WHERE id = ?", (number,))
    return connection.changes() > 0
