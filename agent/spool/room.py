"""Room for new rows: which rows are given up for them, and in which order. Functions of the tables, within a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.crash import crash_point
from agent.errors import SpoolFullError, SpoolOversizeError
from agent.record import Signal
from agent.spool import ledger, quota, rows
from agent.spool.values import OWN

if TYPE_CHECKING:
    from agent.spool.open_file import OpenFile

RETIRE_STEP = 256
"""Rows let go in one transaction."""


def make(tables: OpenFile, wanted: int, *, replayable: bool) -> None:
    """Make room for so many bytes. SpoolOversizeError: there never is; SpoolFullError: not now."""
    session = tables.session
    if not quota.fits_ever(session.granted, wanted):
        raise SpoolOversizeError(f"a batch of {wanted} bytes never fits into a spool of {session.granted.quota} bytes")
    let_go(tables, wanted)
    if replayable and still_full(tables):
        raise SpoolFullError(f"the spool is full until a tenth of its {session.limit.room} bytes is free")
    while not quota.fits(session.limit, tables.db.used(), wanted):
        seq = None if replayable else rows.oldest_evictable(tables.connection)
        head = None if seq is None else rows.head(tables.connection, seq)
        if head is None:
            session.refused = wanted
            raise SpoolFullError(f"the spool's {session.limit.room} bytes are used up")
        evict(tables, head, "quota")


def still_full(tables: OpenFile) -> bool:
    """Whether appends that can wait are refused; forgets the refusal once there is room."""
    session = tables.session
    if session.refused and not quota.stays_full(session.limit, tables.db.used(), session.refused):
        session.refused = 0
    return session.refused > 0


def let_go(tables: OpenFile, wanted: int = 0) -> None:
    """While there is no room, give up rows that nothing waits for: kept only to be looked at, or of a signal without a destination."""
    while still_full(tables) or not quota.fits(tables.session.limit, tables.db.used(), wanted):
        head = unneeded(tables)
        if head is None:
            return
        evict(tables, head, "quota")


def unneeded(tables: OpenFile) -> rows.Head | None:
    """Find the oldest row of some signal that no destination still has to send."""
    for signal in Signal:
        seq, done = rows.oldest(tables.connection, signal), tables.cursors.done(signal)
        if seq is not None and (done is None or seq <= done):
            return rows.head(tables.connection, seq)
    return None


def evict(tables: OpenFile, head: rows.Head, reason: str) -> None:
    """Give a row up and count it for every destination that still had to send it."""
    crash_point("spool.before_evict")
    waiting = tables.cursors.waiting(head.signal, head.seq, head.only)
    for destination in waiting:
        ledger.lose(tables.connection, "evicted", (head.source, destination, head.signal), reason, head.records)
    if waiting or tables.cursors.done(head.signal) is None:
        ledger.lose(tables.connection, "evicted", (head.source, OWN, head.signal), reason, head.records)
        rows.delete(tables.connection, head.seq)
    else:
        release(tables, head)
    crash_point("spool.after_evict")


def release(tables: OpenFile, head: rows.Head) -> None:
    """Delete a row that every destination is past."""
    ledger.add(tables.connection, "sent", (head.source, OWN, head.signal), head.records)
    rows.delete(tables.connection, head.seq)


def retire(tables: OpenFile, signal: str) -> bool:
    """Release the rows of a signal that every destination is past, some at a time; say whether there may be more."""
    done = tables.cursors.done(signal)
    if done is None:
        return False
    keep = tables.session.limit.keep if signal == Signal.LOGS else 0
    sql = "SELECT ifnull(sum(size), 0) FROM rows INDEXED BY rows_by_signal WHERE signal = ? AND seq <= ?"
    total: int = tables.connection.execute(sql, (signal, done)).get
    finished = rows.heads(tables.connection, signal, done, RETIRE_STEP) if total > keep else []
    for head in finished:
        if total <= keep:
            return False
        release(tables, head)
        total -= head.size
    return total > keep
