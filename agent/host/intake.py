"""From a source's batch to one commit: redact, detect errors, encode, append. One `Intake` per source, made by the host.

batch ──▶ redact ──▶ encode ──▶ logs row ─┐
             └─────▶ detect ──▶ sentry rows ├─▶ spool.append(rows + positions + drops)   one transaction
batch.payloads ────────────────────────────┘

A batch that the spool can never hold at once takes several transactions, each of which also says how far they have come (`ahead`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from agent.crash import crash_point
from agent.errors import SpoolFullError, SpoolOversizeError
from agent.host import ahead
from agent.record import Batch, Detected, Drop, Payload, Signal
from agent.telemetry import RecordsDropped, ValuesRedacted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from agent.record import LogRecord
    from agent.telemetry import Telemetry


SETTLING: Final = 0.5
"""Seconds that a cancelled caller waits for a commit that nobody can stop any more."""


class Detector(Protocol):
    """Finds errors among records and makes rows of them."""

    def judge(self, source: str, records: Sequence[LogRecord]) -> AbstractAsyncContextManager[Detected]:
        """Look at redacted records, in order. What is found is stored within the context, so that batches with errors follow one another."""


class Redacting(Protocol):
    """What the intake needs of the redactor."""

    def redact(self, records: Sequence[LogRecord], text: bytes | None) -> tuple[Sequence[LogRecord], dict[str, int]]:
        """Return the records without secrets, and how many values each rule replaced."""


class Encoding(Protocol):
    """What the intake needs of the log encoder."""

    def encode(self, records: Sequence[LogRecord]) -> bytes:
        """Serialize an ExportLogsServiceRequest."""


class Appending(Protocol):
    """What the intake needs of the spool."""

    async def append(
        self,
        source: str,
        payloads: Sequence[Payload],
        positions: Mapping[str, bytes | None],
        drops: Mapping[str, int],
        *,
        replayable: bool,
    ) -> int:
        """Commit everything or nothing."""

    async def wait_for_room(self) -> None:
        """Return when an append has a chance again."""

    async def positions(self, source: str) -> Mapping[str, bytes]:
        """Return the committed positions of a source."""


class Part(NamedTuple):
    """What is stored in one transaction."""

    payloads: Sequence[Payload]
    positions: Mapping[str, bytes | None]
    drops: Mapping[str, int]

    @property
    def records(self) -> int:
        """Records in all payloads."""
        return sum(payload.records for payload in self.payloads)


class Intake:
    """One source's way into the spool; `emit` is what the source is given."""

    def __init__(
        self,
        source: str,
        *,
        replayable: bool,
        spool: Appending,
        redactor: Redacting,
        encoder: Encoding,
        detector: Detector | None,
        telemetry: Telemetry,
    ) -> None:
        self._source = source
        self._replayable = replayable
        self._spool = spool
        self._redactor = redactor
        self._encoder = encoder
        self._detector = detector
        self._telemetry = telemetry
        self._owed: Mapping[str, int] = {}
        """Drops that could not be stored yet; the next commit counts them."""
        self._ahead: Mapping[str, int] | None = None
        """What is stored beyond the committed positions (see `ahead`); None = to be asked for."""
        self.commits = 0
        """Batches with rows that were stored since the start."""
        self.newest_ns: int | None = None
        """Event time of the newest record stored since the start, nanoseconds since the Unix epoch: how far the source is behind."""

    async def emit(self, batch: Batch) -> None:
        """Store a batch and its positions; return when both are committed."""
        try:
            await self._emit(await self._unstored(batch))
        except BaseException:
            self._ahead = None  # whoever emits next begins at what is committed, whatever that is by now
            raise

    async def _unstored(self, batch: Batch) -> Batch:
        """Leave out what was stored of a batch that was too large for one transaction, before the agent died half-way."""
        if self._ahead is None:
            stored = await self._spool.positions(self._source) if self._replayable else {}
            self._ahead = ahead.decode(stored.get(ahead.KEY))
        if not self._ahead:
            return batch
        left = ahead.left(self._ahead, batch.records)
        records = ahead.unstored(self._ahead, batch.records)
        return batch._replace(records=records, positions={**batch.positions, ahead.KEY: ahead.encode(left)})

    async def _emit(self, batch: Batch) -> None:
        records, redactions = self._redactor.redact(batch.records, batch.text) if batch.records else ((), {})
        whole = batch._replace(records=records)
        try:
            await self._take(whole, redactions)
        except SpoolOversizeError:
            await self._take_in_parts(whole, redactions)

    async def _take_in_parts(self, batch: Batch, redactions: Mapping[str, int]) -> None:
        """As many records in one transaction as it takes; what the source gave along moves when all are stored."""
        positions = {ahead.KEY: None, **batch.positions} if self._replayable else batch.positions
        await self._take_records(batch.records)
        await self._take_payloads(batch.payloads)
        await self._take(Batch(positions=positions, drops=batch.drops), redactions)

    async def _take_records(self, records: Sequence[LogRecord]) -> None:
        """Two halves, or halves of them; of one record whose rows never fit the largest rows are given up and counted."""
        middle = len(records) // 2
        for half in filter(None, (records[:middle], records[middle:])):
            try:
                await self._take(Batch(half, self._positions_ahead(half)), lighter=len(half) == 1)
            except SpoolOversizeError:
                await self._take_records(half)
            else:
                crash_point("intake.part_stored")

    def _positions_ahead(self, records: Sequence[LogRecord]) -> Mapping[str, bytes | None]:
        return {ahead.KEY: ahead.encode(ahead.extended(self._ahead or {}, records))} if self._replayable else {}

    async def _take_payloads(self, payloads: Sequence[Payload]) -> None:
        """The same for what came encoded; nothing says which of it is stored, but whoever sends such things asks for no more."""
        if not payloads:
            return
        try:
            await self._take(Batch(payloads=payloads))
        except SpoolOversizeError:
            halves = _halved(payloads)
            for half in halves or ():
                await self._take_payloads(half)
            if halves is None:
                await self._take(Batch(drops={Drop.SPOOL_OVERSIZE: payloads[0].records}))

    async def _take(self, batch: Batch, redactions: Mapping[str, int] = MappingProxyType({}), *, lighter: bool = False) -> None:
        """Detect, encode, store in one transaction; SpoolOversizeError if that can't be, unless it may be made lighter."""
        records, payloads = batch.records, list(batch.payloads)
        if records:
            payloads.append(Payload(Signal.LOGS, len(records), self._encoder.encode(records)))
        if self._detector is None or not records:
            await self._keep(batch, payloads, redactions, Detected(), lighter=lighter)
            return
        async with self._detector.judge(self._source, records) as found:
            await self._keep(batch, [*payloads, *found.payloads], redactions, found, lighter=lighter)

    async def _keep(
        self, batch: Batch, payloads: Sequence[Payload], redactions: Mapping[str, int], found: Detected, *, lighter: bool
    ) -> None:
        owed, self._owed = self._owed, {}
        part = Part(payloads, {**batch.positions, **found.positions}, _sum(_sum(batch.drops, found.drops), owed))

        def stored(part: Part) -> None:
            nonlocal owed
            owed = {}
            found.commit()
            self._note(batch.records, part, redactions)

        try:
            await self._store(part, stored, lighter=lighter)
        except BaseException:
            self._owed = _sum(self._owed, owed)
            raise

    def _note(self, records: Sequence[LogRecord], part: Part, redactions: Mapping[str, int]) -> None:
        """It is committed."""
        self.commits += bool(part.payloads)
        if ahead.KEY in part.positions:
            self._ahead = ahead.decode(part.positions[ahead.KEY])
        self._tell(redactions, part.drops)
        if records:
            self.newest_ns = max(self.newest_ns or 0, records[-1].time_ns or records[-1].observed_ns)

    def lose(self, batch: Batch, reason: Drop) -> None:
        """Count a batch that can't be stored and is given up; the next commit tells the ledger."""
        self._lose(Part(batch.payloads, {}, batch.drops), reason, len(batch.records))

    def _lose(self, part: Part, reason: Drop, more: int = 0) -> None:
        lost = part.records + more
        self._owed = _sum(_sum(self._owed, part.drops), {reason: lost})
        self._telemetry.emit(RecordsDropped(source=self._source, reason=reason, count=lost))

    def _tell(self, redactions: Mapping[str, int], drops: Mapping[str, int]) -> None:
        for rule, count in redactions.items():
            self._telemetry.emit(ValuesRedacted(source=self._source, rule=rule, count=count))
        for reason, count in drops.items():
            self._telemetry.emit(RecordsDropped(source=self._source, reason=reason, count=count))

    async def _store(self, part: Part, stored: Callable[[Part], None], *, lighter: bool) -> None:
        """Store it when there is room; SpoolOversizeError if there never is, unless it may be made lighter."""
        while True:
            try:
                await self._append(part, stored)
            except SpoolOversizeError:
                if not lighter or not part.payloads:
                    raise
                part = _without_largest(part)
            except SpoolFullError:
                if not self._replayable:
                    self._lose(part, Drop.SPOOL_FULL)
                    return
                await self._spool.wait_for_room()
            else:
                return

    async def _append(self, part: Part, stored: Callable[[Part], None]) -> None:
        """Append; cancelled meanwhile, see it to its end if that is near: a commit that happened must be known to have happened."""
        job = asyncio.ensure_future(self._spool.append(self._source, *part, replayable=self._replayable))
        job.add_done_callback(lambda done: None if done.cancelled() or done.exception() else stored(part))
        try:
            await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait([job], timeout=SETTLING)
            job.cancel()
            raise


def _without_largest(part: Part) -> Part:
    """The same without its largest row, which is counted."""
    largest = max(part.payloads, key=lambda payload: len(payload.body))
    rest = [payload for payload in part.payloads if payload is not largest]
    return part._replace(payloads=rest, drops=_sum(part.drops, {Drop.SPOOL_OVERSIZE: largest.records}))


def _halved(payloads: Sequence[Payload]) -> tuple[Sequence[Payload], Sequence[Payload]] | None:
    if len(payloads) != 1:
        middle = len(payloads) // 2
        return payloads[:middle], payloads[middle:]
    from agent.encode.halve import halve  # noqa: PLC0415 - its protobuf classes cost memory that only this rare case is worth

    [whole] = payloads
    parts = halve(whole.signal, whole.body)
    if parts is None:
        return None
    first, second = (Payload(whole.signal, part.records, part.body) for part in parts)
    return [first], [second]


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> Mapping[str, int]:
    if not second:
        return first
    return Counter(first) + Counter(second)
