"""Gathers what is known at this moment into a `Status`: from the pipeline's parts, the spool and its ledger."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from agent import __version__
from agent.component import Troubled
from agent.status import DestinationFacts, Figure, NoticeFacts, SourceFacts, SpoolFacts, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.config.settings import Settings
    from agent.host.delivery import Sender
    from agent.host.pipeline import Host, Pipeline, RunningSource
    from agent.spool.values import Ledger, LedgerLine, SpoolStat


class StatusReader:
    """The facts of one pipeline."""

    def __init__(self, settings: Settings, host: Host, pipeline: Pipeline, senders: Sequence[Sender]) -> None:
        self._settings = settings
        self._host = host
        self._pipeline = pipeline
        self._senders = senders
        self._started_ns = host.clock.wall_ns()

    async def read(self) -> Status:
        """Everything, now. A store that does not answer has its last figures; SpoolError: it has none yet."""
        ledger, stat = await self._host.spool.ledger(), await self._host.spool.stat()
        now_ns = self._host.clock.wall_ns()
        return Status(
            version=__version__,
            pid=os.getpid(),
            started_ns=self._started_ns,
            now_ns=now_ns,
            state_dir=str(self._settings.state_dir.absolute()),
            resource=self._settings.service.resource(),
            spool=spool_facts(stat),
            sources=tuple(source_facts(self._pipeline.sources, ledger, now_ns)),
            destinations=tuple(destination_facts(self._senders, ledger)),
            probes=tuple(poller.last for poller in self._pipeline.probes if poller.last is not None),
            absent=tuple(self._absent()),
            figures=tuple(self._figures()),
            violations=ledger.violations(),
            notices=tuple(
                NoticeFacts(one.time_ns, one.level.name.lower(), one.name, one.details, one.count) for one in self._host.telemetry.recent
            ),
        )

    def _absent(self) -> Iterable[tuple[str, str]]:
        for poller in self._pipeline.samplers:
            if isinstance(poller.sampler, Troubled):
                yield from ((poller.name, trouble) for trouble in poller.sampler.troubles())

    def _figures(self) -> Iterable[Figure]:
        for poller in self._pipeline.samplers:
            for one in self._host.metrics.published(poller.name):
                yield Figure(one.metric.name, one.value, one.metric.unit, one.attributes)


def spool_facts(stat: SpoolStat) -> SpoolFacts:
    """The store, as the page shows it."""
    return SpoolFacts(stat.state, stat.reason, stat.used, stat.quota, stat.rows, stat.dead_letters, stat.oldest_ns)


def source_facts(sources: Sequence[RunningSource], ledger: Ledger, now_ns: int) -> Iterable[SourceFacts]:
    """The configured sources, and all else that has stored something (the agent's own metrics, probes, the child)."""
    stored: dict[str, list[LedgerLine]] = defaultdict(list)
    for line in ledger.stored:
        stored[line.source].append(line)
    drops: dict[str, dict[str, int]] = defaultdict(dict)
    for drop in ledger.drops:
        source, reason, count = drop
        drops[source][reason] = count
    for one in sources:
        lines = stored.pop(one.name, [])
        lag = None if one.intake.newest_ns is None else max(0.0, (now_ns - one.intake.newest_ns) / 1e9)
        troubles = one.source.troubles() if isinstance(one.source, Troubled) else ()
        yield replace(_source(one.name, one.type, one.health.reason, lines, drops[one.name], lag=lag), troubles=tuple(troubles))
    for name in sorted({*stored, *drops} - {one.name for one in sources}):
        yield _source(name, "host", "", stored[name], drops[name], lag=None)


def _source(name: str, kind: str, reason: str, lines: Sequence[LedgerLine], drops: Mapping[str, int], *, lag: float | None) -> SourceFacts:
    accepted, pending = sum(line.accepted for line in lines), sum(line.pending for line in lines)
    return SourceFacts(name, kind, running=not reason, reason=reason, accepted=accepted, pending=pending, lag_seconds=lag, drops=drops)


def destination_facts(senders: Iterable[Sender], ledger: Ledger) -> Iterable[DestinationFacts]:
    """The state of each sender's destination, and its lines of the ledger."""
    for sender in senders:
        status = sender.status
        lines = [line for line in ledger.lines if (line.destination, line.signal) == (status.destination, status.signal)]
        yield DestinationFacts(
            name=status.destination,
            signal=status.signal,
            state=status.state,
            sent=sum(line.sent for line in lines),
            pending=sum(line.pending for line in lines),
            rejected=sum(line.rejected for line in lines),
            dead_lettered=sum(line.dead_lettered for line in lines),
            evicted=sum(line.evicted for line in lines),
            last_success_ns=status.last_success_ns,
            last_error=status.last_error,
            last_error_ns=status.last_error_ns,
        )
