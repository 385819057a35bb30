"""The spool as the agent sees it: asynchronous, over one thread that owns the file and commits in groups."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self, TypeVar, cast

from agent.errors import SpoolError
from agent.spool import ledger, operations
from agent.spool import positions as positions_table
from agent.spool.checksum import pack
from agent.spool.export import to_json
from agent.spool.file import Keeper
from agent.spool.offline import PAGE
from agent.spool.thread import Worker
from agent.spool.values import DEFAULT_QUOTA, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from agent.record import Payload, Row, Signal
    from agent.spool.checksum import Packed
    from agent.spool.tables import Store
    from agent.spool.thread import News
    from agent.spool.values import DeadLetter, Ledger, SpoolEvent, SpoolStat, StoredLetter

T = TypeVar("T")
ANSWER: Final = 1.0
"""Seconds that the store has to say how it does: whoever asks (a health check) is not to hang with it."""
ASIDE: Final = 1 << 20
"""Bytes: more than this is compressed on another thread, so that the loop goes on."""


class Spool:
    """Rows, positions, cursors and the account of all records in one file. Made by `open`.

    Sources `append`; each destination `register`s once, then repeats `next_row` … `settle`, and `wait_for_rows` when there is none.
    """

    def __init__(self, on_event: Callable[[SpoolEvent], None]) -> None:
        self._on_event = on_event
        self._arrivals: dict[str, int] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self._changed = asyncio.Event()
        self._full = False
        self._not_open: tuple[State, str] | None = None
        self._known: dict[str, object] = {}
        """The last figures and the last account."""

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        quota_bytes: int = DEFAULT_QUOTA,
        patience: float = 0.0,
        on_event: Callable[[SpoolEvent], None] = lambda _event: None,
    ) -> Self:
        """Open the spool of a state directory, or make one; what may pass, as a disk that fails, is tried again for `patience` seconds.

        What was found damaged is salvaged and reported to `on_event`, as is everything later. SpoolLockedError: another agent has the
        directory. ConfigError: a newer agent wrote it, or the quota is absurd. UnavailableError: its volume is too small. SpoolError or
        OSError: the disk does not let us.
        """
        spool = cls(on_event)
        spool._worker = Worker(lambda closing: Keeper(directory, quota_bytes, closing, patience=patience), spool._hear)
        await spool._worker.start()
        await spool.stat()
        await spool.ledger()
        return spool

    _worker: Worker

    async def append(
        self,
        source: str,
        payloads: Sequence[Payload],
        positions: Mapping[str, bytes | None],
        drops: Mapping[str, int],
        *,
        replayable: bool,
        durable: bool = False,
    ) -> int:
        """Store a batch whole or not at all: rows, positions (None forgets a key), counts of what could not be read.

        `durable` returns only when the disk has it, for sources that acknowledge upstream. Returns the number of the last row.
        SpoolFullError: wait (`wait_for_room`) or refuse upstream. SpoolOversizeError: halve it. SpoolError: certainly not stored.
        """
        packed = await self._pack(payloads)

        def work(store: Store) -> int:
            return store.append(source, packed, positions, drops, replayable=replayable)

        return await self._worker.do(work, writes=True, durable=durable)

    async def _pack(self, payloads: Sequence[Payload]) -> list[Packed]:
        if sum(len(payload.body) for payload in payloads) > ASIDE:
            return await asyncio.to_thread(lambda: [pack(payload) for payload in payloads])
        return [pack(payload) for payload in payloads]

    @property
    def takes_rows(self) -> bool:
        """Whether an append would be tried now: there is room, and the file is open."""
        return not self._full and self._not_open is None

    async def wait_for_room(self) -> None:
        """Return when a refused append is worth trying again."""
        while self._full:
            await self._changed.wait()

    async def positions(self, source: str) -> dict[str, bytes]:
        """Return the committed positions of a source."""
        return await self._worker.do(lambda store: positions_table.read(store.db.connection, source), writes=False)

    async def evicted(self, destination: str) -> dict[str, int]:
        """Return how many records made room for newer ones before this destination had them, by signal."""
        return await self._worker.do(lambda store: ledger.evicted(store.db.connection, destination), writes=False)

    async def register(self, destination: str, signals: Iterable[Signal]) -> None:
        """Make sure that rows of these signals are kept for this destination; a new one starts at the oldest stored row."""
        names = [signal.value for signal in signals]
        await self._worker.do(lambda store: store.register(destination, names), writes=True)

    async def configure(self, destinations: Mapping[str, Iterable[Signal]]) -> None:
        """Register these destinations and no others: any other with a cursor is an orphan from now on, for `gc` to forget."""
        names = {destination: [signal.value for signal in signals] for destination, signals in destinations.items()}
        await self._worker.do(lambda store: store.configure(names), writes=True)

    async def next_row(self, destination: str, signal: Signal) -> Row | None:
        """Return the first row the destination is not done with, or None. Its bytes are the same however often it is asked for."""

        def work(store: Store) -> tuple[Row | None, int]:
            return store.next_row(destination, signal.value), store.arrivals[signal.value]

        row, self._seen[destination, signal.value] = await self._worker.do(work, writes=False)
        return row

    async def wait_for_rows(self, destination: str, signal: Signal) -> None:
        """Return when rows of the signal were stored since this destination's last `next_row`."""
        seen = self._seen.get((destination, signal.value), -1)
        while self._arrivals.get(signal.value, 0) <= seen:
            await self._changed.wait()

    async def settle(
        self,
        destination: str,
        row: Row,
        *,
        sent: int,
        rejected: int = 0,
        dead: Sequence[DeadLetter] = (),
        positions: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """Move the destination's cursor past a row, account for its records and store what its exporter remembers, in one transaction.

        Settling again what is settled changes nothing. ValueError: sent + rejected + dead is not the row's number of records.
        """
        if sent + rejected + sum(one.records for one in dead) != row.records or min(sent, rejected) < 0:
            raise ValueError(f"row {row.seq} has {row.records} records, not {sent} sent + {rejected} rejected + {len(dead)} dead letters")
        await self._worker.do(lambda store: store.settle(destination, row, sent, rejected, dead, remembered=positions), writes=True)

    async def ledger(self) -> Ledger:
        """Return the account of all records; the last one that is known, while the store does not answer."""
        found, _ = await self._latest("ledger", lambda store: ledger.read(store.db.connection))
        return found

    async def tail(self, signal: Signal, after_seq: int, limit: int) -> list[Row]:
        """Return up to `limit` stored rows behind a number, oldest first; damaged ones are left out."""
        return await self._worker.do(lambda store: operations.tail(store, signal.value, after_seq, limit), writes=False)

    async def recent(self, signal: Signal, limit: int) -> list[Row]:
        """Return the newest stored rows, oldest first; damaged ones are left out."""
        return await self._worker.do(lambda store: operations.recent(store, signal.value, limit), writes=False)

    async def export(self, signal: Signal, progress: Callable[[int], None] = lambda _rows: None) -> AsyncIterator[str]:
        """Yield all intact rows of a signal as lines of JSON, oldest first; `progress` hears the number of rows so far."""
        after, count = 0, 0
        while found := await self.tail(signal, after, PAGE):
            for row in found:
                yield to_json(row)
            after, count = found[-1].seq, count + len(found)
            progress(count)

    async def stat(self) -> SpoolStat:
        """Return the figures of this moment; the last ones that are known, with the present state, while the store does not answer."""
        found, trouble = await self._latest("stat", lambda _store: operations.stat(self._worker.keeper))
        return found if trouble is None else replace(found, state=trouble[0], reason=trouble[1])

    async def _latest(self, what: str, work: Callable[[Store], T]) -> tuple[T, tuple[State, str] | None]:
        """Return what a job says, or what it said last and why it says nothing now. SpoolError: it has never said anything."""
        trouble = self._not_open
        if trouble is None:
            try:
                async with asyncio.timeout(ANSWER):
                    self._known[what] = await self._worker.do(work, writes=False)
            except (TimeoutError, SpoolError):
                trouble = self._not_open or (State.DEGRADED, "the store does not answer; these are its last figures")
        if what not in self._known:
            raise SpoolError("the store does not answer")
        return cast("T", self._known[what]), trouble

    async def gc(self, destination: str, *, force: bool = False) -> int:
        """Forget a destination that is not configured; return how many records it has not got (now evicted, `orphaned`).

        OutriderError if it is configured, or unknown, or if records wait for it and it is not done by `force`.
        """
        collected = await self._worker.do(lambda store: operations.collect(store, destination, force=force), writes=True)
        more = collected.more
        while more:
            more = await self._worker.do(operations.sweep, writes=True)
        return collected.evicted

    async def dead_letters(self, after: int = 0, limit: int = 1000) -> list[StoredLetter]:
        """List dead letters, oldest first, from behind an id."""
        return await self._worker.do(lambda store: operations.list_dead_letters(store, after, limit), writes=False)

    async def dead_letter_body(self, number: int) -> bytes:
        """Return the gzip'd body of a dead letter; OutriderError if there is none."""
        return await self._worker.do(lambda store: operations.dead_letter_body(store, number), writes=False)

    async def requeue(self, number: int) -> int:
        """Put a dead letter back for the destination that refused it; OutriderError if that can't be."""
        return await self._worker.do(lambda store: operations.requeue(store, number), writes=True)

    async def discard(self, number: int) -> None:
        """Throw a dead letter away; it stays counted. OutriderError if there is none."""
        await self._worker.do(lambda store: operations.discard(store, number), writes=True)

    async def watch(self) -> None:
        """Return when the spool is closed; SpoolError as soon as it can't store anything any more, which is a mistake of ours."""
        await self._worker.watch()

    async def close(self) -> None:
        """Finish what was asked for and close the file; a second call does nothing."""
        await self._worker.stop()

    def _hear(self, news: News) -> None:
        self._full, self._not_open = news.full, news.condition
        self._arrivals = news.arrivals
        self._changed.set()
        self._changed = asyncio.Event()
        for event in news.events:
            self._on_event(event)
