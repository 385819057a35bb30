from __future__ import annotations

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from agent.encode.otlp_metrics import metrics_payload
from agent.metrics import Kind, Metric, Metrics, Observation
from agent.record import Signal
from agent.testing.clock import START_NS, FakeClock

SENT = Metric("sent", Kind.COUNTER, "{record}", "Sent.")
CPU = Metric("process.cpu.time", Kind.COUNTER, "s", "Read elsewhere.")
SIZE = Metric("size", Kind.GAUGE, "By", "A size.")
LEVEL = Metric("level", Kind.UPDOWN, "", "A level.")
TIME = Metric("time", Kind.HISTOGRAM, "s", "A time.", (0.1, 1.0))


def test_all_kinds_are_encoded():
    """Each kind becomes the right OTLP data, with unit, description, start, boundaries and temporality; each data point is one record."""
    metrics = Metrics({"service.name": "app"}, FakeClock())
    metrics.add(SENT, 3, {"source": "a"})
    metrics.record(TIME, 0.5)
    metrics.publish(
        "x",
        [
            Observation(CPU, 1.5, {}, START_NS - 5),
            Observation(SIZE, 7, {"k": "a"}),
            Observation(SIZE, 8, {"k": "b"}),
            Observation(LEVEL, -2),
        ],
    )
    payload = metrics_payload(metrics.collect())
    request = ExportMetricsServiceRequest.FromString(payload.body)
    [resource] = request.resource_metrics
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    assert (payload.signal, payload.records) == (Signal.METRICS, 6)
    assert [(one.key, one.value.string_value) for one in resource.resource.attributes] == [("service.name", "app")]
    assert resource.scope_metrics[0].scope.name == "outrider"
    assert (found["sent"].sum.aggregation_temporality, found["sent"].sum.is_monotonic, found["sent"].unit) == (2, True, "{record}")
    assert found["sent"].sum.data_points[0].as_int == 3
    assert found["process.cpu.time"].sum.data_points[0].start_time_unix_nano == START_NS - 5
    assert [point.as_int for point in found["size"].gauge.data_points] == [7, 8]
    assert (found["level"].sum.is_monotonic, found["level"].sum.data_points[0].as_int) == (False, -2)
    assert list(found["time"].histogram.data_points[0].explicit_bounds) == [0.1, 1.0]


def test_nothing_is_no_record():
    """Without any series there is nothing to send, and the count says so."""
    assert metrics_payload(Metrics({}, FakeClock()).collect()).records == 0


def test_a_number_beyond_64_bits_is_a_double():
    """An absurd counter costs no other series its export."""
    metrics = Metrics({}, FakeClock())
    metrics.add(SENT, 2**63 - 1)
    metrics.add(SENT, 1)
    metrics.publish("x", [Observation(SIZE, -(2**63)), Observation(LEVEL, -(2**63) - 1)])
    request = ExportMetricsServiceRequest.FromString(metrics_payload(metrics.collect()).body)
    found = {one.name: (one.sum.data_points or one.gauge.data_points)[0] for one in request.resource_metrics[0].scope_metrics[0].metrics}

    assert found["sent"].as_double == 2.0**63
    assert found["size"].as_int == -(2**63)
    assert found["level"].as_double == -(2.0**63)
