"""One configuration at work: its pipeline, its senders, its pages, from their start to their end.

    senders ─▶ sources … turn … sources end (`ending.py`) ─▶ what they held ─▶ senders drain ─▶ close

The nesting is the order: senders live in the outer task group and sources in the inner one, so that what the sources stored last can still be
sent. Nothing depends on a clean end: a kill at any point leaves rows, positions and cursors that agree.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent import __version__
from agent.component import Observing, Unread
from agent.crash import crash_point
from agent.errors import SpoolError, UnavailableError
from agent.failures import AgentDegraded
from agent.host import background
from agent.host.builder import Builder
from agent.host.delivery import Sender
from agent.host.delivery_state import State
from agent.host.ending import Ending
from agent.host.events import AgentStarted
from agent.host.identity import watched
from agent.host.metric_rows import MetricRows
from agent.host.status_reader import StatusReader
from agent.host.supervise import supervise
from agent.names import CHILD
from agent.status import PageInputs
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from agent.component import Exporter
    from agent.config.settings import Server, Settings
    from agent.exec.observed import ObservedCommand
    from agent.host.handover import Handover
    from agent.host.pipeline import Host, Pipeline, RunningSource
    from agent.host.probing import ProbePoller
    from agent.host.sampling import SamplerPoller
    from agent.record import Signal
    from agent.status import PageServer

SAMPLE_EVERY: Final = 5.0
"""Seconds between two samples of a command's resources."""
SEALING: Final = 1.0
"""Seconds that the end waits for a store that does not answer."""


@dataclass(frozen=True, slots=True)
class NothingToDo(Event):
    """Nothing is configured to be read or measured."""

    name = "nothing to do"
    level = Level.WARNING
    remedy: str = "write sources, samplers or probes in a file (-c), or set OUTRIDER_LOG_FILES, OUTRIDER_TARGET or OUTRIDER_PROBES"


@dataclass(frozen=True, slots=True)
class CheckingIn(Event):
    """The command of `exec` checks in as a cron monitor."""

    name = "checking in"
    monitor: str
    """The monitor's slug."""


