"""The spool as the rest of the agent uses it: asynchronous, over one thread that owns the file."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self, TypeVar, cast

from agent.errors import SpoolError
from agent.record import Owner
from agent.spool import destinations, ledger, rows
from agent.spool import positions as positions_table
from agent.spool.checksum import pack
from agent.spool.export import to_json
from agent.spool.file import SpoolFile
from agent.spool.offline import PAGE
from agent.spool.operations import OPERATIONS
from agent.spool.stat import stat
from agent.spool.thread import SpoolThread
from agent.spool.values import DEFAULT_QUOTA, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from agent.record import Payload, Row, Signal
    from agent.spool.checksum import Packed
    from agent.spool.tables import Tables
    from agent.spool.thread import News
    from agent.spool.values import DeadLetter, Ledger, SpoolEvent, SpoolStat

T = TypeVar("T")
ANSWER: Final = 1.0
"""Seconds that the store has for its figures: a health check must not hang with it."""
ASIDE: Final = 1 << 20
"""Bytes: more than this is compressed on another thread, so that the loop stays free."""


class Spool:
    """Rows, positions, cursors and the account of all records in one file. Made by `open`.

    Sources `append`; each destination `register`s once, then repeats `next_row` … `settle`, and `wait_for_rows` when there is none.
    """

    def __init__(
        self,
        directory: Path,
        *,
        quota_bytes: int = DEFAULT_QUOTA,
        patience: float = 0.0,
        on_event: Callable[[SpoolEvent], None] = lambda _event: None,
    ) -> None:
        """Describe the spool of a state directory; nothing is touched before `open`. Needs a running event loop."""
        self._thread = SpoolThread(lambda closing: SpoolFile.open(directory, quota_bytes, closing, patience=patience), self._hear)
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
        """Open the spool of a state directory, or make one; errors that may pass, as of a disk that fails, are waited for `patience` seconds.

        Damage is repaired and reported to `on_event`, then and later. SpoolLockedError: another agent has the
        directory. ConfigError: a newer agent wrote it, or the quota is absurd. UnavailableError: its volume is too small. SpoolError or
        OSError: the disk refuses.
        """
        spool = cls(directory, quota_bytes=quota_bytes, patience=patience, on_event=on_event)
        await spool._thread.start()
        await spool.stat()
        await spool.ledger()
        return spool

    async def append(
        self,
        source: str,
        payloads: Sequence[Payload],
        positions: Mapping[str, bytes | None],
        drops: Mapping[str, int],
        *,
        replayable: bool,
        durable: bool = False,
        state: Mapping[Owner, Mapping[str, bytes | None]] | None = None,
    ) -> int:
        """Store a batch whole or not at all: rows, the source's positions (None forgets a key), counts of what could not be read.

        `state` are positions that others keep for this source. `durable` returns only when the disk has it (fsync of the log), for
        sources that acknowledge upstream. Returns the number of the last row.
        SpoolFullError: wait (`wait_for_room`) or refuse upstream. SpoolOversizeError: halve it. SpoolError: certainly not stored.
        """
        packed = await self._pack(payloads)

        def work(tables: Tables) -> int:
            return tables.append(source, packed, positions, drops, replayable=replayable, state=state)

        return await self._thread.do(work, writes=True, durable=durable)

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

    async def positions(self, name: str, owner: Owner = Owner.SOURCE) -> dict[str, bytes]:
        """Return the committed positions of a source, or what another owner keeps under a name."""
        return await self._thread.do(lambda tables: positions_table.read(tables.connection, owner, name), writes=False)

    async def evicted(self, destination: str) -> dict[str, int]:
        """Return how many records were evicted before this destination received them, by signal."""
        return await self._thread.do(lambda tables: ledger.evicted(tables.connection, destination), writes=False)

    async def register(self, destination: str, signals: Iterable[Signal]) -> None:
        """Make sure that rows of these signals are kept for this destination; a new one starts at the oldest stored row."""
        names = [signal.value for signal in signals]
        await self._thread.do(lambda tables: tables.register(destination, names), writes=True)

    async def configure(self, wanted: Mapping[str, Iterable[Signal]]) -> None:
        """Register these destinations and no others: any other with a cursor is an orphan from now on, for `gc` to forget."""
        names = {destination: [signal.value for signal in signals] for destination, signals in wanted.items()}
        await self._thread.do(lambda tables: destinations.configure(tables, names), writes=True)

    async def next_row(self, destination: str, signal: Signal) -> Row | None:
        """Return the first row that the destination is not done with, or None. Its bytes are the same each time."""

        def work(tables: Tables) -> tuple[Row | None, int]:
            return tables.next_row(destination, signal.value), tables.session.arrivals[signal.value]

        row, self._seen[destination, signal.value] = await self._thread.do(work, writes=False)
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
        """Move the destination's cursor past a row, account for its records and store its exporter's positions, in one transaction.

        Settling a row again changes nothing. ValueError: sent + rejected + dead is not the row's number of records.
        """
        if sent + rejected + sum(one.records for one in dead) != row.records or min(sent, rejected) < 0:
            raise ValueError(f"row {row.seq} has {row.records} records, not {sent} sent + {rejected} rejected + {len(dead)} dead letters")
        await self._thread.do(lambda tables: tables.settle(destination, row, sent, rejected, dead, remembered=positions), writes=True)

    async def ledger(self) -> Ledger:
        """Return the account of all records; while the store does not answer, the last one."""
        found, _ = await self._latest("ledger", lambda tables: ledger.read(tables.connection))
        return found

    async def tail(self, signal: Signal, after_seq: int, limit: int) -> list[Row]:
        """Return up to `limit` stored rows behind a number, oldest first; damaged ones are left out."""
        return await self._thread.do(lambda tables: rows.tail(tables.connection, signal.value, after_seq, limit), writes=False)

    async def recent(self, signal: Signal, limit: int) -> list[Row]:
        """Return the newest stored rows, oldest first; damaged ones are left out."""
        return await self._thread.do(lambda tables: rows.recent(tables.connection, signal.value, limit), writes=False)

    async def export(self, signal: Signal) -> AsyncIterator[str]:
        """Yield all intact rows of a signal as lines of JSON, oldest first."""
        after = 0
        while found := await self.tail(signal, after, PAGE):
            for row in found:
                yield to_json(row)
            after = found[-1].seq

    async def stat(self) -> SpoolStat:
        """Return the present figures; while the store does not answer, the last ones with the present state."""
        found, trouble = await self._latest("stat", lambda _: stat(self._thread.file))
        return found if trouble is None else replace(found, state=trouble[0], reason=trouble[1])

    async def _latest(self, what: str, work: Callable[[Tables], T]) -> tuple[T, tuple[State, str] | None]:
        """Return the result of a job, or its last result and why there is none now. SpoolError: there has never been one."""
        trouble = self._not_open
        if trouble is None:
            try:
                async with asyncio.timeout(ANSWER):
                    self._known[what] = await self._thread.do(work, writes=False)
            except (TimeoutError, SpoolError):
                trouble = self._not_open or (State.DEGRADED, "the store does not answer; these are its last figures")
        if what not in self._known:
            raise SpoolError("the store does not answer")
        return cast("T", self._known[what]), trouble

    async def ask(self, name: str, /, **arguments: str) -> object:
        """Do one of the `OPERATIONS` and return its result. OutriderError: it is refused."""
        operation = OPERATIONS[name]
        result = await self._thread.do(operation.job(arguments), writes=operation.writes)
        while operation.then is not None and await self._thread.do(operation.then, writes=True):
            pass
        return result

    async def watch(self) -> None:
        """Return when the spool is closed; SpoolError as soon as a programming error has ended its thread."""
        await self._thread.watch()

    async def close(self) -> None:
        """Finish the queued jobs and close the file; a second call does nothing."""
        await self._thread.stop()

    def _hear(self, news: News) -> None:
        self._full, self._not_open = news.full, news.condition
        self._arrivals = news.arrivals
        self._changed.set()
        self._changed = asyncio.Event()
        for event in news.events:
            self._on_event(event)
