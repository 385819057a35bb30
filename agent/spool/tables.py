"""What the spool does in one transaction each: append, settle, evict, register. For one thread."""

from __future__ import annotations

import functools
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import apsw

from agent.crash import crash_point
from agent.errors import OutriderError, SpoolError, SpoolFullError, SpoolOversizeError
from agent.record import Signal
from agent.spool import cursors, dead_letters, destinations, ledger, positions, quota, rows
from agent.spool.checksum import Packed, squeeze
from agent.spool.database import Database
from agent.spool.repair import small_tables
from agent.spool.values import OWN, Mended, Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from agent.record import Row
    from agent.spool.values import DeadLetter, SpoolEvent

T = TypeVar("T")
RETIRE_STEP = 256
"""Rows let go in one transaction."""


class Store:
    """The spool file and what must be known of it in memory: the cursors and the last row number.

    Methods that change something run within `write`; after an error of SQLite the store is useless and is opened anew.
    """

    def __init__(self, path: Path, limit: quota.Limits, *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        """Describe it; `open` opens it. `granted` is the quota, `limit` may be less for a while because the disk has less."""
        self.limit = self.granted = limit
        self.refused = 0
        self.results: list[Any] = []
        self.arrivals: Counter[str] = Counter()
        self.registered: set[cursors.Key] = set()
        """What is configured, with each signal."""
        self.knows_configured = True
        """Whether `registered` says it: nothing does in the file of an older agent that does not run."""
        self.events: list[SpoolEvent] = []
        self._wall_ns = wall_ns
        self.path = path

    db: Database
    opened_at: int
    """Number of the last commit that the file held when it was opened."""

    def open(self, *, powered: bool = True) -> None:
        """Open the file and learn what it says; `registered` and `refused` are of this run and stay. Any `apsw.Error`; OSError."""
        self.db = Database(self.path, self.granted.pages, powered=powered)
        self.opened_at = self.db.commit_id
        try:
            self._remember()
            wrong = small_tables.find(self.db.connection)
            self.load()
            if wrong:
                self.write([lambda store: small_tables.mend(store.db.connection, wrong)])
                self.events.append(Mended(wrong))
                self.load()
        except (apsw.Error, UnicodeDecodeError):
            self.db.close()
            raise

    def _remember(self) -> None:
        """Until it is said what is configured, that is what the last agent was."""
        if not self.registered:
            remembered = destinations.read(self.db.connection)
            self.registered, self.knows_configured = remembered or set(), remembered is not None

    def grant(self, limit: quota.Limits) -> None:
        """Allow more than before."""
        self.granted = limit
        self.db.connection.pragma("max_page_count", limit.pages)

    def load(self) -> None:
        """Learn cursors and last row number from the file: at opening, and after whatever was rolled back."""
        connection = self.db.connection
        self.cursors, _ = cursors.load(connection)
        sql = "SELECT max(last_seq, ifnull((SELECT max(seq) FROM rows), 0)) FROM state"
        last: int = connection.execute(sql).get
        self.last_seq = max(last, *self.cursors.values(), 0)

    def write(self, jobs: Sequence[Callable[[Store], T]], *, durable: bool = False) -> list[T | OutriderError]:
        """Run jobs in one transaction and return their results. A job that refuses (`OutriderError`) undoes only itself."""
        self.db.begin(durable=durable)
        before = self.last_seq
        self.results = results = [self._attempt(job) for job in jobs]
        self.db.commit(self.last_seq)
        if self.last_seq != before:
            self._announce(before)
        return results

    def _attempt(self, job: Callable[[Store], T]) -> T | OutriderError:
        connection = self.db.connection
        connection.execute("SAVEPOINT job")
        try:
            result = job(self)
        except OutriderError as refusal:
            connection.execute("ROLLBACK TO job; RELEASE job")
            self.load()
            return refusal
        connection.execute("RELEASE job")
        return result

    def _announce(self, before: int) -> None:
        for (signal,) in self.db.connection.execute("SELECT DISTINCT signal FROM rows WHERE seq > ?", (before,)):
            self.arrivals[str(signal)] += 1

    def announce_all(self) -> None:
        """Wake every sender: a commit turned out to be stored whose rows nobody was told of."""
        self.arrivals.update(signal.value for signal in Signal)

    def append(
        self, source: str, packed: Sequence[Packed], moved: Mapping[str, bytes | None], drops: Mapping[str, int], *, replayable: bool
    ) -> int:
        """Store rows, positions and counts of what could not be read; return the number of the last row.

        SpoolFullError: no room, and nothing may be evicted for it.
        """
        if packed:
            self._make_room(quota.need((len(one.body) for one in packed), len(moved)), replayable=replayable)
        for one in packed:
            self._insert(source, one, replayable=replayable)
        positions.write(self.db.connection, source, moved)
        crash_point("spool.after_position")
        for one in packed:
            ledger.accept(self.db.connection, source, one.signal, one.records, self.cursors.of_signal(one.signal))
        ledger.drop(self.db.connection, source, drops)
        crash_point("spool.after_ledger")
        return self.last_seq

    def _insert(self, source: str, packed: Packed, *, replayable: bool, only: str | None = None) -> None:
        self.last_seq += 1
        row = rows.build(self.last_seq, source, packed, self._wall_ns(), replayable=replayable, only=only)
        rows.insert(self.db.connection, row)
        crash_point("spool.after_insert")

    def put_back(self, source: str, packed: Packed, destination: str) -> int:
        """Store a row again for one destination that had refused it; return its number."""
        self._make_room(quota.need([len(packed.body)]), replayable=True)
        self._insert(source, packed, replayable=True, only=destination)
        ledger.add(self.db.connection, "accepted", (source, OWN, packed.signal), packed.records)
        return self.last_seq

    def forsake(self, destination: str, signals: Collection[str]) -> None:
        """Give up the rows that were meant for a destination alone, whose cursors are gone."""
        for head in rows.meant_for(self.db.connection, destination):
            if head.signal in signals:
                ledger.lose(self.db.connection, "evicted", (head.source, OWN, head.signal), "orphaned", head.records)
                rows.delete(self.db.connection, head.seq)

    def _make_room(self, wanted: int, *, replayable: bool) -> None:
        if not quota.fits_ever(self.granted, wanted):
            raise SpoolOversizeError(f"a batch of {wanted} bytes never fits into a spool of {self.granted.quota} bytes")
        self.let_go(wanted)
        if replayable and self.still_full():
            raise SpoolFullError(f"the spool is full until a tenth of its {self.limit.room} bytes is free")
        while not quota.fits(self.limit, self.db.used(), wanted):
            seq = None if replayable else rows.oldest_evictable(self.db.connection)
            head = None if seq is None else rows.head(self.db.connection, seq)
            if head is None:
                self.refused = wanted
                raise SpoolFullError(f"the spool's {self.limit.room} bytes are used up")
            self.evict(head, "quota")

    def still_full(self) -> bool:
        """Whether appends that can wait are refused; forgets the refusal once there is room."""
        if self.refused and not quota.stays_full(self.limit, self.db.used(), self.refused):
            self.refused = 0
        return self.refused > 0

    def let_go(self, wanted: int = 0) -> None:
        """While there is no room, give up rows that nobody waits for: kept only to be looked at, or of a signal that nobody takes."""
        while self.still_full() or not quota.fits(self.limit, self.db.used(), wanted):
            head = self.unneeded()
            if head is None:
                return
            self.evict(head, "quota")

    def unneeded(self) -> rows.Head | None:
        """Find the oldest row of some signal that no destination still has to send."""
        for signal in Signal:
            seq, done = rows.oldest(self.db.connection, signal), self.cursors.done(signal)
            if seq is not None and (done is None or seq <= done):
                return rows.head(self.db.connection, seq)
        return None

    def evict(self, head: rows.Head, reason: str) -> None:
        """Give a row up and count it for every destination that still had to send it."""
        crash_point("spool.before_evict")
        waiting = self.cursors.waiting(head.signal, head.seq, head.only)
        for destination in waiting:
            ledger.lose(self.db.connection, "evicted", (head.source, destination, head.signal), reason, head.records)
        if waiting or self.cursors.done(head.signal) is None:
            ledger.lose(self.db.connection, "evicted", (head.source, OWN, head.signal), reason, head.records)
            rows.delete(self.db.connection, head.seq)
        else:
            self._release(head)
        crash_point("spool.after_evict")

    def _release(self, head: rows.Head) -> None:
        ledger.add(self.db.connection, "sent", (head.source, OWN, head.signal), head.records)
        rows.delete(self.db.connection, head.seq)

    def configure(self, wanted: Mapping[str, Iterable[str]]) -> None:
        """Register these destinations and no others, and remember that for when no agent runs."""
        self.registered.clear()
        self.knows_configured = True
        for destination, signals in wanted.items():
            self.register(destination, signals)
        destinations.write(self.db.connection, self.registered)

    def register(self, destination: str, signals: Iterable[str]) -> None:
        """Make sure of a destination's cursors; a new one starts at the oldest stored row."""
        self.knows_configured = True
        for signal in signals:
            self.registered.add((destination, signal))
            if (destination, signal) not in self.cursors:
                self._start(destination, signal)

    def _start(self, destination: str, signal: str) -> None:
        oldest = rows.oldest(self.db.connection, signal)
        self.move(destination, signal, self.last_seq if oldest is None else oldest - 1)
        sql = "SELECT source, sum(records) FROM rows WHERE signal = ? AND only IS NULL GROUP BY source"
        for source, records in self.db.connection.execute(sql, (signal,)).fetchall():
            ledger.add(self.db.connection, "accepted", (str(source), destination, signal), int(str(records)))

    def move(self, destination: str, signal: str, seq: int) -> None:
        """Set a cursor."""
        cursors.write(self.db.connection, (destination, signal), seq)
        self.cursors[destination, signal] = seq

    def cursor(self, destination: str, signal: str) -> int:
        """Return a cursor; SpoolError if there is none."""
        try:
            return self.cursors[destination, signal]
        except KeyError:
            raise SpoolError(f"{destination} is not registered for {signal}") from None

    def next_row(self, destination: str, signal: str) -> Row | None:
        """Return the first row behind the cursor. One whose checksum is wrong becomes a dead letter and is passed over."""
        after = self.cursor(destination, signal)
        while (seq := rows.find_next(self.db.connection, signal, after, destination)) is not None:
            row = rows.fetch(self.db.connection, seq)
            if row is None:
                raise apsw.CorruptError(f"the index speaks of row {seq}, which is not there")
            if row.intact and row.signal == signal:
                return row.row()
            self.write([functools.partial(Store.quarantine, seq=seq)])
        return None

    def quarantine(self, seq: int) -> None:
        """Set a damaged row aside as a dead letter of the spool's own, reason `corrupt`."""
        row = rows.fetch(self.db.connection, seq)
        if row is not None:
            rows.delete(self.db.connection, seq)
            dead_letters.insert(self.db.connection, dead_letters.letter(row, OWN, "corrupt", self._wall_ns()))
            self.events.append(Quarantined(seq, row.signal, row.source, row.records))
        ledger.reconcile(self.db.connection)

    def settle(
        self,
        destination: str,
        row: Row,
        sent: int,
        rejected: int,
        dead: Sequence[DeadLetter],
        *,
        remembered: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """Move the cursor past a row and account for each of its records; let rows go that every destination is past.

        Settling a row a second time changes nothing. One that had to make room (or was damaged) while it was being sent is accounted
        for already: it counts as lost although it may have arrived, the other way round would be worse.
        """
        if row.seq <= self.cursor(destination, row.signal):
            return
        crash_point("spool.before_settle")
        self.move(destination, row.signal.value, row.seq)
        crash_point("spool.after_settle_cursor")
        positions.write(self.db.connection, positions.remembered_as(destination), remembered or {})
        head = rows.head(self.db.connection, row.seq)
        if head is not None:
            self._account(destination, row, sent, rejected, dead)
            if head.only == destination:
                self._release(head)
        self.retire(row.signal)
        crash_point("spool.after_settle_delete")

    def _account(self, destination: str, row: Row, sent: int, rejected: int, dead: Sequence[DeadLetter]) -> None:
        line = (row.source, destination, row.signal.value)
        ledger.add(self.db.connection, "sent", line, sent)
        ledger.lose(self.db.connection, "rejected", line, "rejected", rejected)
        for one in dead:
            self._bury(destination, row, one)
        crash_point("spool.after_settle_ledger")

    def _bury(self, destination: str, row: Row, dead: DeadLetter) -> None:
        line = (row.source, destination, row.signal.value)
        ledger.lose(self.db.connection, "dead_lettered", line, dead.reason, dead.records)
        body = row.body if dead.body is None else squeeze(dead.body)
        raw_size = row.raw_size if dead.body is None else len(dead.body)
        if self.db.used() + quota.need([len(body)]) > self.limit.file:
            ledger.note(self.db.connection, "dead_letter_evicted", line, dead.reason, dead.records)
            return
        stored = rows.build(row.seq, row.source, Packed(row.signal, dead.records, raw_size, body), row.stored_ns, replayable=True)
        dead_letters.insert(self.db.connection, dead_letters.letter(stored, destination, dead.reason, self._wall_ns()))
        dead_letters.trim(self.db.connection, self.limit.letters)

    def retire(self, signal: str) -> bool:
        """Let rows go that every destination is past, some at a time; say whether there may be more."""
        done = self.cursors.done(signal)
        if done is None:
            return False
        keep = self.limit.keep if signal == Signal.LOGS else 0
        sql = "SELECT ifnull(sum(size), 0) FROM rows INDEXED BY rows_by_signal WHERE signal = ? AND seq <= ?"
        total: int = self.db.connection.execute(sql, (signal, done)).get
        finished = rows.heads(self.db.connection, signal, done, RETIRE_STEP) if total > keep else []
        for head in finished:
            if total <= keep:
                return False
            self._release(head)
            total -= head.size
        return total > keep
