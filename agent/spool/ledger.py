"""The account of every record: SQL that keeps it, in the transactions that move rows, and reads it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.spool.checksum import checksum
from agent.spool.values import OWN, Drop, Ledger, LedgerLine, Loss

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import apsw

COLUMNS: Final = {"accepted": 1, "sent": 3, "rejected": 5, "dead_lettered": 7, "evicted": 11}
"""The figures of a line and their weight in its checksum, which is a weighted sum because that can be added to along with them."""

ALL: Final = "SELECT source, destination, signal, accepted, sent, rejected, dead_lettered, evicted, digest FROM ledger"

_ADD: Final = {
    column: f"INSERT INTO ledger(source, destination, signal, {column}, digest) VALUES (?1, ?2, ?3, ?4, ?5 + {weight} * ?4)"  # noqa: S608
    f" ON CONFLICT DO UPDATE SET {column} = {column} + ?4, digest = digest + {weight} * ?4"
    for column, weight in COLUMNS.items()
}

_EVICTED: Final = "SELECT signal, SUM(count) FROM losses WHERE kind = 'evicted' AND destination = ? GROUP BY signal"
_LOSE: Final = """
INSERT INTO losses(kind, source, destination, signal, reason, count) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET count = count + excluded.count"""

_DROP: Final = """
INSERT INTO drops(source, reason, count) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"""

_PENDING: Final = """
SELECT rows.source, cursors.destination, rows.signal, sum(rows.records) FROM cursors CROSS JOIN rows INDEXED BY rows_by_signal
ON rows.signal = cursors.signal AND rows.seq > cursors.seq AND (rows.only IS NULL OR rows.only = cursors.destination) GROUP BY 1, 2, 3
UNION ALL SELECT source, '', signal, sum(records) FROM rows INDEXED BY rows_by_signal GROUP BY source, signal"""


def accept(connection: apsw.Connection, source: str, signal: str, records: int, destinations: Iterable[str]) -> None:
    """Count a new row: for the spool, and for every destination that has a cursor for its signal."""
    for destination in (OWN, *destinations):
        add(connection, "accepted", (source, destination, signal), records)


def add(connection: apsw.Connection, column: str, line: tuple[str, str, str], records: int) -> None:
    """Add to one column of one line (source, destination, signal)."""
    if records:
        connection.execute(_ADD[column], (*line, records, checksum(*line)))


def insert(connection: apsw.Connection, line: tuple[apsw.SQLiteValue, ...]) -> None:
    """Store a whole line as `ALL` reads it; a damaged tree may show a line twice."""
    connection.execute("REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", line)


def intact(line: tuple[apsw.SQLiteValue, ...]) -> bool:
    """Whether a line, as `ALL` reads it, is what was written."""
    source, destination, signal, *figures, check = line
    if not all(isinstance(one, str) for one in line[:3]) or not all(isinstance(one, int) for one in line[3:]):
        return False
    weighted = sum(weight * int(str(figure)) for weight, figure in zip(COLUMNS.values(), figures, strict=True))
    return check == checksum(str(source), str(destination), str(signal)) + weighted


def lose(connection: apsw.Connection, kind: str, line: tuple[str, str, str], reason: str, records: int) -> None:
    """Add to a line's column and note the reason beside it."""
    if records:
        add(connection, kind, line, records)
        note(connection, kind, line, reason, records)


def note(connection: apsw.Connection, kind: str, line: tuple[str, str, str], reason: str, records: int) -> None:
    """Count a reason only."""
    connection.execute(_LOSE, (kind, *line, reason, records))


def evicted(connection: apsw.Connection, destination: str) -> dict[str, int]:
    """Records that made room for newer ones before this destination had them, by signal."""
    return {str(signal): int(str(count)) for signal, count in connection.execute(_EVICTED, (destination,))}


def drop(connection: apsw.Connection, source: str, drops: Mapping[str, int]) -> None:
    """Count records that a source could not read or parse."""
    for reason, count in drops.items():
        connection.execute(_DROP, (source, reason, count))


def pending(connection: apsw.Connection) -> dict[tuple[str, str, str], int]:
    """Count the records behind the cursors, from the rows: (source, destination, signal) → records."""
    return {(source, destination, signal): count for source, destination, signal, count in connection.execute(_PENDING)}


def read(connection: apsw.Connection) -> Ledger:
    """Read the account; pending records are counted from the rows."""
    behind = pending(connection)
    found = connection.execute(f"{ALL} ORDER BY source, destination, signal")
    lines = [LedgerLine(*line[:-1], pending=behind.pop(line[:3], 0)) for line in found]  # type: ignore[misc] # the table's column order
    lines += [LedgerLine(*key, pending=count) for key, count in behind.items()]
    return Ledger(
        lines=tuple(line for line in lines if line.destination != OWN),
        stored=tuple(line for line in lines if line.destination == OWN),
        drops=tuple(Drop(*row) for row in connection.execute("SELECT source, reason, count FROM drops ORDER BY 1, 2")),
        losses=tuple(
            Loss(*row)
            for row in connection.execute("SELECT kind, source, destination, signal, reason, count FROM losses ORDER BY 1, 2, 3, 4, 5")
        ),
    )


def reconcile(connection: apsw.Connection) -> int:
    """After damage: count what is missing as dead-lettered, reason `corrupt`, and return how many records the destinations miss.

    Records beyond the account (its pages were damaged, or older) are added to it. Only ever called when damage was seen, so that
    an error in the agent's own accounting stays visible.
    """
    missing = 0
    ledger = read(connection)
    for line in (*ledger.lines, *ledger.stored):
        key = (line.source, line.destination, line.signal)
        if line.balance > 0:
            lose(connection, "dead_lettered", key, "corrupt", line.balance)
            missing += line.balance if line.destination != OWN else 0
        elif line.balance < 0:
            add(connection, "accepted", key, -line.balance)
    return missing
