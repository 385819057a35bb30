"""Deltas add up to what was counted, whatever fails and restarts in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from agent.encode.otlp_metrics import metrics_payload
from agent.host.deltas import Deltas, dump
from agent.metrics import Kind, Metric, Metrics, Observation
from agent.testing.clock import START_NS, FakeClock

COUNT = Metric("count", Kind.COUNTER, "", "Counted by the agent.")
LEDGER = Metric("ledger", Kind.COUNTER, "", "Counted elsewhere, for longer.")
LEVEL = Metric("level", Kind.UPDOWN, "", "Goes up and down.")
TIME = Metric("time", Kind.HISTOGRAM, "s", "How long.", (1.0,))
DELTA, CUMULATIVE = 1, 2


def decoded(data):
    """The metrics of a collection as they arrive, by name."""
    [resource] = ExportMetricsServiceRequest.FromString(metrics_payload(data).body).resource_metrics
    return {metric.name: metric for metric in resource.scope_metrics[0].metrics}


def filled(count: int, total: int) -> Metrics:
    """An agent that has counted so much, beside a ledger of an earlier time."""
    metrics = Metrics({}, FakeClock())
    metrics.add(COUNT, count)
    metrics.record(TIME, 0.5)
    metrics.publish("x", [Observation(LEDGER, total, {}, START_NS - 10), Observation(LEVEL, 3)])
    return metrics


@pytest.mark.parametrize(("preference", "ledger"), [("delta", DELTA), ("lowmemory", CUMULATIVE)])
def test_each_kind_has_its_temporality(preference, ledger):
    """Counters and histograms are deltas, up-down counters are not; with little memory, nor is what others have counted for longer."""
    metrics = filled(2, 9)
    found = decoded(Deltas(preference, None, metrics.start_ns).convert(metrics.collect())[0])

    assert found["count"].sum.aggregation_temporality == DELTA
    assert found["time"].histogram.aggregation_temporality == DELTA
    assert found["ledger"].sum.aggregation_temporality == ledger
    assert found["level"].sum.aggregation_temporality == CUMULATIVE
    assert not found["time"].histogram.data_points[0].HasField("min")


def test_a_delta_begins_where_the_last_one_ended():
    """The second point has what came since, from the time of the first; a histogram's buckets likewise."""
    metrics = filled(2, 9)
    deltas = Deltas("delta", None, metrics.start_ns)
    first, seen = deltas.convert(metrics.collect())
    deltas.stored(seen)
    metrics.add(COUNT, 5)
    metrics.record(TIME, 2.0)
    found = decoded(deltas.convert(metrics.collect())[0])
    before = decoded(first)["count"].sum.data_points[0]

    assert before.as_int == 2
    assert found["count"].sum.data_points[0].as_int == 5
    assert found["count"].sum.data_points[0].start_time_unix_nano == before.time_unix_nano
    assert list(found["time"].histogram.data_points[0].bucket_counts) == [0, 1]
    assert (found["time"].histogram.data_points[0].count, found["time"].histogram.data_points[0].sum) == (1, 2.0)


STEPS = st.lists(st.tuples(st.sampled_from(["count", "fail", "restart"]), st.integers(1, 9)), max_size=12)


@given(STEPS)
def test_the_deltas_that_were_stored_add_up(steps):
    """Whatever collections could not be stored, and however often the agent was killed: each step of an old counter arrives once."""
    stored, total, sent = None, 0, 0
    metrics = filled(0, 0)
    deltas = Deltas("delta", stored, metrics.start_ns)
    for what, amount in [*steps, ("count", 1)]:
        total += amount
        metrics.publish("x", [Observation(LEDGER, total, {}, START_NS - 10)])
        if what == "restart":
            metrics = filled(0, total)
            deltas = Deltas("delta", stored, metrics.start_ns)
            continue
        data, seen = deltas.convert(metrics.collect())
        if what == "count":
            sent += decoded(data)["ledger"].sum.data_points[0].as_int
            stored = dump(seen)
            deltas.stored(seen)

    assert sent == total
