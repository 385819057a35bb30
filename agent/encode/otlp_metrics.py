"""Collected metrics → the bytes of an ExportMetricsServiceRequest (metrics/v1/metrics.proto).

Written directly, like the logs: the generated classes of `opentelemetry-proto` would cost every agent that sends metrics 1.5 MiB for some
hundred data points a minute. The tests hold the bytes to what OpenTelemetry's own encoder makes of the same data.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum

from agent.encode.any_value import delimited, key_value, text_bytes, varint
from agent.record import Payload, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics
    from opentelemetry.util.types import AnyValue

_double: Final = Struct("<d").pack
_fixed64: Final = Struct("<Q").pack
_sfixed64: Final = Struct("<q").pack
_LIMIT: Final = 2**63


def metrics_payload(data: MetricsData) -> Payload:
    """A serialized request; its records are its data points, as in the specification's `rejected_data_points`."""
    body = b"".join(delimited(0x0A, _resource(resource)) for resource in data.resource_metrics)
    return Payload(Signal.METRICS, _points(data), body)


def _points(data: MetricsData) -> int:
    return sum(
        len(metric.data.data_points) for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    )


def _resource(found: ResourceMetrics) -> bytes:
    """ResourceMetrics: resource = 1 (attributes = 1), scope_metrics = 2, schema_url = 3."""
    resource = delimited(0x0A, _attributes(0x0A, found.resource.attributes))
    return resource + b"".join(delimited(0x12, _scope(scope)) for scope in found.scope_metrics) + _text(0x1A, found.schema_url)


def _scope(found: ScopeMetrics) -> bytes:
    """ScopeMetrics: scope = 1 (name = 1, version = 2), metrics = 2."""
    scope = _text(0x0A, found.scope.name) + _text(0x12, found.scope.version or "")
    return delimited(0x0A, scope) + b"".join(delimited(0x12, _metric(metric)) for metric in found.metrics)


def _metric(metric: Metric) -> bytes:
    """Metric: name = 1, description = 2, unit = 3, then one of gauge = 5, sum = 7, histogram = 9."""
    head = _text(0x0A, metric.name) + _text(0x12, metric.description or "") + _text(0x1A, metric.unit or "")
    data = metric.data
    if isinstance(data, Gauge):
        return head + delimited(0x2A, b"".join(delimited(0x0A, _number(point)) for point in data.data_points))
    temporality = b"\x10" + varint(int(data.aggregation_temporality))
    if isinstance(data, Sum):
        points = b"".join(delimited(0x0A, _number(point)) for point in data.data_points)
        return head + delimited(0x3A, points + temporality + (b"\x18\x01" if data.is_monotonic else b""))
    if isinstance(data, Histogram):
        points = b"".join(delimited(0x0A, _histogram(point)) for point in data.data_points)
        return head + delimited(0x4A, points + temporality)
    raise TypeError(f"{metric.name}: no encoding for {type(data).__name__}")


def _number(point: NumberDataPoint) -> bytes:
    """NumberDataPoint: start = 2, time = 3, as_double = 4, as_int = 6, attributes = 7. What 64 bits do not hold is a double."""
    exact = isinstance(point.value, int) and -_LIMIT <= point.value < _LIMIT
    value = b"\x31" + _sfixed64(point.value) if exact else b"\x21" + _double(point.value)
    return _attributes(0x3A, point.attributes or {}) + _times(point) + value


def _histogram(point: HistogramDataPoint) -> bytes:
    """HistogramDataPoint: start = 2, time = 3, count = 4, sum = 5, bucket_counts = 6, explicit_bounds = 7, attributes = 9, min = 11, max = 12."""
    counts = b"".join(_fixed64(count) for count in point.bucket_counts)
    bounds = b"".join(_double(bound) for bound in point.explicit_bounds)
    return b"".join(
        (
            _attributes(0x4A, point.attributes or {}),
            _times(point),
            b"\x21" + _fixed64(point.count) + b"\x29" + _double(point.sum),
            delimited(0x32, counts),
            delimited(0x3A, bounds),
            b"" if point.min is None else b"\x59" + _double(point.min) + b"\x61" + _double(point.max),
        )
    )


def _times(point: NumberDataPoint | HistogramDataPoint) -> bytes:
    start = point.start_time_unix_nano
    return (b"\x11" + _fixed64(start) if start else b"") + b"\x19" + _fixed64(point.time_unix_nano)


def _attributes(tag: int, attributes: Mapping[str, AnyValue]) -> bytes:
    return b"".join(delimited(tag, key_value(key, value)) for key, value in attributes.items())  # type: ignore[arg-type]  # our labels are texts


def _text(tag: int, text: str) -> bytes:
    return delimited(tag, text_bytes(text)) if text else b""
