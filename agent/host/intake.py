"""From a source's batch to one commit. One `Intake` per source, made by the host.

batch ──▶ stages ──▶ redact ──▶ encode ─┐
                        └─────▶ detect ─┴─▶ spool.append(rows + positions + drops)   one transaction ──▶ taps

Encoded payloads (`Batch.payloads`) go the same way: redacted as it is, and decoded for the detector and the taps. A batch that the spool can
never hold at once takes several transactions, each of which also says how far they have come (`batch_progress`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.crash import crash_point
from agent.encode.batch_logs import log_records_of
from agent.errors import SpoolOversizeError, describe
from agent.host import batch_progress
from agent.host.commits import Commits, Part, RecordsDropped, total
from agent.metrics import Kind, Metric
from agent.record import Batch, Detected, Drop, Owner, Payload, Signal
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from agent.component import Stage, Tap
    from agent.encode.otlp_logs import LogEncoder
    from agent.issues.detector import IssueDetector
    from agent.record import LogRecord
    from agent.redact.redactor import Redactor
    from agent.spool.spool import Spool
    from agent.telemetry import Telemetry

    Progress = Mapping[str, bytes | None]
    """The intake's own positions in a transaction (`batch_progress`)."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
REDACTIONS: Final = Metric("outrider.redactions", Kind.COUNTER, "{value}", "Values taken out of records before they were stored, by rule.")


@dataclass(frozen=True, slots=True)
class ValuesRedacted(Event):
    """Secrets were taken out of records before they were stored."""

    name = "values redacted"
    level = Level.DEBUG
    counter = REDACTIONS
    labels = ("source", "rule")
    source: str
    rule: str
    count: int


@dataclass(frozen=True, slots=True)
class TapFailed(Event):
    """A tap has failed on a stored batch: no record is lost, but the tap's result lacks it."""

    name = "stored batch not seen"
    level = Level.ERROR
    labels = ("source",)
    source: str
    error: str


@dataclass(frozen=True, slots=True)
class Way:
    """The steps that all batches of a configuration pass, whatever their source."""

    spool: Spool
    redactor: Redactor
    encoder: LogEncoder
    telemetry: Telemetry
    detector: IssueDetector | None = None
    stages: Sequence[Stage] = ()
    """In their order. The list may grow."""
    taps: Sequence[Tap] = ()
    """The list may grow."""


