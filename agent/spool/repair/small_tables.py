"""Small tables, checked at every start: a row with a wrong checksum is left out, and the table is written again from the rest.

It is written as a whole, because a flipped bit in a key also breaks the order by which SQLite finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.spool import cursors, ledger, positions, rows

if TYPE_CHECKING:
    import apsw


def find(connection: apsw.Connection) -> tuple[str, ...]:
    """Name the tables that hold something damaged."""
    wrong = []
    if cursors.load(connection)[1]:
        wrong.append("cursors")
    if not all(ledger.intact(line) for line in connection.execute(ledger.ALL)):
        wrong.append("ledger")
    found = [list(connection.execute(f"SELECT * FROM {table}")) for table in positions.TABLES]  # noqa: S608 constant names
    if found[0] != found[1] or not all(positions.intact(row) for row in found[0]):
        wrong.append("positions")
    return tuple(wrong)


def mend(connection: apsw.Connection, tables: tuple[str, ...]) -> None:
    """Write the named tables again, within a transaction, and reconcile the account with the rows."""
    if "positions" in tables:
        _positions(connection)
    if "ledger" in tables:
        _ledger(connection)
    if "cursors" in tables:
        _cursors(connection)
    ledger.reconcile(connection)


def _positions(connection: apsw.Connection) -> None:
    """Keep every position that either of the two tables has intact."""
    kept: dict[tuple[apsw.SQLiteValue, ...], tuple[apsw.SQLiteValue, ...]] = {}
    for table in reversed(positions.TABLES):
        kept.update({row[:-2]: row for row in connection.execute(f"SELECT * FROM {table}") if positions.intact(row)})  # noqa: S608 constant
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 constant names
    for row in kept.values():
        positions.put(connection, row)


def _ledger(connection: apsw.Connection) -> None:
    """Lines that are wrong begin again with what is pending."""
    kept = [line for line in connection.execute(ledger.ALL) if ledger.intact(line)]
    connection.execute("DELETE FROM ledger")
    for line in kept:
        ledger.insert(connection, line)


def _cursors(connection: apsw.Connection) -> None:
    """Cursors that are wrong start at the oldest row: rows may be sent twice, none is passed over."""
    kept, _ = cursors.load(connection)
    connection.execute("DELETE FROM cursors")
    for key, seq in kept.items():
        cursors.write(connection, key, seq)
    restart(connection)


def restart(connection: apsw.Connection) -> None:
    """Give every destination that the ledger knows and that has no cursor one at the oldest row."""
    known, _ = cursors.load(connection)
    last: int = connection.execute("SELECT max(last_seq, ifnull((SELECT max(seq) FROM rows), 0)) FROM state").get
    for destination, signal in connection.execute("SELECT DISTINCT destination, signal FROM ledger WHERE destination <> ''").fetchall():
        if (destination, signal) not in known:
            oldest = rows.oldest(connection, str(signal))
            cursors.write(connection, (str(destination), str(signal)), last if oldest is None else oldest - 1)
