"""`outrider check`: builds everything that is configured, starts nothing, and on request delivers one test record to each destination."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, NamedTuple

from agent.clock import SystemClock
from agent.component import Checkable
from agent.encode.otlp_logs import LogEncoder
from agent.errors import OutriderError
from agent.metrics import Metrics
from agent.pipeline import Builder, Host
from agent.record import LogRecord, Origin, Row, Severity, Signal
from agent.spool.spool import Spool
from agent.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.component import Exporter
    from agent.config.settings import Settings
    from agent.pipeline import Pipeline


class Finding(NamedTuple):
    """One line of the answer."""

    name: str
    outcome: str
    well: bool


def check_settings(settings: Settings, *, send: bool) -> list[Finding]:
    """Build the pipeline; with `send`, also ask each destination."""
    return asyncio.run(_check(settings, send))


async def _check(settings: Settings, send: bool) -> list[Finding]:
    clock = SystemClock()
    metrics = Metrics(settings.service.resource(), clock)
    host = Host(clock, metrics, Telemetry(metrics, clock), Spool(lambda _event: None))  # never opened: a running agent may have it
    pipeline = Builder(settings, host).build()
    try:
        found = list(built(pipeline))
        if send:
            found += [await ask(name, exporter, settings) for name, exporter in pipeline.exporters]
        return found
    finally:
        await pipeline.close()


def built(pipeline: Pipeline) -> Iterable[Finding]:
    """One line per component that could be built; one that can't be is told as a configuration error."""
    names = [f"source {one.name}" for one in pipeline.sources]
    names += [f"sampler {one.name}" for one in pipeline.samplers]
    names += [f"probe {one.name}" for one in pipeline.probes]
    names += [f"exporter {name}" for name, _ in pipeline.exporters]
    return [Finding(name, "built", well=True) for name in names] or [Finding("configuration", "valid, and nothing to do", well=True)]


async def ask(name: str, exporter: Exporter, settings: Settings) -> Finding:
    """Deliver one test record."""
    try:
        if isinstance(exporter, Checkable):
            answer = await exporter.check()
        elif Signal.LOGS in exporter.signals:
            accepted = await exporter.export(example(settings))
            answer = f"refused: {accepted.message}" if accepted.rejected else "took the test record"
            return Finding(f"destination {name}", answer, well=not accepted.rejected)
        else:
            answer = "takes no logs; nothing was sent"
    except OutriderError as error:
        return Finding(f"destination {name}", str(error), well=False)
    return Finding(f"destination {name}", answer, well=True)


def example(settings: Settings) -> Row:
    """A row with the one test record."""
    now = SystemClock().wall_ns()
    record = LogRecord(
        now, now, Severity.INFO, "INFO", "outrider check: a test record", {"event.name": "outrider.check"}, Origin("check"), 0
    )
    body = LogEncoder(settings.service.resource()).encode([record])
    return Row(0, Signal.LOGS, "check", 1, gzip.compress(body, mtime=0), len(body), now)
