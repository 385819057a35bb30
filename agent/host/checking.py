"""`outrider check`: builds everything that is configured, starts nothing, and on request delivers one test record to each destination."""

from __future__ import annotations

import asyncio
import gzip
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.clock import SystemClock
from agent.component import Checkable, Doubtful
from agent.encode.otlp_logs import LogEncoder
from agent.errors import OutriderError, RejectedError
from agent.host.builder import Builder
from agent.host.pipeline import Host
from agent.metrics import Kind, Metric, Metrics, Observation
from agent.names import EVENT_NAME, SERVICE_NAME
from agent.record import LogRecord, Origin, Payload, Row, Severity, Signal
from agent.spool.spool import Spool
from agent.telemetry import Telemetry
from agent.writable import why_not_writable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from pathlib import Path

    from agent.component import Exporter
    from agent.config.settings import Settings
    from agent.host.pipeline import Pipeline
    from agent.record import Value


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
    host = Host(clock, metrics, Telemetry(metrics, clock), Spool(settings.state_dir))  # never opened: a running agent may have it
    pipeline = Builder(settings, host).build()
    try:
        found = [*built(pipeline), *unusable(settings.state_dir)]
        if send:
            found += [finding for name, exporter in pipeline.exporters for finding in await ask(name, exporter, settings)]
        return found
    finally:
        await pipeline.close()


def built(pipeline: Pipeline) -> Iterable[Finding]:
    """One line per component that could be built; one that can't be is a configuration error."""
    parts: list[tuple[str, object]] = [(f"source {one.name}", one.source) for one in pipeline.sources]
    parts += [(f"sampler {one.name}", one.sampler) for one in pipeline.samplers]
    parts += [(f"probe {one.name}", one.probe) for one in pipeline.probes]
    parts += [(f"exporter {name}", exporter) for name, exporter in pipeline.exporters]
    for name, part in parts:
        doubts = part.doubts() if isinstance(part, Doubtful) else []
        yield Finding(name, "; ".join(["built", *(f"warning: {doubt}" for doubt in doubts)]), well=True)
    if not parts:
        yield Finding("configuration", NOTHING, well=True)


def unusable(state_dir: Path) -> Iterable[Finding]:
    """A line if the state directory can't be written."""
    if why := why_not_writable(state_dir):
        yield Finding(f"state directory {state_dir}", f"{why}; or name another one with state_dir (OUTRIDER_STATE_DIR)", well=False)


async def ask(name: str, exporter: Exporter, settings: Settings) -> list[Finding]:
    """Deliver one test record of each signal that the destination takes, if there is an example: signals may have different endpoints."""
    if isinstance(exporter, Checkable):
        return [await _answer(f"destination {name}", exporter.check())]
    kinds = [signal for signal in EXAMPLES if signal in exporter.signals]
    asked = [await _answer(f"destination {name} ({kind})", _deliver(exporter, example(kind, settings))) for kind in kinds]
    return asked or [Finding(f"destination {name}", "there is no test record for what it takes; nothing was sent", well=False)]


async def _answer(name: str, asking: Awaitable[str]) -> Finding:
    try:
        return Finding(name, await asking, well=True)
    except OutriderError as error:
        return Finding(name, str(error), well=False)


async def _deliver(exporter: Exporter, row: Row) -> str:
    accepted = await exporter.export(row)
    if accepted.rejected:
        raise RejectedError(f"refused: {accepted.message}")
    return "took the test record" + (f"; warning: {accepted.message}" if accepted.message else "")


def example(signal: Signal, settings: Settings) -> Row:
    """A row with the one test record."""
    made = EXAMPLES[signal](settings)
    return Row(0, signal, "check", made.records, gzip.compress(made.body, mtime=0), len(made.body), SystemClock().wall_ns())


def _log(settings: Settings) -> Payload:
    now = SystemClock().wall_ns()
    record = LogRecord(now, now, Severity.INFO, "INFO", TEXT, {EVENT_NAME: "outrider.check"}, Origin("check"), 0)
    return Payload(Signal.LOGS, 1, LogEncoder(settings.service.resource()).encode([record]))


def _metric(settings: Settings) -> Payload:
    from agent.encode.otlp_metrics import metrics_payload  # noqa: PLC0415 - only for a destination of metrics

    metrics = Metrics(settings.service.resource(), SystemClock())
    metrics.publish("check", [Observation(Metric("outrider.check", Kind.GAUGE, "", TEXT), 1.0)])
    return metrics_payload(metrics.collect())


def _error(settings: Settings) -> Payload:
    from agent.issues.envelope.format import json_item, make  # noqa: PLC0415 - only for a destination of errors

    event_id = uuid.uuid4().hex
    event: dict[str, Value] = {
        "event_id": event_id,
        "timestamp": SystemClock().wall_ns() / 1e9,
        "level": "info",
        "platform": "other",
        "message": TEXT,
    }
    body = make([json_item("event", event)], service=settings.service.resource().get(SERVICE_NAME, ""), event_id=event_id)
    return Payload(Signal.SENTRY_ERROR, 1, body)


TEXT: Final = "outrider check: a test record"
NOTHING: Final = (
    "valid, but nothing is configured to be read, measured or sent: write `sources`, `samplers`, `probes` and `exporters` in a file (-c), or set "
    "OUTRIDER_LOG_FILES, OUTRIDER_TARGET, OUTRIDER_PROBES, OTEL_EXPORTER_OTLP_ENDPOINT, SENTRY_DSN"
)
EXAMPLES: Final = {Signal.LOGS: _log, Signal.METRICS: _metric, Signal.SENTRY_ERROR: _error}