class Generation:
    """One configuration at work, from its components' start to their end."""

    def __init__(
        self,
        settings: Settings,
        *,
        host: Host,
        life: asyncio.TaskGroup,
        command: ObservedCommand | None,
        handover: Handover,
        hurry: asyncio.Event,
        pages: Callable[[Server, PageInputs], PageServer],
    ) -> None:
        """`hurry` is set when the end must not wait for anything; `pages` makes the listeners."""
        self.settings = self._settings = settings
        self.unread = Unread()
        """Input that was written and not read when the agent ended."""
        self._handover = handover
        self._hurry = hurry
        self._ending: Ending | None = None
        """The sources' end, if it is the agent's."""
        self._host = host
        self._life = life
        self._command = command
        self._builder = Builder(settings, host)
        self._pipeline: Pipeline = self._builder.build()
        self._senders = [
            self._sender(name, exporter, kind) for name, exporter in self._pipeline.exporters for kind in sorted(exporter.signals)
        ]
        self._metric_rows = MetricRows(host, settings.metrics.temporality)
        self._address = ""
        reader = StatusReader(settings, host, self._pipeline, self._senders)
        refresh = functools.partial(background.check_ledger, host)
        self._pages = pages(settings.server, PageInputs(reader.read, refresh, host.spool, host.metrics, host.telemetry, host.clock))

    async def open(self) -> None:
        """Listen, and have rows kept for the destinations. UnavailableError: the address can't be used; nothing is left open then."""
        try:
            self._address = await self._pages.open(self._settings.state_dir)
        except OSError as error:
            reason = (
                os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
            )  # of a resolver it is negative
            text = f"can't listen on {self._settings.server.listen}: {reason}; give server.listen (OUTRIDER_LISTEN) another address"
            if self._command is None:
                await self.close()
                raise UnavailableError(text) from error
            self._host.telemetry.emit(AgentDegraded(text, "runs without its pages"))

    async def run(self, turn: asyncio.Event, ends: Callable[[], bool]) -> None:
        """Work until `turn` is set, then end in order; `ends` says whether that is the agent's end."""
        try:
            await self._register()
            async with asyncio.TaskGroup() as outgoing:
                sending = [outgoing.create_task(self._supervised(f"sender {s.status.destination}", s.run)) for s in self._senders]
                chores = [
                    outgoing.create_task(self._supervised(name, job))
                    for name, job in background.jobs(self._settings, self._host, self._pipeline, self._metric_rows)
                ]
                polling = await self._take_in(turn, ends, outgoing)
                await self._seal()
                await self._collect()
                for task in polling:
                    task.cancel()
                crash_point("runtime.sealed")
                await self._drain(sending)
                for task in (*sending, *chores):
                    task.cancel()
            if self._ending is not None:
                self.unread = await self._ending.report()
        finally:
            await self.close()

    async def _register(self) -> None:
        """Have rows kept for the destinations. The store does this before later jobs, so that a command does not wait for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if self._command is None else SEALING):
                await self._host.spool.configure({name: exporter.signals for name, exporter in self._pipeline.exporters})

    async def close(self) -> None:
        """Release everything, whatever was started."""
        with contextlib.suppress(OSError):  # the socket's directory may be gone
            await self._pages.close()
        await self._pipeline.close()

    async def _take_in(self, turn: asyncio.Event, ends: Callable[[], bool], outgoing: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Run the sources until `turn`; return when all of them have ended, with the tasks of samplers and probes, which still run."""
        async with asyncio.TaskGroup() as incoming:
            self._name_target()
            self._attach_child()
            await self._handover.hand_on(self._pipeline.sources)
            tasks = [incoming.create_task(self._run_source(one)) for one in self._pipeline.sources]
            pollers: list[SamplerPoller | ProbePoller] = [*self._pipeline.samplers, *self._pipeline.probes]
            polling = [outgoing.create_task(self._supervised(poller.name, poller.run)) for poller in pollers]
            if self._pipeline.observer is not None:
                tasks.append(incoming.create_task(self._supervised("observer", self._pipeline.observer.run)))
            self._host.telemetry.emit(AgentStarted(version=__version__, state_dir=str(self._settings.state_dir), address=self._address))
            if self._command is None and not (tasks or polling):
                self._host.telemetry.emit(NothingToDo())
            elif self._command is not None and self._settings.errors.check_ins:
                self._host.telemetry.emit(CheckingIn(self._settings.errors.monitor))
            crash_point("runtime.started")
            await turn.wait()
            crash_point("runtime.stopping")
            if ends():
                over = self._command is not None and self._command.is_over
                self._ending = Ending(self._pipeline, self._host, self._settings.shutdown.grace, self._hurry, writer_ended=over)
                await self._ending.linger()
            for task in tasks:
                task.cancel()
        if self._ending is not None:  # the rest of the sources' input is stored where possible, else counted
            await self._ending.finish()
            await self._handover.finish()
            await self._ending.count()
        return polling

    def _name_target(self) -> None:
        """The resource has `process.*` where the target is one process: not one of several that come after one another."""
        kind, _, number = watched(self._settings).partition(":")
        if kind == "pid":
            self._builder.identify(int(number))

    def _attach_child(self) -> None:
        """Take the wrapped command's output into this pipeline, and measure the command unless the configuration measures another target."""
        if self._command is None:
            return
        command = self._command
        for probe in self._pipeline.probes:
            probe.planned = command.ended_in_order
        child = command.attach(self._builder.intake(CHILD, replayable=False).emit, self._life)
        if child is None:
            return
        if child.exit is None:
            self._builder.begin(f"{CHILD}:{child.pid}:{child.began_ns}", child.began_ns)
        self._builder.follow(child.pid)
        if not any(isinstance(poller.sampler, Observing) for poller in self._pipeline.samplers):
            poller = self._builder.target_sampler(f"pid:{child.pid}", SAMPLE_EVERY)
            command.before_reaping = poller.sampler.sample
            self._pipeline.samplers.append(poller)

    async def _seal(self) -> None:
        """Store the records that were waiting for more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEALING):
                for probe in self._pipeline.probes:
                    await probe.report(last=True)
        if self._pipeline.issues is not None:
            with contextlib.suppress(TimeoutError):  # the store does not answer; what is not stored was not reported either
                async with asyncio.timeout(SEALING if self._host.spool.takes_rows else SEALING / 10):
                    await self._pipeline.issues.finish()

    async def _collect(self) -> None:
        """Sample and collect once more, for the time since the last collection; for a short job this is the only one."""
        with contextlib.suppress(TimeoutError, SpoolError):  # the store does not answer, which it reports itself
            async with asyncio.timeout(SEALING):
                await background.collect_last(self._host, self._pipeline, self._metric_rows)

    async def _drain(self, sending: Sequence[asyncio.Task[None]]) -> None:
        """Continue sending until nothing is left, or the time is up.

        After a command that has ended by itself a destination that has not failed has what is left of `shutdown.grace`: nothing waits for such an
        end with a kill, and its records may be nowhere else.
        """
        clock, ending, command = self._host.clock, self._ending, self._command
        soon = clock.monotonic() + self._settings.shutdown.drain - (ending.spare if ending is not None else 0.0)
        late = ending.deadline if ending is not None and command is not None and not command.is_asked_to_end else soon
        for sender in self._senders:
            sender.drain()
        waiting = dict(zip(sending, self._senders, strict=True))
        while waiting and not self._hurry.is_set():
            well = any(sender.status.state is State.OK for sender in waiting.values())
            if clock.monotonic() >= (max(soon, late) if well else soon):
                return
            done, _ = await asyncio.wait(waiting, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                del waiting[task]

    def _sender(self, name: str, exporter: Exporter, kind: Signal) -> Sender:
        host = self._host
        return Sender(exporter, kind, destination=name, spool=host.spool, clock=host.clock, telemetry=host.telemetry, metrics=host.metrics)

    async def _run_source(self, one: RunningSource) -> None:
        run = functools.partial(one.source.run, one.intake.emit)
        telemetry = self._host.telemetry
        await supervise(f"source {one.name}", run, clock=self._host.clock, telemetry=telemetry, health=one.health)

    def _supervised(self, name: str, run: Callable[[], Awaitable[None]]) -> Coroutine[None, None, None]:
        return supervise(name, run, clock=self._host.clock, telemetry=self._host.telemetry)
