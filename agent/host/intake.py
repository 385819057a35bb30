"""From a source's batch to one commit: redact, detect errors, encode, append. One `Intake` per source, made by the host.

batch ──▶ redact ──▶ encode ──▶ logs row ─┐
             └─────▶ detect ──▶ sentry rows ├─▶ spool.append(rows + positions + drops)   one transaction
batch.payloads ────────────────────────────┘
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from agent.errors import SpoolFullError, SpoolOversizeError
from agent.record import Payload, Signal
from agent.telemetry import Drop, RecordsDropped, ValuesRedacted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from agent.record import Batch, LogRecord
    from agent.telemetry import Telemetry


SETTLING: Final = 0.5
"""Seconds that a cancelled caller waits for a commit that nobody can stop any more."""


def _nothing() -> None:
    """Nobody waits for the commit."""


class Detected(NamedTuple):
    """What a detector made of a batch: rows, and the state that must be committed with them."""

    payloads: Sequence[Payload] = ()
    positions: Mapping[str, bytes | None] = {}
    drops: Mapping[str, int] = {}
    commit: Callable[[], None] = _nothing
    """To be called when all of it is stored, and only then: the detector's own state follows what is committed."""


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
        self.newest_ns: int | None = None
        """Event time of the newest record stored since the start, nanoseconds since the Unix epoch: how far the source is behind."""

    async def emit(self, batch: Batch) -> None:
        """Store a batch and its positions; return when both are committed."""
        records, redactions = self._redactor.redact(batch.records, batch.text) if batch.records else ((), {})
        payloads = list(batch.payloads)
        if records:
            payloads.append(Payload(Signal.LOGS, len(records), self._encoder.encode(records)))
        if self._detector is None or not records:
            await self._keep(batch, records, payloads, redactions, Detected())
            return
        async with self._detector.judge(self._source, records) as found:
            await self._keep(batch, records, [*payloads, *found.payloads], redactions, found)

    async def _keep(
        self, batch: Batch, records: Sequence[LogRecord], payloads: Sequence[Payload], redactions: Mapping[str, int], found: Detected
    ) -> None:
        owed, self._owed = self._owed, {}
        drops = _sum(_sum(batch.drops, found.drops), owed)
        part = Part(payloads, {**batch.positions, **found.positions}, drops)

        def stored() -> None:
            nonlocal owed
            owed = {}
            found.commit()
            self._tell(redactions, drops)
            if records:
                self.newest_ns = max(self.newest_ns or 0, records[-1].time_ns or records[-1].observed_ns)

        try:
            await self._store(part, stored)
        except BaseException:
            self._owed = _sum(self._owed, owed)
            raise

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

    async def _store(self, part: Part, stored: Callable[[], None]) -> None:
        """Store it whole, or, if the spool never gets so big, in parts: the positions only move with the last of them."""
        parts = [part]
        while parts:
            one = parts.pop()
            try:
                await self._store_part(one, _nothing if parts else stored)
            except SpoolOversizeError:
                parts += reversed(self._smaller(one))

    async def _store_part(self, part: Part, stored: Callable[[], None]) -> None:
        while True:
            try:
                await self._append(part, stored)
            except SpoolFullError:
                if not self._replayable:
                    self._lose(part, Drop.SPOOL_FULL)
                    return
                await self._spool.wait_for_room()
            else:
                return

    async def _append(self, part: Part, stored: Callable[[], None]) -> None:
        """Append; cancelled meanwhile, see it to its end if that is near: a commit that happened must be known to have happened."""
        job = asyncio.ensure_future(self._spool.append(self._source, *part, replayable=self._replayable))
        job.add_done_callback(lambda done: None if done.cancelled() or done.exception() else stored())
        try:
            await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait([job], timeout=SETTLING)
            job.cancel()
            raise

    def _smaller(self, part: Part) -> Sequence[Part]:
        """The same in parts; of one record that can't be split, all but the record."""
        halves = _halved(part.payloads)
        if halves is None:
            lost: Mapping[str, int] = {Drop.SPOOL_OVERSIZE: part.records}
            self._telemetry.emit(RecordsDropped(source=self._source, reason=Drop.SPOOL_OVERSIZE, count=part.records))
            return [part._replace(payloads=(), drops=_sum(part.drops, lost))]
        return [Part(halves[0], {}, {}), part._replace(payloads=halves[1])]


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
