"""Halves an OTLP request that the destination finds too large. Deterministic: the same request gives the same halves, byte by byte.

Used for the rare 413 only, so it may take the way over the generated protobuf classes; to be imported only then, for they take memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from agent.record import Signal

if TYPE_CHECKING:
    from google.protobuf.message import Message

_REQUESTS: Final[dict[Signal, type[Message]]] = {
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.TRACES: ExportTraceServiceRequest,
}
_PATHS: Final = {
    Signal.LOGS: ("resource_logs", "scope_logs", "log_records"),
    Signal.METRICS: ("resource_metrics", "scope_metrics", "metrics", "data_points"),
    Signal.TRACES: ("resource_spans", "scope_spans", "spans"),
}
"""The lists from the request down to its records."""
_EVERYTHING: Final = 1 << 62


class Half(NamedTuple):
    """One half of a request."""

    records: int
    """Log records, data points or spans."""
    body: bytes


def halve(signal: Signal, body: bytes) -> tuple[Half, Half] | None:
    """Split a serialized request by its records, order kept; None if it has but one, or is nothing that can be split."""
    if signal not in _REQUESTS:
        return None
    try:
        total = _keep(_REQUESTS[signal].FromString(body), _PATHS[signal], 0, _EVERYTHING)
    except DecodeError:  # stored by a receiver that did not look inside
        return None
    if total < 2:
        return None
    middle = total // 2
    return _cut(signal, body, 0, middle), _cut(signal, body, middle, total)


def _cut(signal: Signal, body: bytes, start: int, stop: int) -> Half:
    request = _REQUESTS[signal].FromString(body)
    _keep(request, _PATHS[signal], start, stop)
    return Half(stop - start, request.SerializeToString(deterministic=True))


def _keep(message: Message, path: tuple[str, ...], start: int, stop: int) -> int:
    """Keep the records from `start` to `stop` below a message, and around them only what still holds some; return how many there were."""
    holder = _data(message) if isinstance(message, Metric) else message
    children = getattr(holder, path[0], [])
    if len(path) == 1:
        total = len(children)
        del children[max(stop, 0) :]
        del children[: max(start, 0)]
        return total
    position, empty = 0, []
    for index, child in enumerate(children):
        count = _keep(child, path[1:], start - position, stop - position)
        if position + count <= start or position >= stop or not count:
            empty.append(index)
        position += count
    for index in reversed(empty):
        del children[index]
    return position


def _data(metric: Metric) -> Message | None:
    """The part of a metric that holds its data points: gauge, sum, histogram or summary."""
    kind = metric.WhichOneof("data")
    return getattr(metric, kind) if kind else None
