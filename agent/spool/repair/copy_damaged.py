"""Copy what is readable of a damaged spool into a sound one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw

from agent.spool import cursors, dead_letters, ledger, positions, rows
from agent.spool.database import DAMAGE, Database, log_of
from agent.spool.dead_letters import Letter
from agent.spool.quota import LOG_PAGES
from agent.spool.repair import small_tables
from agent.spool.repair.carve import carve
from agent.spool.repair.pages import Pages
from agent.spool.rows import Stored
from agent.spool.values import OWN, SalvageReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

CHUNK: Final = 64
"""Rows per transaction."""
UNREADABLE: Final = (*DAMAGE, apsw.SQLError, apsw.IOError, UnicodeDecodeError)
_ROWS: Final = f"SELECT {rows.COLUMNS} FROM rows WHERE seq > ? ORDER BY seq"  # noqa: S608 constant columns
_ROW_PROBE: Final = "SELECT seq FROM rows WHERE seq > ? ORDER BY seq LIMIT 1"
_LETTERS: Final = f"SELECT id, {dead_letters.COLUMNS} FROM dead_letters WHERE id > ? ORDER BY id"  # noqa: S608 constant columns
_LETTER_PROBE: Final = "SELECT id FROM dead_letters WHERE id > ? ORDER BY id LIMIT 1"
_POSITION_KEY: Final = "owner, name, key"
_POSITION_KEYS: Final = {1: "source, key"}
"""The same of older versions."""


class Found(NamedTuple):
    """The readable rows of a small table."""

    rows: list[tuple[apsw.SQLiteValue, ...]]
    complete: bool


class Tally:
    """Counts of the copy so far."""

    def __init__(self) -> None:
        self.rows = 0
        self.damaged = 0
        self.gaps = 0
        self.positions = 0
        self.positions_complete = False
        self.cursors_complete = False


def copy(aside: Path, fresh: Path, max_pages: int, reason: str) -> SalvageReport:
    """Copy the damaged file into a new one of the same version, which `migrate` then brings forward.

    `apsw.Error` and OSError are those of the new file: the damaged one raises none once it is open.
    """
    with contextlib.closing(Pages(aside, log_of(aside))) as pages, pages.opened() as (source, version):
        target = Database(fresh, max_pages, version=version)
        try:
            tally = _fill_all(pages, source, target, version)
            lost = _reconcile(target, _commit_id(source), restart=not tally.cursors_complete)
            target.checkpoint(truncate=True)
        finally:
            target.close(tidy=True)
    return SalvageReport(reason, aside, tally.rows, tally.damaged, lost, tally.positions, positions_lost=not tally.positions_complete)


def _fill_all(pages: Pages, source: apsw.Connection, target: Database, version: int) -> Tally:
    tally = Tally()
    target.begin(durable=False)
    tally.positions, tally.positions_complete = _copy_positions(source, target.connection, _POSITION_KEYS.get(version, _POSITION_KEY))
    tally.cursors_complete = _copy_cursors(source, target.connection)
    _copy_counters(source, target.connection)
    target.commit(0)
    tally.rows += _fill(target, _sound(_readable(source, _ROWS, _ROW_PROBE, tally), tally))
    if tally.gaps:
        tally.rows += _fill(target, _carved(pages, target.connection))
    _fill_letters(source, target)
    return tally


def _reconcile(target: Database, commit_id: int, *, restart: bool) -> int:
    """Bring the account into line with what was saved; return how many records are lost.

    The number of the last commit stays: by it a commit that failed is known to be stored.
    """
    target.begin(durable=False)
    if restart:
        small_tables.restart(target.connection)
    lost = ledger.reconcile(target.connection)
    target.commit(_last_seq(target.connection), commit_id)
    return lost


def _commit_id(source: apsw.Connection) -> int:
    try:
        return int(source.execute("SELECT commit_id FROM state").get)
    except (*UNREADABLE, TypeError, ValueError):
        return 0


def _scan(source: apsw.Connection, table: str, key: str) -> Found:
    """Read a small table from both ends, as far as each goes."""
    found: dict[tuple[apsw.SQLiteValue, ...], None] = {}
    for order in ("ASC", "DESC"):
        ordering = ", ".join(f"{column} {order}" for column in key.split(", "))
        try:
            for values in source.execute(f"SELECT * FROM {table} ORDER BY {ordering}"):  # noqa: S608 constant names
                found[values] = None
        except UNREADABLE:
            continue
        return Found(list(found), complete=True)
    return Found(list(found), complete=False)


def _copy_positions(source: apsw.Connection, target: apsw.Connection, key: str) -> tuple[int, bool]:
    """Copy positions from whichever of the two tables has each intact; say how many, and whether one table was complete."""
    complete = False
    found: dict[tuple[apsw.SQLiteValue, ...], tuple[apsw.SQLiteValue, ...]] = {}
    for table in reversed(positions.TABLES):
        scanned = _scan(source, table, key)
        sound = [row for row in scanned.rows if positions.intact(row)]
        complete = complete or (scanned.complete and len(sound) == len(scanned.rows))
        found.update({row[:-2]: row for row in sound})
    for row in found.values():
        positions.put(target, row)
    return len(found), complete


def _copy_cursors(source: apsw.Connection, target: apsw.Connection) -> bool:
    """Copy the cursors that can be trusted; say whether all could."""
    scanned = _scan(source, "cursors", "destination, signal")
    sound = [values for values in scanned.rows if cursors.intact(values)]
    for values in sound:
        target.execute("REPLACE INTO cursors VALUES (?, ?, ?, ?)", values)
    return scanned.complete and len(sound) == len(scanned.rows)


def _copy_counters(source: apsw.Connection, target: apsw.Connection) -> None:
    for line in _scan(source, "ledger", "source, destination, signal").rows:
        if ledger.intact(line):
            ledger.insert(target, line)
    for table, key in {"drops": "source, reason", "losses": "kind, source, destination, signal, reason"}.items():
        for values in _scan(source, table, key).rows:
            if all(isinstance(value, str) for value in values[:-1]) and isinstance(values[-1], int):
                marks = ", ".join("?" * len(values))
                target.execute(f"REPLACE INTO {table} VALUES ({marks})", values)  # noqa: S608 constant names


def _readable(source: apsw.Connection, select: str, probe: str, tally: Tally) -> Iterator[tuple[apsw.SQLiteValue, ...]]:
    """Yield what a table gives in the order of its numbers, stepping over what can't be read."""
    after = -1
    while True:
        try:
            for values in source.execute(select, (after,)):
                after = max(after, int(str(values[0])))  # a damaged tree may go backwards, and round
                yield values
        except UNREADABLE:
            tally.gaps += 1
        else:
            return
        found = _beyond(source, probe, after)
        if found is None:
            return
        after = found - 1


