"""Puts collections of metrics into the spool, for the destinations that take metrics."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from agent.errors import SpoolError

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

    from agent.host.deltas import Deltas, Preference
    from agent.host.pipeline import Host

METRICS_SOURCE: Final = "outrider.metrics"
"""The source name of the agent's own metric rows."""


class MetricRows:
    """One collection, one row."""

    def __init__(self, host: Host, preference: Preference) -> None:
        self._host = host
        self._preference = preference
        self._deltas: Deltas | None = None

    async def store(self) -> None:
        """Collect all metrics once and store them as one row; a full spool evicts the oldest such rows first, and counts them."""
        with contextlib.suppress(SpoolError):  # the next collection carries the same counts
            data = self._host.metrics.collect()
            await (self._append(data, {}) if self._preference == "cumulative" else self._append_deltas(data))

    async def _append_deltas(self, data: MetricsData) -> None:
        from agent.host import deltas  # noqa: PLC0415 - only where they are configured

        if self._deltas is None:
            stored = await self._host.spool.positions(METRICS_SOURCE)
            self._deltas = deltas.Deltas(self._preference, stored.get(deltas.KEY), self._host.metrics.start_ns)
        since, seen = self._deltas.convert(data)
        await self._append(since, {deltas.KEY: deltas.dump(seen)})
        self._deltas.stored(seen)

    async def _append(self, data: MetricsData, positions: dict[str, bytes | None]) -> None:
        from agent.encode.otlp_metrics import metrics_payload  # noqa: PLC0415 - only where a destination takes metrics

        payload = metrics_payload(data)
        if payload.records:
            await self._host.spool.append(METRICS_SOURCE, [payload], positions, {}, replayable=False)
