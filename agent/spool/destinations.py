"""Destinations: which are configured, where a new one starts, and how one that is gone is forgotten. Functions of the tables.

The configured destinations stand among the positions, stored twice and with checksums as those are: without the running agent nothing else says it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from agent.errors import NoInputError
from agent.record import Owner, Signal
from agent.spool import cursors, ledger, positions, room, rows
from agent.spool.values import OWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import apsw

    from agent.spool.cursors import Key
    from agent.spool.open_file import OpenFile

_KEY: Final = "signals"
_CONFIGURED: Final = "is in the configuration: remove it there, and start or reload the agent, or name the new configuration with --config"


def stored(connection: apsw.Connection) -> set[Key] | None:
    """Return the destinations that the last agent had, with each of their signals; None where an older agent wrote the file."""
    found = positions.read(connection, Owner.SPOOL, "").get(_KEY)
    if found is None:
        return None
    return {(destination, signal) for destination, signals in json.loads(found).items() for signal in signals}


def _store(connection: apsw.Connection, keys: set[Key]) -> None:
    if keys == stored(connection):
        return
    signals: defaultdict[str, list[str]] = defaultdict(list)
    for destination, signal in sorted(keys):
        signals[destination].append(signal)
    positions.write(connection, Owner.SPOOL, "", {_KEY: json.dumps(signals).encode()})


def configure(tables: OpenFile, wanted: Mapping[str, Iterable[str]]) -> None:
    """Register these destinations and no others, and remember that for when no agent runs."""
    tables.session.registered = set()
    for destination, signals in wanted.items():
        register(tables, destination, signals)
    _store(tables.connection, tables.session.registered)


def register(tables: OpenFile, destination: str, signals: Iterable[str]) -> None:
    """Make sure of a destination's cursors; a new one starts at the oldest stored row."""
    keys = {(destination, signal) for signal in signals}
    tables.session.registered = (tables.session.registered or set()) | keys
    for key in keys - tables.cursors.keys():
        _start(tables, key)


def _start(tables: OpenFile, key: Key) -> None:
    destination, signal = key
    oldest = rows.oldest(tables.connection, signal)
    tables.move(key, tables.last_seq if oldest is None else oldest - 1)
    sql = "SELECT source, sum(records) FROM rows WHERE signal = ? AND only IS NULL GROUP BY source"
    for source, records in tables.connection.execute(sql, (signal,)).fetchall():
        ledger.add(tables.connection, "accepted", (str(source), destination, signal), int(str(records)))


def configured(tables: OpenFile) -> tuple[str, ...] | None:
    """List the destinations that are configured; None if that is unknown."""
    registered = tables.session.registered
    return None if registered is None else tuple(sorted({destination for destination, _ in registered}))


def orphans(tables: OpenFile) -> tuple[str, ...]:
    """List the destinations with a cursor that are not configured: rows are kept for them in vain. None where that is unknown."""
    registered = tables.session.registered
    return () if registered is None else tuple(sorted({key[0] for key in tables.cursors if key not in registered}))


def forget(tables: OpenFile, destination: str, *, force: bool = False) -> int:
    """Forget the cursors of a destination that is not configured; return how many records it had not received (now evicted, `orphaned`).

    NoInputError if it is configured, or unknown, or if records wait for it, unless `force` gives them up.
    """
    gone = [key for key in tables.cursors if key[0] == destination and key not in (tables.session.registered or ())]
    if not gone:
        known = any(destination == name for name, _ in tables.cursors)
        reason = _CONFIGURED if known else "is not known to this spool"
        raise NoInputError(f"{destination!r} {reason}; what can be forgotten: {', '.join(orphans(tables)) or 'nothing'}")
    waiting = {line: records for line, records in ledger.pending(tables.connection).items() if line[1:] in gone}
    evicted = sum(waiting.values())
    if evicted and not force:
        raise NoInputError(f"{evicted} records wait for {destination!r}: to give them up, which counts them as evicted, say --force")
    for line, records in waiting.items():
        ledger.lose(tables.connection, "evicted", line, "orphaned", records)
    for key in gone:
        cursors.remove(tables.connection, key)
        del tables.cursors[key]
    _give_up_rows_for(tables, destination, {signal for _, signal in gone})
    return evicted


def _give_up_rows_for(tables: OpenFile, destination: str, signals: set[str]) -> None:
    """Give up the rows that were meant for a destination alone, whose cursors are gone."""
    for head in rows.meant_for(tables.connection, destination):
        if head.signal in signals:
            ledger.lose(tables.connection, "evicted", (head.source, OWN, head.signal), "orphaned", head.records)
            rows.delete(tables.connection, head.seq)


def sweep(tables: OpenFile) -> bool:
    """After one is forgotten, release rows that every other destination is past, some of each signal; say whether there may be more."""
    more = [room.retire(tables, signal.value) for signal in Signal]
    return any(more)