def _beyond(source: apsw.Connection, probe: str, after: int) -> int | None:
    """Return the first number behind the damage that begins after `after`; None if there is none."""
    low, high, found = after, after + 1, None
    while (found := _probe(source, probe, high)) == -1:
        low, high = high, after + 2 * (high - after)
        if high - after > 1 << 40:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        nearer = _probe(source, probe, middle)
        low, high, found = (middle, high, found) if nearer == -1 else (low, middle, nearer)
    return found


def _probe(source: apsw.Connection, probe: str, after: int) -> int | None:
    """Return the next number behind `after`, None if there is none, -1 if the way there can't be read."""
    try:
        found: int | None = source.execute(probe, (after,)).get
    except UNREADABLE:
        return -1
    return found


def _sound(found: Iterable[tuple[apsw.SQLiteValue, ...]], tally: Tally) -> Iterator[Stored]:
    """Keep the rows whose checksum is right."""
    for values in found:
        row = Stored(*values)  # type: ignore[arg-type] # whatever the types are: the checksum decides
        if row.intact:
            yield row
        else:
            tally.damaged += 1


def _carved(pages: Pages, target: apsw.Connection) -> Iterator[Stored]:
    """Find rows that no tree leads to any more, except those that every destination has (a freed page still shows them)."""
    known, _ = cursors.load(target)
    for row in carve(pages):
        if known.done(row.signal) is None or known.waiting(row.signal, row.seq, row.only):
            yield row


def _fill(target: Database, found: Iterable[Stored]) -> int:
    """Insert rows, some per transaction, one in memory at a time; a damaged tree may show one twice. Return how many there are."""
    inserted = 0
    target.begin(durable=False)
    for row in found:
        if rows.head(target.connection, row.seq) is None:
            rows.insert(target.connection, row)
            inserted += 1
            if inserted % CHUNK == 0:
                _turn(target)
    target.commit(0)
    return inserted


def _turn(target: Database) -> None:
    target.commit(0)
    if target.wal_pages > LOG_PAGES:
        target.checkpoint()
    target.begin(durable=False)


def _fill_letters(source: apsw.Connection, target: Database) -> None:
    """Copy the dead letters that are intact; the account of the others stands in the ledger."""
    target.begin(durable=False)
    for number, values in enumerate(_readable(source, _LETTERS, _LETTER_PROBE, Tally()), 1):
        letter = Letter(*values[1:])  # type: ignore[arg-type] # whatever the types are: the checksum decides
        if dead_letters.intact(letter) or letter.destination == OWN:
            dead_letters.insert(target.connection, letter)
        if number % CHUNK == 0:
            _turn(target)
    target.commit(0)


def _last_seq(target: apsw.Connection) -> int:
    """Return the highest row number anything speaks of."""
    sql = "SELECT max(ifnull((SELECT max(seq) FROM rows), 0), ifnull((SELECT max(seq) FROM cursors), 0), ifnull((SELECT max(seq) FROM dead_letters), 0))"
    last: int = target.execute(sql).get
    return last
