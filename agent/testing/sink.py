"""The next stage after a source, in memory: stores a batch with its positions, or refuses it whole, as the spool does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.encode.otlp_requests import log_records, parse
from agent.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.record import Batch, LogRecord, Payload, Value


class Sink:
    """`emit` for a source; `positions` for its context. `refuse` decides, for each batch, whether it is refused."""

    def __init__(self, refuse: Callable[[], bool] = lambda: False) -> None:
        self.records: list[LogRecord] = []
        self.payloads: list[Payload] = []
        self.drops: dict[str, int] = {}
        self.stored: dict[str, bytes] = {}
        """The committed positions."""
        self.batches = 0
        self.refused = 0
        self.arrived = asyncio.Event()
        """Set at each commit; for the test to clear."""
        self.refuse = refuse

    async def emit(self, batch: Batch) -> None:
        """Commit everything of a batch, or raise SpoolError and keep nothing of it."""
        await asyncio.sleep(0)
        if self.refuse():
            self.refused += 1
            raise SpoolError("refused by the test")
        self.batches += 1
        self.records.extend(batch.records)
        self.payloads.extend(batch.payloads)
        for reason, count in batch.drops.items():
            self.drops[reason] = self.drops.get(reason, 0) + count
        for key, position in batch.positions.items():
            self._move(key, position)
        self.arrived.set()

    async def positions(self) -> Mapping[str, bytes]:
        """The committed state."""
        return dict(self.stored)

    @property
    def bodies(self) -> list[Value]:
        """Everything that arrived, in order: the bodies of records, then those that came encoded, and the names of spans and of metrics."""
        return [*(record.body for record in self.records), *(text for payload in self.payloads for text in contents(payload))]

    def _move(self, key: str, position: bytes | None) -> None:
        if position is None:
            self.stored.pop(key, None)
        else:
            self.stored[key] = position


def contents(payload: Payload) -> list[Value]:
    """The bodies of a request's log records, or the names of its spans or metrics. AssertionError if it can't be decoded and so not searched for secrets."""
    request = parse(payload)
    if request is None:
        raise AssertionError(
            f"what it emits encoded is an OTLP request of its signal, which {payload.signal} of {len(payload.body)} bytes is not"
        )
    if isinstance(request, ExportTraceServiceRequest):
        return [span.name for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    if isinstance(request, ExportMetricsServiceRequest):
        return [metric.name for resource in request.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics]
    return [record.body for record in log_records([payload], "sink")]


async def hang(batch: Batch) -> None:  # noqa: ARG001 - the signature of emit
    """An `emit` that never returns: the spool is full for ever."""
    await asyncio.Event().wait()
