"""What a person asks of the spool: how it does, what lies in it, what to do with dead letters and with destinations that are gone.

Each is a function of the `Store`, so that it works alike within the running agent and, when none runs, from the command line. Those
marked "writes" belong into `Store.write` (or its callers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import apsw

from agent.errors import NoInputError, OutriderError
from agent.record import Signal
from agent.spool import cursors, dead_letters, ledger, rows, schema
from agent.spool.checksum import Packed
from agent.spool.database import log_of
from agent.spool.values import OWN, Cursor, SpoolStat

if TYPE_CHECKING:
    from pathlib import Path

    from agent.record import Row
    from agent.spool.file import Keeper
    from agent.spool.tables import Store
    from agent.spool.values import StoredLetter


_CONFIGURED: Final = "is in the configuration: remove it there, and start or reload the agent, or name the new configuration with --config"


class Collected(NamedTuple):
    """What one step of `collect` did."""

    evicted: int
    """Records that the destination had not got; counted as evicted, reason `orphaned`."""
    more: bool
    """Whether rows that nobody waits for any more are still there: call `sweep` until not."""


def stat(keeper: Keeper) -> SpoolStat:
    """Return the figures of this moment."""
    store, connection = keeper.store, keeper.store.db.connection
    log = log_of(store.path)
    return SpoolStat(
        path=store.path,
        state=keeper.state,
        reason=keeper.reason,
        quota=store.limit.quota,
        used=store.db.used(),
        file_size=_size(store.path),
        wal_size=_size(log),
        ballast_size=keeper.ballast.size,
        rows=connection.execute("SELECT count(*) FROM rows INDEXED BY rows_by_signal").get,
        records=connection.execute("SELECT ifnull(sum(records), 0) FROM rows INDEXED BY rows_by_signal").get,
        oldest_ns=connection.execute("SELECT stored_ns FROM rows ORDER BY seq LIMIT 1").get,
        dead_letters=connection.execute("SELECT count(*) FROM dead_letters").get,
        cursors=_cursors(store),
        configured=configured_names(store),
        orphans=orphans(store),
        sqlite=apsw.sqlite_lib_version(),
        schema=schema.VERSION,
    )


def _cursors(store: Store) -> tuple[Cursor, ...]:
    found = ledger.pending(store.db.connection)
    waiting: dict[cursors.Key, int] = {}
    for (_, destination, signal), records in found.items():
        waiting[destination, signal] = waiting.get((destination, signal), 0) + records
    return tuple(Cursor(*key, seq, waiting.get(key, 0)) for key, seq in sorted(store.cursors.items()))


def orphans(store: Store) -> tuple[str, ...]:
    """List the destinations with a cursor that are not configured: they hold rows back for nobody. None where that is not known."""
    if not store.knows_configured:
        return ()
    return tuple(sorted({destination for destination, signal in store.cursors if (destination, signal) not in store.registered}))


def configured_names(store: Store) -> tuple[str, ...] | None:
    """List the destinations that are configured; None if that is not known."""
    return tuple(sorted({destination for destination, _ in store.registered})) if store.knows_configured else None


def collect(store: Store, destination: str, *, force: bool = False) -> Collected:
    """Forget the cursors of a destination that is not configured (writes); what it has not got is counted as evicted.

    NoInputError if it is configured, or unknown, or if records wait for it, unless they are to be given up (`force`).
    """
    gone = [key for key in store.cursors if key[0] == destination and not (store.knows_configured and key in store.registered)]
    if not gone:
        known = any(destination == name for name, _ in store.cursors)
        reason = _CONFIGURED if known else "is not known to this spool"
        raise NoInputError(f"{destination!r} {reason}; what can be forgotten: {', '.join(orphans(store)) or 'nothing'}")
    waiting = {line: records for line, records in ledger.pending(store.db.connection).items() if line[1:] in gone}
    evicted = sum(waiting.values())
    if evicted and not force:
        raise NoInputError(f"{evicted} records wait for {destination!r}: to give them up, which counts them as evicted, say --force")
    for line, records in waiting.items():
        ledger.lose(store.db.connection, "evicted", line, "orphaned", records)
    for key in gone:
        cursors.remove(store.db.connection, key)
        del store.cursors[key]
    store.forsake(destination, {signal for _, signal in gone})
    return Collected(evicted, sweep(store))


def sweep(store: Store) -> bool:
    """Let rows go that every destination is past, some of each signal (writes); say whether there may be more."""
    more = [store.retire(signal.value) for signal in Signal]
    return any(more)


def list_dead_letters(store: Store, after: int = 0, limit: int = 1000) -> list[StoredLetter]:
    """List dead letters, oldest first, from behind an id."""
    return dead_letters.listed(store.db.connection, after, limit)


def dead_letter_body(store: Store, number: int) -> bytes:
    """Return the gzip'd body of a dead letter; NoInputError if there is none."""
    return _letter(store, number).body


def requeue(store: Store, number: int) -> int:
    """Put a dead letter back for the destination that refused it (writes); return its new row number.

    OutriderError: there is none, it is damaged, or its destination has no cursor any more.
    """
    dead = _letter(store, number)
    if dead.destination == OWN or not dead_letters.intact(dead):
        raise OutriderError(f"dead letter {number} is damaged ({dead.reason}) and can't be sent")
    if (dead.destination, dead.signal) not in store.cursors:
        raise OutriderError(f"dead letter {number} was for {dead.destination!r}, which takes no {dead.signal} any more")
    packed = Packed(dead.signal, dead.records, dead.raw_size, dead.body)
    seq = store.put_back(dead.source, packed, dead.destination)
    ledger.add(store.db.connection, "dead_lettered", dead.line, -dead.records)
    ledger.note(store.db.connection, "dead_lettered", dead.line, dead.reason, -dead.records)
    dead_letters.delete(store.db.connection, number)
    return seq


def discard(store: Store, number: int) -> None:
    """Throw a dead letter away (writes); it stays counted as dead-lettered. NoInputError if there is none."""
    if not dead_letters.delete(store.db.connection, number):
        raise NoInputError(f"there is no dead letter {number}")


def tail(store: Store, signal: str, after: int, limit: int) -> list[Row]:
    """Return up to `limit` intact rows of a signal behind a number, oldest first."""
    return rows.tail(store.db.connection, signal, after, limit)


def recent(store: Store, signal: str, limit: int) -> list[Row]:
    """Return the newest intact rows of a signal, oldest first."""
    return rows.recent(store.db.connection, signal, limit)


def _letter(store: Store, number: int) -> dead_letters.Letter:
    dead = dead_letters.fetch(store.db.connection, number)
    if dead is None:
        raise NoInputError(f"there is no dead letter {number}")
    return dead


def _size(path: Path) -> int:
    """Bytes of a file; 0 where it can't be seen now."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
