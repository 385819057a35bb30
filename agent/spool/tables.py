"""The tables of the open file: what is done in one transaction each. For one thread."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Self, TypeVar

import apsw

from agent.crash import crash_point
from agent.errors import OutriderError
from agent.record import Owner, Signal
from agent.spool import dead_letters, destinations, ledger, positions, quota, room, rows
from agent.spool.database import Database
from agent.spool.open_file import OpenFile
from agent.spool.repair import small_tables
from agent.spool.values import OWN, Mended, Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from agent.record import Row
    from agent.spool.checksum import Packed
    from agent.spool.open_file import Session
    from agent.spool.values import DeadLetter

T = TypeVar("T")


class Tables(OpenFile):
    """The open file, and what is done in one transaction each. Made by `open`. Methods that change something run within `write`."""

    @classmethod
    def open(cls, path: Path, session: Session, *, powered: bool = True) -> Self:
        """Open the file and mend what is damaged in its small tables. Any `apsw.Error`; OSError."""
        db = Database(path, session.granted.pages, powered=powered)
        try:
            wrong = small_tables.find(db.connection)
            tables = cls(db, session)
            if wrong:
                tables.write([lambda _: small_tables.mend(db.connection, wrong)])
                session.events.append(Mended(wrong))
                tables.load()
            if not session.registered:
                session.registered = destinations.stored(db.connection)
        except (apsw.Error, UnicodeDecodeError):
            db.close()
            raise
        return tables

    def write(self, jobs: Sequence[Callable[[Self], T]], *, durable: bool = False) -> list[T | OutriderError]:
        """Run jobs in one transaction and return their results. A job that refuses (`OutriderError`) undoes only itself."""
        self.db.begin(durable=durable)
        before = self.last_seq
        self.session.results = results = [self._attempt(job) for job in jobs]
        self.db.commit(self.last_seq)
        if self.last_seq != before:
            self._announce(before)
        return results

    def _attempt(self, job: Callable[[Self], T]) -> T | OutriderError:
        self.connection.execute("SAVEPOINT job")
        try:
            result = job(self)
        except OutriderError as refusal:
            self.connection.execute("ROLLBACK TO job; RELEASE job")
            self.load()
            return refusal
        self.connection.execute("RELEASE job")
        return result

    def _announce(self, before: int) -> None:
        for (signal,) in self.connection.execute("SELECT DISTINCT signal FROM rows WHERE seq > ?", (before,)):
            self.session.arrivals[str(signal)] += 1

    def announce_all(self) -> None:
        """Wake every sender: a commit turned out to be stored whose rows were not announced."""
        self.session.arrivals.update(signal.value for signal in Signal)

    def append(
        self,
        source: str,
        packed: Sequence[Packed],
        moved: Mapping[str, bytes | None],
        drops: Mapping[str, int],
        *,
        replayable: bool,
        state: Mapping[Owner, Mapping[str, bytes | None]] | None = None,
    ) -> int:
        """Store rows, positions and drops; return the number of the last row.

        SpoolFullError: no room, and nothing may be evicted for it.
        """
        kept = {Owner.SOURCE: moved, **(state or {})}
        if packed:
            wanted = quota.need((len(one.body) for one in packed), sum(map(len, kept.values())))
            room.make(self, wanted, replayable=replayable)
        for one in packed:
            self._insert(source, one, replayable=replayable)
        for owner, positions_ in kept.items():
            positions.write(self.connection, owner, source, positions_)
        crash_point("spool.after_position")
        for one in packed:
            ledger.accept(self.connection, source, one.signal, one.records, self.cursors.of_signal(one.signal))
        ledger.drop(self.connection, source, drops)
        crash_point("spool.after_ledger")
        return self.last_seq

    def _insert(self, source: str, packed: Packed, *, replayable: bool, only: str | None = None) -> None:
        self.last_seq += 1
        row = rows.build(self.last_seq, source, packed, self._wall_ns(), replayable=replayable, only=only)
        rows.insert(self.connection, row)
        crash_point("spool.after_insert")

    def put_back(self, source: str, packed: Packed, destination: str) -> int:
        """Store a row again for one destination that had refused it; return its number."""
        room.make(self, quota.need([len(packed.body)]), replayable=True)
        self._insert(source, packed, replayable=True, only=destination)
        ledger.add(self.connection, "accepted", (source, OWN, packed.signal), packed.records)
        return self.last_seq

    def register(self, destination: str, signals: Iterable[str]) -> None:
        """Make sure of a destination's cursors; a new one starts at the oldest stored row."""
        destinations.register(self, destination, signals)

    def next_row(self, destination: str, signal: str) -> Row | None:
        """Return the first row behind the cursor. One whose checksum is wrong becomes a dead letter and is passed over."""
        after = self.cursor(destination, signal)
        while (seq := rows.find_next(self.connection, signal, after, destination)) is not None:
            row = rows.fetch(self.connection, seq)
            if row is None:
                raise apsw.CorruptError(f"the index speaks of row {seq}, which is not there")
            if row.intact and row.signal == signal:
                return row.row()
            self.write([functools.partial(Tables.quarantine, seq=seq)])
        return None

    def quarantine(self, seq: int) -> None:
        """Set a damaged row aside as a dead letter of the spool's own, reason `corrupt`."""
        row = rows.fetch(self.connection, seq)
        if row is not None:
            rows.delete(self.connection, seq)
            dead_letters.insert(self.connection, dead_letters.letter(row, OWN, "corrupt", self._wall_ns()))
            self.session.events.append(Quarantined(seq, row.signal, row.source, row.records))
        ledger.reconcile(self.connection)

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
        self.move((destination, row.signal.value), row.seq)
        crash_point("spool.after_settle_cursor")
        positions.write(self.connection, Owner.EXPORTER, destination, remembered or {})
        head = rows.head(self.connection, row.seq)
        if head is not None:
            self._account(destination, row, sent, rejected, dead)
            if head.only == destination:
                room.release(self, head)
        room.retire(self, row.signal)
        crash_point("spool.after_settle_delete")

    def _account(self, destination: str, row: Row, sent: int, rejected: int, dead: Sequence[DeadLetter]) -> None:
        line = (row.source, destination, row.signal.value)
        ledger.add(self.connection, "sent", line, sent)
        ledger.lose(self.connection, "rejected", line, "rejected", rejected)
        for one in dead:
            room_left = self.session.limit.file - self.db.used()
            dead_letters.bury(
                self.connection, destination, row, one, at_ns=self._wall_ns(), room=room_left, share=self.session.limit.letters
            )
        crash_point("spool.after_settle_ledger")