class Intake:
    """One source's way into the spool; `emit` is what the source is given."""

    def __init__(self, source: str, way: Way, *, replayable: bool, verbatim: bool = False) -> None:
        """`verbatim`: what comes encoded is neither redacted nor searched for errors."""
        self._source = source
        self._way = way
        self._replayable = replayable
        self._verbatim = verbatim
        self._commits = Commits(source, way.spool, way.telemetry, replayable=replayable)
        self._in_order: AbstractAsyncContextManager[object] = asyncio.Lock() if replayable else contextlib.nullcontext()
        """Batches in parts are stored one at a time: `_ahead` is about one of them."""
        self._ahead: Mapping[str, int] | None = None
        """Offsets stored beyond the committed positions (see `batch_progress`); None = not read yet."""
        self.commits = 0
        """Batches with rows that were stored since the start."""
        self.newest_ns: int | None = None
        """Event time of the newest record stored since the start, nanoseconds since the Unix epoch. It shows how far the source is behind."""

    async def emit(self, batch: Batch) -> None:
        """Store a batch and its positions; return when both are committed."""
        async with self._in_order:
            try:
                await self._emit(*await self._unstored(batch))
            except BaseException:
                self._ahead = None  # the next batch begins at what is committed, whatever that is by then
                raise

    async def _unstored(self, batch: Batch) -> tuple[Batch, Progress]:
        """Leave out what was stored of a batch that was too large for one transaction, before the agent died half-way."""
        if self._ahead is None:
            stored = await self._way.spool.positions(self._source, Owner.INTAKE) if self._replayable else {}
            self._ahead = batch_progress.decode(stored.get(batch_progress.KEY))
        if not self._ahead:
            return batch, {}
        left = batch_progress.left(self._ahead, batch.records)
        records = batch_progress.unstored(self._ahead, batch.records)
        return batch._replace(records=records), {batch_progress.KEY: batch_progress.encode(left)}

    async def _emit(self, batch: Batch, progress: Progress) -> None:
        for stage in self._way.stages:
            batch = _staged(stage, batch)
        batch, redactions = self._redact(batch)
        try:
            await self._take(batch, progress, redactions)
        except SpoolOversizeError:
            await self._take_in_parts(batch, progress, redactions)

    def _redact(self, batch: Batch) -> tuple[Batch, Mapping[str, int]]:
        """The batch without secrets, and the number of redacted values for each rule."""
        records, counts = self._way.redactor.redact(batch.records, batch.text) if batch.records else ((), {})
        batch = batch._replace(records=records)
        return self._redact_payloads(batch, counts) if batch.payloads and not self._verbatim else (batch, counts)

    def _redact_payloads(self, batch: Batch, counts: Mapping[str, int]) -> tuple[Batch, Mapping[str, int]]:
        """The same for encoded payloads. Bytes that are not an OTLP request can't be searched, and are not stored."""
        from agent.redact.requests import redacted  # noqa: PLC0415 - its protobuf classes cost memory that few sources need

        clean: list[Payload] = []
        sums, lost = Counter(counts), 0
        for payload in batch.payloads:
            if found := redacted(payload, self._way.redactor):
                clean.append(found[0])
                sums.update(found[1])
            else:
                lost += payload.records
        drops = total(batch.drops, {Drop.UNSEARCHABLE: lost} if lost else {})
        return batch._replace(payloads=clean, drops=drops), sums

    async def _take_in_parts(self, batch: Batch, progress: Progress, redactions: Mapping[str, int]) -> None:
        """As many records in one transaction as fit. The source's positions move with the last of them."""
        if self._replayable:
            progress = {batch_progress.KEY: None, **progress}
        rest = Batch(durable=batch.durable)
        await self._take_records(rest, batch.records)
        await self._take_payloads(rest, batch.payloads)
        await self._take(rest._replace(positions=batch.positions, drops=batch.drops), progress, redactions)

    async def _take_records(self, rest: Batch, records: Sequence[LogRecord]) -> None:
        """Store two halves, halved again where needed. Of a single record whose rows never fit, the largest rows are dropped and counted."""
        middle = len(records) // 2
        for half in filter(None, (records[:middle], records[middle:])):
            try:
                await self._take(rest._replace(records=half), self._progress(half), lighter=len(half) == 1)
            except SpoolOversizeError:
                await self._take_records(rest, half)
            else:
                crash_point("intake.part_stored")

    def _progress(self, records: Sequence[LogRecord]) -> Progress:
        return {batch_progress.KEY: batch_progress.encode(batch_progress.extended(self._ahead or {}, records))} if self._replayable else {}

    async def _take_payloads(self, rest: Batch, payloads: Sequence[Payload]) -> None:
        """The same for encoded payloads. No position says which of them are stored: the sender repeats all."""
        if not payloads:
            return
        try:
            await self._take(rest._replace(payloads=payloads))
        except SpoolOversizeError:
            halves = _halved(payloads)
            for half in halves or ():
                await self._take_payloads(rest, half)
            if halves is None:
                await self._take(rest._replace(drops={Drop.SPOOL_OVERSIZE: payloads[0].records}))

    async def _take(
        self, batch: Batch, progress: Progress = _NOTHING, redactions: Mapping[str, int] = _NOTHING, *, lighter: bool = False
    ) -> None:
        """Detect, encode, and store in one transaction. SpoolOversizeError if they do not fit, unless rows may be dropped."""
        if self._way.detector is None or not (seen := batch.records if self._verbatim else log_records_of(self._source, batch)):
            await self._keep(batch, progress, Detected(), redactions, lighter=lighter)
            return
        async with self._way.detector.judge(self._source, seen) as found:
            await self._keep(batch, progress, found, redactions, lighter=lighter)

    async def _keep(self, batch: Batch, progress: Progress, found: Detected, redactions: Mapping[str, int], *, lighter: bool) -> None:
        logs = [Payload(Signal.LOGS, len(batch.records), self._way.encoder.encode(batch.records))] if batch.records else []
        part = Part(
            [*batch.payloads, *logs, *found.payloads],
            batch.positions,
            total(batch.drops, found.drops),
            batch.durable,
            {Owner.INTAKE: progress, Owner.ISSUES: found.positions},
        )

        def stored(part: Part) -> None:
            found.commit()
            self._note(part, redactions)
            self._show(batch if not logs or logs[0] in part.payloads else batch._replace(records=()))

        await self._commits.store(part, stored, lighter=lighter)

    def _note(self, part: Part, redactions: Mapping[str, int]) -> None:
        """It is committed."""
        self.commits += bool(part.payloads)
        progress = part.state[Owner.INTAKE]
        if batch_progress.KEY in progress:
            self._ahead = batch_progress.decode(progress[batch_progress.KEY])
        for rule, count in redactions.items():
            self._way.telemetry.emit(ValuesRedacted(source=self._source, rule=rule, count=count))
        for reason, count in part.drops.items():
            self._way.telemetry.emit(RecordsDropped(source=self._source, reason=reason, count=count))

    def _show(self, batch: Batch) -> None:
        """Let the taps see what is stored."""
        if batch.records:
            last = batch.records[-1]
            self.newest_ns = max(self.newest_ns or 0, last.time_ns or last.observed_ns)
        for tap in self._way.taps:
            try:
                tap(self._source, batch)
            except Exception as error:  # noqa: BLE001 - the host: whatever a tap does, the batch is stored
                self._way.telemetry.emit(TapFailed(self._source, describe(error)))


def _staged(stage: Stage, batch: Batch) -> Batch:
    """The batch after a stage. Other records may hold more than the text that they came from."""
    after = stage(batch)
    return after if after.records is batch.records else after._replace(text=None)


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
