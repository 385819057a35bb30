from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Sum

from agent.metrics import Kind, Metric, Metrics, Observation, checked
from agent.testing.clock import START_NS, FakeClock

COUNT = Metric("test.count", Kind.COUNTER, "{record}", "Counts.")
LEVEL = Metric("test.level", Kind.UPDOWN, "{record}", "Goes up and down.")
SIZE = Metric("test.size", Kind.GAUGE, "By", "A size.")
TIME = Metric("test.time", Kind.HISTOGRAM, "s", "A time.", (0.1, 1.0))
CPU = Metric("test.cpu", Kind.COUNTER, "s", "Read elsewhere.")


@pytest.fixture
def metrics():
    """Metrics of a service `app`."""
    return Metrics({"service.name": "app"}, FakeClock())


def _collected(metrics: Metrics) -> dict:
    [resource] = metrics.collect().resource_metrics
    [scope] = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def _values(metric) -> dict:
    return {tuple(sorted(point.attributes.items())): point.value for point in metric.data.data_points}


def test_counts_add_up_per_attributes(metrics):
    """A counter adds up per set of attributes, is cumulative and says since when."""
    metrics.add(COUNT, 2, {"source": "a"})
    metrics.add(COUNT, 3, {"source": "a"})
    metrics.add(COUNT, 1, {"source": "b"})
    metric = _collected(metrics)["test.count"]
    assert _values(metric) == {(("source", "a"),): 5, (("source", "b"),): 1}
    assert (metric.data.is_monotonic, metric.data.aggregation_temporality) == (True, AggregationTemporality.CUMULATIVE)
    assert all(point.start_time_unix_nano > 0 for point in metric.data.data_points)


def test_updown_counter_goes_down(metrics):
    """An up-down counter is a sum that is not monotonic."""
    metrics.add(LEVEL, 2)
    metrics.add(LEVEL, -3)
    metric = _collected(metrics)["test.level"]
    assert _values(metric) == {(): -1}
    assert not metric.data.is_monotonic


def test_histogram_uses_the_given_boundaries(metrics):
    """A histogram has exactly the buckets of its definition."""
    for value in (0.05, 0.5, 5.0):
        metrics.record(TIME, value)
    [point] = _collected(metrics)["test.time"].data.data_points
    assert (list(point.explicit_bounds), list(point.bucket_counts), point.sum) == ([0.1, 1.0], [1, 1, 1], 5.55)


def test_published_values_are_absolute_and_replaced(metrics):
    """An owner's publication replaces its previous one; series it leaves out are gone."""
    metrics.publish("one", [Observation(SIZE, 1, {"k": "a"}), Observation(SIZE, 2, {"k": "b"})])
    metrics.publish("one", [Observation(SIZE, 7, {"k": "b"})])
    metrics.publish("two", [Observation(SIZE, 9, {"k": "c"})])
    metric = _collected(metrics)["test.size"]
    assert _values(metric) == {(("k", "b"),): 7, (("k", "c"),): 9}
    assert isinstance(metric.data, Gauge)
    assert metric.data.data_points[0].time_unix_nano == START_NS


def test_an_owner_can_withdraw(metrics):
    """Publishing nothing removes the owner's metrics from the collection."""
    metrics.publish("one", [Observation(SIZE, 1)])
    metrics.publish("one", [])
    assert _collected(metrics) == {}


def test_published_counters_keep_their_own_start(metrics):
    """A counter that was read says since when it counts: its own start if known, else the agent's."""
    metrics.publish("one", [Observation(CPU, 1.5, {"p": "1"}, start_ns=42), Observation(CPU, 2.5, {"p": "2"})])
    data = _collected(metrics)["test.cpu"].data
    assert isinstance(data, Sum)
    assert [point.start_time_unix_nano for point in data.data_points] == [42, START_NS]


def test_the_last_of_equal_series_counts(metrics):
    """One series never appears twice, because Prometheus refuses a whole scrape for it."""
    metrics.publish("one", [Observation(SIZE, 1, {"a": "1", "b": "2"}), Observation(SIZE, 2, {"b": "2", "a": "1"})])
    assert _values(_collected(metrics)["test.size"]) == {(("a", "1"), ("b", "2")): 2}


