"""Metrics: each is defined once, as a row, and leaves by two exits (`/metrics` and OTLP) from one collection.

Counts of the agent itself (`add`, `record`) are aggregated by the OpenTelemetry SDK. Figures counted elsewhere (the spool's
ledger, /proc, a probe's last check) are `publish`ed as absolute values and join at collection, which the specification calls a
MetricProducer (metrics/sdk.md, "MetricProducer"): aggregating them again would cost twice as much and lose their true start.

Everything happens on the event loop; nothing here is thread-safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricReader,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as Collected
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from agent import __version__
from agent.record import SCHEMA_URL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.metrics import Counter, UpDownCounter
    from opentelemetry.metrics import Histogram as HistogramInstrument

    from agent.clock import Clock

SERIES_CAP: Final = 2000
"""Series per metric; the default cardinality limit of the specification (metrics/sdk.md, "Cardinality limits")."""

OVERFLOW: Final = {"otel.metric.overflow": "true"}
"""The attributes of the one series that takes what is over the cap."""


class Kind(StrEnum):
    """OpenTelemetry's instrument kinds, less the distinction who observes."""

    COUNTER = "counter"
    UPDOWN = "updowncounter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """The one definition of a metric: a module-level row, compared by identity."""

    name: str
    """OpenTelemetry's dotted name, or another exporter's name verbatim (`probe_success`)."""
    kind: Kind
    unit: str
    """UCUM: `s`, `By`, `1`, `{record}`; empty = none."""
    description: str
    boundaries: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets. Required there: the SDK's default ones are meant for milliseconds."""

    def __post_init__(self) -> None:
        if (self.kind is Kind.HISTOGRAM) != bool(self.boundaries):
            raise ValueError(f"{self.name}: a histogram needs boundaries, and nothing else has any")


class Observation(NamedTuple):
    """An absolute value, as read."""

    metric: Metric
    value: float
    attributes: Mapping[str, str] = {}
    start_ns: int = 0
    """Since when a counter or a histogram counts, nanoseconds since the Unix epoch; 0 = since the agent started."""
    counts: Sequence[int] = ()
    """Of a histogram, whose `value` is the sum: how many values are in each bucket, one bucket more than the metric has boundaries."""


def checked(observations: Iterable[Observation]) -> list[Observation]:
    """The observations; ValueError if the counts of one do not fit its metric."""
    found = list(observations)
    for one in found:
        buckets = len(one.metric.boundaries) + 1 if one.metric.kind is Kind.HISTOGRAM else 0
        if len(one.counts) != buckets:
            raise ValueError(f"{one.metric.name} is a {one.metric.kind}: it has {buckets} counts of buckets, not {len(one.counts)}")
    return found


class Metrics:
    """All instruments of the process, and the present value of each series."""

    def __init__(self, resource: Mapping[str, str | int], clock: Clock, *, cap: int = SERIES_CAP) -> None:
        """Take the resource attributes that every metric carries, and the number of series allowed per metric."""
        self._clock = clock
        self._cap = cap
        self.start_ns = clock.wall_ns()
        """Since when the agent counts, nanoseconds since the Unix epoch."""
        self.describe(resource)
        self._scope = InstrumentationScope("outrider", __version__)
        self._reader = _Reader()
        self._meter = _Provider(self._reader, self._resource).get_meter("outrider", __version__)
        self._counters: dict[Metric, Counter | UpDownCounter] = {}
        self._histograms: dict[Metric, HistogramInstrument] = {}
        self._published: dict[str, Sequence[Observation]] = {}

    def describe(self, resource: Mapping[str, str | int]) -> None:
        """Collect for this resource from now on."""
        self._resource = Resource(dict(resource), SCHEMA_URL)

    def add(self, metric: Metric, amount: float, attributes: Mapping[str, str] | None = None) -> None:
        """Add to a counter (`amount` ≥ 0) or to an up-down counter."""
        counter = self._counters.get(metric)
        if counter is None:
            counter = self._counters[metric] = self._create_counter(metric)
        counter.add(amount, attributes)

    def record(self, metric: Metric, value: float, attributes: Mapping[str, str] | None = None) -> None:
        """Record one value in a histogram."""
        histogram = self._histograms.get(metric)
        if histogram is None:
            histogram = self._histograms[metric] = self._create_histogram(metric)
        histogram.record(value, attributes)

    def publish(self, owner: str, observations: Sequence[Observation]) -> None:
        """Replace all that `owner` published before; an empty sequence withdraws it."""
        if observations:
            self._published[owner] = observations
        else:
            self._published.pop(owner, None)

    def published(self, prefix: str = "") -> list[Observation]:
        """The observations published by the owners whose name begins with `prefix`: for the status page."""
        return [one for owner, many in self._published.items() if owner.startswith(prefix) for one in many]

    def collect(self) -> MetricsData:
        """Everything at this moment, cumulative: one resource, one scope, one entry per metric."""
        now = self._clock.wall_ns()
        metrics = [*self._reader.read(), *_produce(self._published.values(), self.start_ns, now, self._cap)]
        return MetricsData([ResourceMetrics(self._resource, [ScopeMetrics(self._scope, metrics, "")], SCHEMA_URL)])

    def _create_counter(self, metric: Metric) -> Counter | UpDownCounter:
        self._require(metric, Kind.COUNTER, Kind.UPDOWN)
        create = self._meter.create_counter if metric.kind is Kind.COUNTER else self._meter.create_up_down_counter
        return create(metric.name, metric.unit, metric.description)

    def _create_histogram(self, metric: Metric) -> HistogramInstrument:
        self._require(metric, Kind.HISTOGRAM)
        return self._meter.create_histogram(
            metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.boundaries
        )

    def _require(self, metric: Metric, *kinds: Kind) -> None:
        if metric.kind not in kinds:
            raise ValueError(f"{metric.name} is a {metric.kind}: it is not counted this way")
        if any(known.name == metric.name for known in (*self._counters, *self._histograms)):
            raise ValueError(f"{metric.name} is defined twice")


