"""`/metrics`: the view of our instruments that Prometheus reads, in its text format 0.0.4 and in OpenMetrics 1.0.

Names follow the OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md: dots become underscores, the unit is spelled out at
the end, a counter ends in `_total`. A name that says its unit already (`probe_duration_seconds`) stays as it is. One thing is our own: `_count` is
a histogram's in Prometheus, so that `process.thread.count` becomes `process_threads`.

prometheus-client negotiates and writes; the conversion is ours, because the stock one takes several times as long and adds three scope labels to
every series. Its global registry, where its import puts collectors for our own process, is not used.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics.export import Histogram, HistogramDataPoint, NumberDataPoint, Sum
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from agent.errors import SpoolError
from agent.net.server_message import ServerRequest, ServerResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from opentelemetry.sdk.metrics.export import Metric as Collected
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.util.types import AnyValue

    from agent.metrics import Metrics

REFRESH_TIME: Final = 1.0
"""Seconds that a scrape waits for fresh figures; then it gets the previous ones."""

_UNITS: Final = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "Cel": "celsius",
    "Hz": "hertz",
    "%": "percent",
}
"""UCUM code → the word that Prometheus uses."""

_RATES: Final = {"s": "second", "min": "minute", "h": "hour", "d": "day"}
_ANNOTATION: Final = re.compile(r"\{[^}]*\}")
_NAME: Final = re.compile(r"[^a-zA-Z0-9_]+")
"""A colon is allowed in names, but is meant for recording rules."""
_LABEL: Final = re.compile(r"[^a-zA-Z0-9_]")
_OPENMETRICS: Final = "application/openmetrics-text"
_QUALITY: Final = re.compile(r";\s*q=([01](?:\.[0-9]{0,3})?)\s*(?:;|$)")
_VERSIONS: Final = ("0.0.1", "0.0.4", "1.0.0")
"""The versions of both formats that Prometheus asks for and that this page can answer."""


class MetricsPage:
    """The route."""

    def __init__(self, metrics: Metrics, refresh: Callable[[], Awaitable[None]] | None = None) -> None:
        """`refresh` publishes the figures that are read only for a scrape. Its SpoolError or its delay makes them stale, and does not fail the page."""
        self._metrics = metrics
        self._refresh = refresh

    async def __call__(self, request: ServerRequest) -> ServerResponse:
        """Return all series in the format that `Accept` asks for; by default text 0.0.4."""
        if self._refresh is not None:
            with suppress(TimeoutError, SpoolError):
                async with asyncio.timeout(REFRESH_TIME):
                    await self._refresh()
        encode, content_type = choose_encoder(answerable(request.headers.get("accept", "")))
        created = content_type.startswith(_OPENMETRICS)
        return ServerResponse(encode(Collection(self._metrics, created=created)), content_type=content_type)


class Collection(Collector):
    """The agent's metrics as a collector of prometheus-client."""

    def __init__(self, metrics: Metrics, *, created: bool) -> None:
        """`created` adds the start times, which only OpenMetrics has."""
        self._metrics = metrics
        self._created = created

    def collect(self) -> Iterable[Family]:
        """Return the present families."""
        return families(self._metrics.collect(), created=self._created)


def answerable(accept: str) -> str:
    """Return an `Accept` header without the items that prometheus-client would answer wrongly.

    It ignores `q` (RFC 9110 section 12.4.2), takes any version above 1 for one that it writes, and fails on one that is not a number.
    """
    items = [item for item in accept.split(",") if _is_answerable(item)]
    if _weight(items, "text/plain") > _weight(items, _OPENMETRICS):
        items = [item for item in items if _media_type(item) != _OPENMETRICS]
    return ",".join(items)


def _weight(items: list[str], media_type: str) -> float:
    """Return the weight of a media type that the client lists: 0 to 1."""
    return max(
        (float(match[1]) if (match := _QUALITY.search(item)) else 1.0 for item in items if _media_type(item) == media_type), default=0.0
    )


def _media_type(item: str) -> str:
    return item.partition(";")[0].strip()


