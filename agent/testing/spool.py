"""The spool in memory, for tests of what stores and of what delivers: each transaction happens whole or not at all, and fails to order."""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from agent.errors import SpoolFullError, SpoolOversizeError
from agent.record import Owner, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.errors import SpoolError
    from agent.record import Payload, Signal
    from agent.spool.values import DeadLetter


class Append(NamedTuple):
    """One transaction of a source."""

    source: str
    payloads: Sequence[Payload]
    positions: Mapping[str, bytes | None]
    drops: Mapping[str, int]
    replayable: bool
    durable: bool


class Settled(NamedTuple):
    """The outcome of a row's records."""

    seq: int
    sent: int
    rejected: int
    dead: list[DeadLetter]


class MemorySpool:
    """Rows behind one cursor, positions and drops. An error in `faults` is raised by the next call that works on the store, None lets it pass."""

    def __init__(self, rows: Iterable[Row] = (), *, largest: int = 1 << 30, faults: Iterable[SpoolError | None] = ()) -> None:
        """`largest`: bytes of a transaction's payloads; more is refused for ever."""
        self.largest = largest
        self.faults = list(faults)
        self.rows = list(rows)
        """Stored and not settled."""
        self.appends: list[Append] = []
        self.kept: defaultdict[Owner, dict[str, dict[str, bytes]]] = defaultdict(dict)
        """The committed positions by owner and source."""
        self.full = False
        """Whether appends are refused."""
        self.settled: list[Settled] = []
        self.remembered: dict[str, bytes | None] = {}
        """The positions that the exporter stored for the time after a kill."""
        self.gate: asyncio.Event | None = None
        """The event that an append waits for, if there is one."""
        self.waits = 0
        """Times that room was waited for."""
        self._changed = asyncio.Event()

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
        """Store a batch with its positions, and with what others keep for its source."""
        if self.gate is not None:
            await self.gate.wait()
        if sum(len(payload.body) for payload in payloads) > self.largest:
            raise SpoolOversizeError("never")
        if self.full:
            raise SpoolFullError("full")
        self._fail()
        self.appends.append(Append(source, payloads, positions, drops, replayable, durable))
        for owner, moved in {Owner.SOURCE: positions, **(state or {})}.items():
            _move(self.kept[owner].setdefault(source, {}), moved)
        for payload in payloads:
            self.add(_row(len(self.rows) + len(self.settled) + 1, source, payload))
        return len(self.appends)

    async def positions(self, name: str, owner: Owner = Owner.SOURCE) -> dict[str, bytes]:
        """Return what is committed."""
        return dict(self.kept[owner].get(name, {}))

    async def wait_for_room(self) -> None:
        """Return at once, and count it."""
        self.waits += 1

    def add(self, row: Row) -> None:
        """Store a row."""
        self.rows.append(row)
        self._changed.set()

    async def next_row(self, destination: str, signal: Signal) -> Row | None:  # noqa: ARG002 - the spool's own
        """Return the first row behind the cursor."""
        self._changed.clear()
        await asyncio.sleep(0)
        self._fail()
        return self.rows[0] if self.rows else None

    async def wait_for_rows(self, destination: str, signal: Signal) -> None:  # noqa: ARG002 - as above
        """Return when a row was stored since the last `next_row`."""
        await self._changed.wait()

    async def settle(
        self,
        destination: str,  # noqa: ARG002 - as above
        row: Row,
        *,
        sent: int,
        rejected: int = 0,
        dead: Sequence[DeadLetter] = (),
        positions: Mapping[str, bytes | None],
    ) -> None:
        """Move the cursor; all records of the row must be accounted for."""
        await asyncio.sleep(0)
        self._fail()
        if sent + rejected + sum(letter.records for letter in dead) != row.records or self.rows[0] is not row:
            raise AssertionError(f"row {row.seq} is the first one, and each of its {row.records} records has one end")
        self.rows.pop(0)
        self.settled.append(Settled(row.seq, sent, rejected, list(dead)))
        self.remembered |= positions

    def _fail(self) -> None:
        error = self.faults.pop(0) if self.faults else None
        if error is not None:
            raise error


def _move(kept: dict[str, bytes], positions: Mapping[str, bytes | None]) -> None:
    for key, position in positions.items():
        kept.pop(key, None)
        if position is not None:
            kept[key] = position


def _row(seq: int, source: str, payload: Payload) -> Row:
    return Row(seq, payload.signal, source, payload.records, zlib.compress(payload.body, level=1, wbits=31), len(payload.body), 0)