class _Provider(MeterProvider):
    """The SDK's, without its atexit hook, its exemplars, and its obedience to the workload's switch."""

    def __init__(self, reader: MetricReader, resource: Resource) -> None:
        super().__init__([reader], resource, AlwaysOffExemplarFilter(), shutdown_on_exit=False)
        # OTEL_SDK_DISABLED is often set for the workload, whose environment we share; it speaks of the workload's own SDK, not of its observer.
        self._disabled = False


class _Reader(MetricReader):
    """Collects when asked; cumulative, which Prometheus needs and OTLP takes."""

    def __init__(self) -> None:
        super().__init__()
        self._data: list[MetricsData] = []

    def read(self) -> list[Collected]:
        self._data = []
        self.collect()
        return [
            metric
            for data in self._data
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> None:  # noqa: ARG002 - the SDK's signature
        self._data = [metrics_data]

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Nothing is held."""


_Series = dict[frozenset[tuple[str, str]], Observation]


def _produce(published: Iterable[Sequence[Observation]], start_ns: int, now_ns: int, cap: int) -> list[Collected]:
    by_metric: dict[Metric, _Series] = {}
    for observations in published:
        for observation in observations:
            _insert(by_metric.setdefault(observation.metric, {}), observation, cap)
    return [_collected(metric, series, start_ns, now_ns) for metric, series in by_metric.items()]


def _insert(series: _Series, observation: Observation, cap: int) -> None:
    """Keep the last value of a series; past the cap, add up what can be added up and keep the last of the rest."""
    key = frozenset(observation.attributes.items())
    if len(series) >= cap and key not in series:
        key = frozenset(OVERFLOW.items())
        before = series.get(key)
        observation = observation._replace(attributes=OVERFLOW, start_ns=0)
        if before is not None and observation.metric.kind is not Kind.GAUGE:
            counts = [one + more for one, more in zip(before.counts, observation.counts, strict=True)]
            observation = observation._replace(value=before.value + observation.value, counts=counts)
    series[key] = observation


def _collected(metric: Metric, series: _Series, start_ns: int, now_ns: int) -> Collected:
    if metric.kind is Kind.HISTOGRAM:
        histograms = [_histogram(one, one.start_ns or start_ns, now_ns) for one in series.values()]
        return Collected(metric.name, metric.description, metric.unit, Histogram(histograms, AggregationTemporality.CUMULATIVE))
    gauge = metric.kind is Kind.GAUGE
    points = [NumberDataPoint(dict(one.attributes), 0 if gauge else one.start_ns or start_ns, now_ns, one.value) for one in series.values()]
    data = Gauge(points) if gauge else Sum(points, AggregationTemporality.CUMULATIVE, metric.kind is Kind.COUNTER)
    return Collected(metric.name, metric.description, metric.unit, data)


def _histogram(one: Observation, start_ns: int, now_ns: int) -> HistogramDataPoint:
    unknown = cast("float", None)  # smallest and largest value are optional (metrics/v1/metrics.proto)
    counts, bounds = list(one.counts), one.metric.boundaries
    return HistogramDataPoint(dict(one.attributes), start_ns, now_ns, sum(counts), one.value, counts, bounds, unknown, unknown)
