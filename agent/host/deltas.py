"""Cumulative collections → delta ones, for backends that want it (OTLP exporter specification, "Temporality preference"). Pure.

    delta       counters and histograms are deltas
    lowmemory   the same, except for counters that are counted elsewhere: those would need their last value
    up-down counters and gauges stay as they are

A delta counts from the point that was stored last. The last values are a position, stored in one transaction with the points that they belong
to: no kill counts anything twice, and a counter that is older than the agent (the ledger) continues.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

import orjson
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    Sum,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Preference = Literal["cumulative", "delta", "lowmemory"]
KEY: Final = "delta"
"""The position that holds the last values."""
DELTA: Final = AggregationTemporality.DELTA


class Last(NamedTuple):
    """A series as it was stored last."""

    start_ns: int
    """The time when its count began; another value means that it began again."""
    time_ns: int
    values: list[float]
    """The value; of a histogram the sum, and the count of each bucket."""


Series = dict[str, Last]


class Deltas:
    """The value of each series that was stored last."""

    def __init__(self, preference: Preference, stored: bytes | None, start_ns: int) -> None:
        """`stored` is the position, None if there is none yet; the agent counts since `start_ns`."""
        self._preference = preference
        self._start_ns = start_ns
        self._last: Series = {key: Last(*last) for key, last in orjson.loads(stored or b"{}").items()}

    def convert(self, data: MetricsData) -> tuple[MetricsData, Series]:
        """The points since the last ones, and the values to remember once these are stored."""
        seen: Series = {}
        resources = [
            replace(
                resource, scope_metrics=[replace(scope, metrics=[self._metric(one, seen) for one in scope.metrics]) for scope in scopes]
            )
            for resource in data.resource_metrics
            for scopes in [resource.scope_metrics]
        ]
        return MetricsData(resources), seen

    def stored(self, seen: Series) -> None:
        """The points of this collection are stored."""
        self._last = seen

    def _metric(self, metric: Metric, seen: Series) -> Metric:
        data = metric.data
        if isinstance(data, Histogram):
            histograms = [self._histogram(metric.name, point, seen) for point in data.data_points]
            return replace(metric, data=Histogram(histograms, DELTA))
        if not isinstance(data, Sum) or not data.is_monotonic or (self._preference == "lowmemory" and self._is_older(data.data_points)):
            return metric
        return replace(metric, data=Sum([self._number(metric.name, point, seen) for point in data.data_points], DELTA, is_monotonic=True))

    def _is_older(self, points: Iterable[NumberDataPoint]) -> bool:
        return any((point.start_time_unix_nano or 0) < self._start_ns for point in points)

    def _number(self, name: str, point: NumberDataPoint, seen: Series) -> NumberDataPoint:
        since, [value] = self._since(name, point, [point.value], seen)
        return replace(point, start_time_unix_nano=since, value=value)

    def _histogram(self, name: str, point: HistogramDataPoint, seen: Series) -> HistogramDataPoint:
        """Without smallest and largest value: they are known since the start only, not for a delta."""
        since, [total, *buckets] = self._since(name, point, [point.sum, *point.bucket_counts], seen)
        counts = cast("list[int]", buckets)
        nothing = cast("float", None)  # as the protocol has it: optional
        return replace(point, start_time_unix_nano=since, sum=total, bucket_counts=counts, count=sum(counts), min=nothing, max=nothing)

    def _since(self, name: str, point: NumberDataPoint | HistogramDataPoint, values: list[float], seen: Series) -> tuple[int, list[float]]:
        """Since when the values count that were not stored yet, and these values."""
        key, start = _key(name, point.attributes or {}), point.start_time_unix_nano or 0
        seen[key] = Last(start, point.time_unix_nano, values)
        last = self._last.get(key)
        if last is None or last.start_ns != start or any(new < old for new, old in zip(values, last.values, strict=True)):
            return start, values
        return last.time_ns, [new - old for new, old in zip(values, last.values, strict=True)]


def dump(seen: Series) -> bytes:
    """The position."""
    return orjson.dumps({key: list(last) for key, last in seen.items()})


def _key(name: str, attributes: Mapping[str, object]) -> str:
    return "\0".join([name, *(f"{key}={value}" for key, value in sorted(attributes.items()))])
