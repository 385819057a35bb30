"""From a source's batch to one commit: redact, detect errors, encode, append. One `Intake` per source, made by the host.

batch ──▶ redact ──▶ encode ──▶ logs row ─┐
             └─────▶ detect ──▶ sentry rows ├─▶ spool.append(rows + positions + drops)   one transaction
batch.payloads ────────────────────────────┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from agent.errors import SpoolFullError
from agent.record import Payload, Signal
from agent.telemetry import Drop, RecordsDropped, ValuesRedacted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from agent.record import Batch, LogRecord
    from agent.telemetry import Telemetry


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
        drops = _sum(batch.drops, found.drops)
        if not await self._store(payloads, {**batch.positions, **found.positions}, drops):
            return
        found.commit()
        self._tell(redactions, drops)
        if records:
            self.newest_ns = max(self.newest_ns or 0, records[-1].time_ns or records[-1].observed_ns)

    def _tell(self, redactions: Mapping[str, int], drops: Mapping[str, int]) -> None:
        for rule, count in redactions.items():
            self._telemetry.emit(ValuesRedacted(source=self._source, rule=rule, count=count))
        for reason, count in drops.items():
            self._telemetry.emit(RecordsDropped(source=self._source, reason=reason, count=count))

    async def _store(self, payloads: Sequence[Payload], positions: Mapping[str, bytes | None], drops: Mapping[str, int]) -> bool:
        while True:
            try:
                await self._spool.append(self._source, payloads, positions, drops, replayable=self._replayable)
            except SpoolFullError:
                if not self._replayable:
                    lost = sum(payload.records for payload in payloads)
                    self._telemetry.emit(RecordsDropped(source=self._source, reason=Drop.SPOOL_FULL, count=lost))
                    return False
                await self._spool.wait_for_room()
            else:
                return True


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> Mapping[str, int]:
    if not second:
        return first
    return {reason: first.get(reason, 0) + second.get(reason, 0) for reason in {*first, *second}}