def _is_answerable(item: str) -> bool:
    parameters = dict(part.strip().partition("=")[::2] for part in item.split(";")[1:])
    return parameters.get("version", "1.0.0") in _VERSIONS and parameters.get("q", "1").strip("0.") != ""


def families(data: MetricsData, *, created: bool) -> list[Family]:
    """Return Prometheus' families, `target_info` first, then by name. `created` adds the start times, which only OpenMetrics has."""
    found: dict[str, Family] = {}
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                _add(found, metric, created=created)
    targets = [_target_info(resource.resource.attributes) for resource in data.resource_metrics]
    return targets[:1] + [found[name] for name in sorted(found)]


def _target_info(attributes: Mapping[str, AnyValue]) -> Family:
    family = Family("target", "Target metadata", "info")
    family.add_sample("target_info", _labels(attributes), 1)
    return family


def _add(found: dict[str, Family], metric: Collected, *, created: bool) -> None:
    kind = _type(metric)
    name = family_name(metric.name, metric.unit or "", kind)
    family = found.setdefault(name, Family(name, metric.description or metric.name, kind))
    if family.type != kind:  # two metrics whose names differ only in characters that Prometheus does not have
        return
    for point in metric.data.data_points:
        labels = _labels(point.attributes or {})
        if isinstance(point, NumberDataPoint):
            family.add_sample(f"{name}_total" if kind == "counter" else name, labels, point.value)
        elif isinstance(point, HistogramDataPoint):
            _add_histogram(family, labels, point)
        if created and kind != "gauge":
            family.add_sample(f"{name}_created", labels, point.start_time_unix_nano / 1e9)


def _type(metric: Collected) -> str:
    if isinstance(metric.data, Histogram):
        return "histogram"
    return "counter" if isinstance(metric.data, Sum) and metric.data.is_monotonic else "gauge"


def _add_histogram(family: Family, labels: dict[str, str], point: HistogramDataPoint) -> None:
    total = 0
    for bound, count in zip((*point.explicit_bounds, inf), point.bucket_counts, strict=True):
        total += count
        family.add_sample(f"{family.name}_bucket", {**labels, "le": "+Inf" if bound == inf else repr(float(bound))}, total)
    family.add_sample(f"{family.name}_count", labels, point.count)
    family.add_sample(f"{family.name}_sum", labels, point.sum)


def _labels(attributes: Mapping[str, AnyValue]) -> dict[str, str]:
    """Return the labels. Values of attributes whose names become one label are joined by `;`, in the order of the original keys."""
    labels: dict[str, str] = {}
    for key in sorted(attributes):
        name, value = label_name(key), str(attributes[key])
        labels[name] = f"{labels[name]};{value}" if name in labels else value
    return labels


@lru_cache(maxsize=1024)
def label_name(key: str) -> str:
    """Return the label of an attribute. Prometheus reserves labels that begin with two underscores: it refuses `__name__` and drops the others."""
    name = _LABEL.sub("_", key)
    reserved = name.startswith("__")
    return f"key_{name.lstrip('_')}" if reserved or name[:1].isdigit() or not name else name


@lru_cache(maxsize=1024)
def family_name(name: str, unit: str, kind: str) -> str:
    """Return the family's name, without the `_total` of a counter, which its samples have."""
    base = _NAME.sub("_", name).strip("_").removesuffix("_total")
    if base.endswith("_count") and kind == "gauge":
        base = f"{base.removesuffix('_count')}s"
    word = unit_word(unit, kind)
    if word and not base.endswith(f"_{word}") and base != word:
        base = f"{base}_{word}"
    return f"_{base}" if base[:1].isdigit() else base


def unit_word(unit: str, kind: str) -> str:
    """Return Prometheus' word for a UCUM unit; "" if it has none."""
    bare = _ANNOTATION.sub("", unit).strip()
    if bare == "1":
        return "ratio" if kind == "gauge" else ""
    amount, slash, per = bare.partition("/")
    word = _UNITS.get(amount, _LABEL.sub("_", amount))
    return f"{word}_per_{_RATES.get(per, _LABEL.sub('_', per))}".strip("_") if slash and per else word