def test_published_series_are_capped():
    """Past the cap one series takes the rest: counters add up in it, so that no count is lost."""
    metrics = Metrics({}, FakeClock(), cap=3)
    metrics.publish("one", [Observation(CPU, 1, {"n": str(number)}) for number in range(10)])
    values = _values(_collected(metrics)["test.cpu"])
    assert len(values) == 4
    assert values[(("otel.metric.overflow", "true"),)] == 7


def test_counted_series_are_capped(metrics):
    """Ten thousand values of an attribute cost two thousand series and lose no count."""
    for number in range(10_000):
        metrics.add(COUNT, 1, {"n": str(number)})
    points = _collected(metrics)["test.count"].data.data_points
    assert len(points) <= 2001
    assert sum(point.value for point in points) == 10_000


def test_resource_is_carried(metrics):
    """The workload's resource attributes are those of every metric, and nothing of our own environment joins them."""
    metrics.add(COUNT, 1)
    assert dict(metrics.collect().resource_metrics[0].resource.attributes) == {"service.name": "app"}


def test_works_where_the_workload_disabled_its_sdk(monkeypatch):
    """OTEL_SDK_DISABLED applies to the workload; its observer continues."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    metrics = Metrics({}, FakeClock())
    metrics.add(COUNT, 1)
    assert "test.count" in _collected(metrics)


def test_a_second_definition_is_refused(metrics):
    """One name has one definition."""
    metrics.add(COUNT, 1)
    with pytest.raises(ValueError, match="defined twice"):
        metrics.add(Metric("test.count", Kind.COUNTER, "s", "Another."), 1)


@pytest.mark.parametrize(("metric", "method"), [(SIZE, "add"), (TIME, "add"), (COUNT, "record"), (SIZE, "record")])
def test_a_metric_is_used_as_its_kind(metrics, metric, method):
    """Counting in a gauge or recording in a counter is a mistake that shows at once."""
    with pytest.raises(ValueError, match="is not counted this way"):
        getattr(metrics, method)(metric, 1)


@pytest.mark.parametrize(("kind", "boundaries"), [(Kind.HISTOGRAM, ()), (Kind.GAUGE, (1.0,))])
def test_boundaries_belong_to_histograms(kind, boundaries):
    """A histogram without boundaries would get the SDK's, which are meant for milliseconds."""
    with pytest.raises(ValueError, match="boundaries"):
        Metric("x", kind, "s", "x", boundaries)


def test_a_histogram_may_be_counted_elsewhere(metrics):
    """Its counts and its sum are published as they are read, since the start that they have."""
    metrics.publish("one", [Observation(TIME, 5.55, {"a": "1"}, START_NS - 7, (1, 0, 2))])
    [point] = _collected(metrics)["test.time"].data.data_points
    assert (point.explicit_bounds, point.bucket_counts, point.sum, point.count) == ((0.1, 1.0), [1, 0, 2], 5.55, 3)
    assert (point.start_time_unix_nano, point.min, point.max) == (START_NS - 7, None, None)


def test_published_histograms_are_capped():
    """Past the cap their buckets add up in one series."""
    metrics = Metrics({}, FakeClock(), cap=1)
    metrics.publish("one", [Observation(TIME, 1.0, {"n": str(number)}, counts=(number, 1, 0)) for number in range(4)])
    points = {tuple(point.attributes.items()): point for point in _collected(metrics)["test.time"].data.data_points}
    rest = points[("otel.metric.overflow", "true"),]
    assert (rest.bucket_counts, rest.sum, rest.count) == ([6, 3, 0], 3.0, 9)


@pytest.mark.parametrize("one", [Observation(TIME, 1.0), Observation(TIME, 1.0, counts=(1, 2)), Observation(SIZE, 1.0, counts=(1,))])
def test_counts_must_fit_the_metric(one):
    """A component that has them wrong gets an error, before anything is collected."""
    with pytest.raises(ValueError, match="counts of buckets"):
        checked([one])
