"""Metrics → an OTLP request. Imported only where a destination takes metrics: the generated protobuf classes cost 4 MiB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from agent.record import Payload, Signal

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData


def metrics_payload(data: MetricsData) -> Payload:
    """A serialized ExportMetricsServiceRequest; its records are its data points, as in the specification's `rejected_data_points`."""
    return Payload(Signal.METRICS, _points(data), encode_metrics(data).SerializeToString())


def _points(data: MetricsData) -> int:
    return sum(
        len(metric.data.data_points) for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    )
