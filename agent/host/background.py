"""The jobs that the host runs every few seconds: publish and check the ledger, put metrics into the spool, report what was folded."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.clock import every
from agent.history.store import FLUSH_EVERY
from agent.host.own_figures import process_figures, spool_figures
from agent.lean import give_back
from agent.metrics import Kind, Metric, Observation
from agent.record import Signal
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from agent.config.settings import Settings
    from agent.host.metric_rows import MetricRows
    from agent.host.pipeline import Host, Pipeline
    from agent.spool.values import Ledger, LedgerLine

CHECK_EVERY: Final = 10.0
"""Seconds between two checks of the invariant."""
TELL_EVERY: Final = 5.0
"""Seconds between two reports of folded events."""
TRIM_EVERY: Final = 10.0
"""Seconds between two returns of free memory to the system, so that the memory of a burst does not stay until the next start. A return takes less than a millisecond."""

_RECORDS: Final = {
    "accepted": "Records stored in the spool.",
    "sent": "Records that the destination took.",
    "rejected": "Records that the destination refused within a request it took (partial success).",
    "dead_lettered": "Records that the destination will never take; they are kept as dead letters.",
    "evicted": "Records that made room for newer ones before they were sent.",
}
RECORDS: Final = {key: Metric(f"outrider.records.{key}", Kind.COUNTER, "{record}", text) for key, text in _RECORDS.items()}
PENDING: Final = Metric(
    "outrider.records.pending", Kind.GAUGE, "{record}", "Records stored and not yet at their end, counted from the rows."
)
DROPPED: Final = Metric(
    "outrider.records.dropped",
    Kind.COUNTER,
    "{record}",
    "Records that were not read, not whole, or not understood and stored as plain text, by reason.",
)
VIOLATIONS: Final = Metric(
    "outrider.ledger.violations",
    Kind.COUNTER,
    "{violation}",
    "Failed checks of accepted = sent + rejected + dead-lettered + evicted + pending.",
)


@dataclass(frozen=True, slots=True)
class LedgerViolated(Event):
    """accepted = sent + rejected + dead-lettered + evicted + pending does not hold: a bug, and the most serious one."""

    name = "ledger violated"
    level = Level.ERROR
    counter = VIOLATIONS
    labels = ("source", "destination", "signal")
    source: str
    destination: str
    signal: str
    detail: str


def jobs(settings: Settings, host: Host, pipeline: Pipeline, rows: MetricRows) -> Iterable[tuple[str, Callable[[], Awaitable[None]]]]:
    """Names and functions of what runs beside the senders."""
    yield "ledger", functools.partial(every, host.clock, CHECK_EVERY, functools.partial(check_ledger, host))
    yield "telemetry", functools.partial(every, host.clock, TELL_EVERY, functools.partial(_flush, host))
    if host.history is not None:
        yield "history", functools.partial(every, host.clock, FLUSH_EVERY, host.history.flush)
    yield "memory", functools.partial(every, host.clock, TRIM_EVERY, _trim)
    if pipeline.issues is not None:
        yield "errors", pipeline.issues.run
    if takes_metrics(pipeline):
        yield "metrics", functools.partial(every, host.clock, settings.metrics.interval, rows.store)


def takes_metrics(pipeline: Pipeline) -> bool:
    """Whether a destination takes metrics."""
    return any(Signal.METRICS in exporter.signals for _, exporter in pipeline.exporters)


async def collect_last(host: Host, pipeline: Pipeline, rows: MetricRows) -> None:
    """Take a last sample of everything and store a last collection, where a destination takes it."""
    if takes_metrics(pipeline):
        for poller in pipeline.samplers:
            await poller.sample()
        await check_ledger(host)
        await rows.store()


async def check_ledger(host: Host) -> None:
    """Publish the account with the agent's own figures, and compare it with the rows."""
    ledger = await host.spool.ledger()
    own = (*process_figures(), *spool_figures(await host.spool.stat(), host.clock.wall_ns()))
    host.metrics.publish("ledger", [*observations(ledger, host.since_ns), *own])
    for line in (*ledger.lines, *ledger.stored):
        if line.balance:
            host.telemetry.emit(LedgerViolated(line.source, line.destination, line.signal, f"off by {line.balance}"))


def observations(ledger: Ledger, since_ns: int = 0) -> list[Observation]:
    """The account as series: per source, destination and signal; what the spool accepted has no destination.

    It continues over restarts and counts since `since_ns`, nanoseconds since the Unix epoch.
    """
    found = [one for line in ledger.lines for one in _line(line, since_ns)]
    found += [Observation(RECORDS["accepted"], line.accepted, _labels(line), since_ns) for line in ledger.stored]
    found += [Observation(DROPPED, count, {"source": source, "reason": reason}, since_ns) for source, reason, count in ledger.drops]
    return found


def _line(line: LedgerLine, since_ns: int) -> Iterable[Observation]:
    labels = _labels(line)
    yield Observation(RECORDS["sent"], line.sent, labels, since_ns)
    yield Observation(RECORDS["rejected"], line.rejected, labels, since_ns)
    yield Observation(RECORDS["dead_lettered"], line.dead_lettered, labels, since_ns)
    yield Observation(RECORDS["evicted"], line.evicted, labels, since_ns)
    yield Observation(PENDING, line.pending, labels)


def _labels(line: LedgerLine) -> dict[str, str]:
    labels = {"source": line.source, "signal": line.signal}
    return labels | {"destination": line.destination} if line.destination else labels


async def _flush(host: Host) -> None:
    host.telemetry.flush()


async def _trim() -> None:
    give_back()
