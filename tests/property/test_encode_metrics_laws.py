"""The metrics encoder against OpenTelemetry's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from agent.encode.otlp_metrics import metrics_payload
from agent.metrics import Kind, Metric, Metrics, Observation
from agent.testing.clock import FakeClock

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
labels = st.dictionaries(st.text("abc.", min_size=1, max_size=5), texts, max_size=4)
numbers = st.integers(0, 2**60) | st.floats(0, 1e300)  # five of them together stay within 64 bits, beyond which the SDK's encoder raises


@given(
    resource=labels,
    kinds=st.lists(st.sampled_from([Kind.COUNTER, Kind.UPDOWN, Kind.GAUGE, Kind.HISTOGRAM]), max_size=4),
    points=st.lists(st.tuples(labels, numbers), min_size=1, max_size=5),
    text=texts,
)
def test_the_request_is_the_one_that_the_sdk_would_send(resource, kinds, points, text):
    """For any collection the decoded request equals OpenTelemetry's own encoding of it."""
    metrics = Metrics(resource, FakeClock())
    for number, kind in enumerate(kinds):
        boundaries = (0.5, 10.0) if kind is Kind.HISTOGRAM else ()
        metric = Metric(f"metric.{number}", kind, "s", text, boundaries)
        for attributes, value in points:
            if kind is Kind.HISTOGRAM and number % 2:
                metrics.publish(f"owner {number}", [Observation(metric, value, attributes, counts=(number, 0, 2))])
            elif kind is Kind.HISTOGRAM:
                metrics.record(metric, value, attributes)
            elif kind is Kind.GAUGE:
                metrics.publish(f"owner {number}", [Observation(metric, value, attributes)])
            else:
                metrics.add(metric, value, attributes)
    data = metrics.collect()

    payload = metrics_payload(data)

    ours = ExportMetricsServiceRequest.FromString(payload.body)
    assert encode_metrics(data) == ours
    assert payload.records == sum(
        len(metric.gauge.data_points) + len(metric.sum.data_points) + len(metric.histogram.data_points)
        for one in ours.resource_metrics
        for scope in one.scope_metrics
        for metric in scope.metrics
    )
