"""The life of the agent: open the spool, run one pipeline after another until asked to stop, close. Start, supervise, stop; nothing else.

    open spool ─▶ ┌ build pipeline ─▶ senders ─▶ sources … stop or reload … sources end ─▶ senders drain ┐ ─▶ close spool
                  └───────────────────────────◀── reload with a good configuration ──◀──────────────────┘

The nesting is the order: senders live in the outer task group and sources in the inner one, so that what the sources stored last can still be
sent. Nothing depends on a clean end: a kill at any point leaves rows, positions and cursors that agree.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
from typing import TYPE_CHECKING, Final

from agent import __version__
from agent.clock import SystemClock
from agent.crash import crash_point
from agent.errors import ConfigError, OutriderError, UnavailableError
from agent.host import background
from agent.host.delivery import Sender
from agent.host.delivery_state import State
from agent.host.facts import Facts
from agent.host.pipeline import Builder, Host, Pipeline, RunningSource
from agent.host.supervise import describe, first_cause, supervise
from agent.host.wrapped import Wrapped
from agent.metrics import Metrics
from agent.server.endpoints import Endpoints
from agent.spool.spool import Spool
from agent.telemetry import (
    AgentStarted,
    AgentStopped,
    AgentStopping,
    ConfigRefused,
    ConfigReloaded,
    Level,
    SpoolEvent,
    Telemetry,
    configure_logging,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from agent.component import Exporter
    from agent.config.settings import Settings
    from agent.host.polling import ProbePoller, SamplerPoller
    from agent.record import Signal

PATIENCE: Final = 10.0
"""Seconds that a wrapped command's last rows may take to be sent while the destination takes them."""
FORWARDED: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGWINCH,
)
"""Signals that `exec` hands on to the command."""


class Agent:
    """One agent. `run` returns the exit code."""

    def __init__(self, settings: Settings, *, reload: Callable[[], Settings], command: Sequence[str] = ()) -> None:
        self._settings = settings
        self._reload = reload
        self._command = command
        self._clock = SystemClock()
        self._metrics = Metrics(settings.service.resource(), self._clock)
        self._telemetry = Telemetry(self._metrics, self._clock)
        self._turn = asyncio.Event()
        """Set when the present pipeline is to end: for a stop, or for `_next`."""
        self._next: Generation | None = None
        self._stopping = False

    async def run(self) -> int:
        """Run until stopped; return 0, or the wrapped command's exit code. UnavailableError: address or directory can't be had."""
        spool = await self._open_spool()
        try:
            host = Host(self._clock, self._metrics, self._telemetry, spool)
            async with asyncio.TaskGroup() as life:
                child = Wrapped(self._command, host, self.stop) if self._command else None
                self._build = functools.partial(Generation, host=host, life=life, child=child)
                first = self._build(self._settings)
                self._listen_to_signals(child)
                await self._run_generations(first)
                self._telemetry.emit(AgentStopped(pending=sum(line.pending for line in (await spool.ledger()).lines)))
                self._telemetry.flush(everything=True)
        finally:
            await spool.close()
        return child.code if child else 0

    _build: Callable[[Settings], Generation]

    async def _open_spool(self) -> Spool:
        directory = self._settings.state_dir
        try:
            return await Spool.open(directory, quota_bytes=self._settings.spool.quota, on_event=self._hear)
        except OSError as error:
            raise UnavailableError(f"the state directory {directory} can't be used: {error.strerror}; name another one") from error

    async def _run_generations(self, first: Generation) -> None:
        """Run one configuration after another; go back to the last one that could be opened if the next can't."""
        upcoming: Generation | None = first
        while upcoming is not None:
            self._next = None
            self._turn.clear()
            try:
                await upcoming.open()
            except UnavailableError as error:
                if upcoming is first or upcoming.settings is self._settings:
                    raise
                self._telemetry.emit(ConfigRefused(error=str(error)))
                upcoming = None if self._stopping else self._build(self._settings)
                continue
            self._settings = upcoming.settings
            if self._stopping:
                self._turn.set()
            await upcoming.run(self._turn)
            upcoming = self._next

    def _hear(self, event: object) -> None:
        self._telemetry.emit(SpoolEvent(type(event).__name__, str(event)))

    def stop(self, cause: str) -> None:
        """Begin the end; nothing happens the second time, and no reload comes after it."""
        if not self._stopping:
            self._telemetry.emit(AgentStopping(cause=cause))
        self._stopping = True
        self._next = None
        self._turn.set()

    def reload(self) -> None:
        """Read the configuration again and build what it asks for; if either fails, that is told, and the old one goes on."""
        if self._stopping:
            return
        try:
            upcoming = self._build_again()
        except (OutriderError, OSError, ValueError) as error:
            self._telemetry.emit(ConfigRefused(error=str(error) if isinstance(error, ConfigError) else describe(error)))
            return
        self._telemetry.emit(ConfigReloaded(later=", ".join(unchangeable(self._settings, upcoming.settings))))
        self._next = upcoming
        self._turn.set()

    def _build_again(self) -> Generation:
        fresh = self._reload()
        if fresh.state_dir != self._settings.state_dir:
            raise ConfigError("state_dir cannot change while the agent runs; restart it")
        return self._build(fresh)

    def _listen_to_signals(self, child: Wrapped | None) -> None:
        loop = asyncio.get_running_loop()
        if child is not None:
            loop.add_signal_handler(signal.SIGCHLD, child.reap)
            for number in FORWARDED:
                loop.add_signal_handler(number, child.forward, number)
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self.reload)


class Generation:
    """One configuration at work, from its components' start to their end."""

    def __init__(self, settings: Settings, *, host: Host, life: asyncio.TaskGroup, child: Wrapped | None) -> None:
        self.settings = self._settings = settings
        self._host = host
        self._life = life
        self._child = child
        self._builder = Builder(settings, host)
        self._pipeline: Pipeline = self._builder.build()
        self._senders = [
            self._sender(name, exporter, kind) for name, exporter in self._pipeline.exporters for kind in sorted(exporter.signals)
        ]
        self._address = ""
        self._facts = Facts(settings, host, self._pipeline, self._senders)
        self._endpoints = Endpoints(settings.server, self._facts, host)

    async def open(self) -> None:
        """Listen, and have rows kept for the destinations. UnavailableError: the address can't be had; nothing is left open then."""
        try:
            self._address = await self._endpoints.open(self._settings.state_dir)
        except OSError as error:
            await self._close()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise UnavailableError(
                f"can't listen on {self._settings.server.listen}: {reason}; give server.listen (OUTRIDER_LISTEN) another address"
            ) from error

    async def run(self, turn: asyncio.Event) -> None:
        """Work until `turn` is set, then end in order."""
        try:
            await self._host.spool.configure({name: exporter.signals for name, exporter in self._pipeline.exporters})
            async with asyncio.TaskGroup() as outgoing:
                sending = [outgoing.create_task(self._supervised(f"sender {s.status.destination}", s.run)) for s in self._senders]
                chores = [
                    outgoing.create_task(self._supervised(name, job))
                    for name, job in background.jobs(self._settings, self._host, self._pipeline)
                ]
                await self._take_in(turn)
                await self._seal()
                crash_point("runtime.sealed")
                await self._drain(sending)
                for task in (*sending, *chores):
                    task.cancel()
        finally:
            await self._close()

    async def _close(self) -> None:
        await self._endpoints.close()
        await self._pipeline.close()

    async def _take_in(self, turn: asyncio.Event) -> None:
        """Run the sources until `turn`; return when all of them have ended."""
        async with asyncio.TaskGroup() as incoming:
            self._attach_child()
            tasks = [incoming.create_task(self._run_source(one)) for one in self._pipeline.sources]
            pollers: list[SamplerPoller | ProbePoller] = [*self._pipeline.samplers, *self._pipeline.probes]
            tasks += [incoming.create_task(self._supervised(poller.name, poller.run)) for poller in pollers]
            if self._pipeline.observer is not None:
                tasks.append(incoming.create_task(self._supervised("observer", self._pipeline.observer.run)))
            self._host.telemetry.emit(AgentStarted(version=__version__, state_dir=str(self._settings.state_dir), address=self._address))
            crash_point("runtime.started")
            await turn.wait()
            crash_point("runtime.stopping")
            for task in tasks:
                task.cancel()

    def _attach_child(self) -> None:
        """Let the wrapped command's output come through this pipeline, and measure it unless that is configured otherwise."""
        if self._child is None:
            return
        entry = self._child.attach(self._builder, self._life)
        if entry is not None and not any(one.type == entry.type for one in self._settings.samplers):
            self._pipeline.samplers.append(self._builder.sampler(entry))

    async def _seal(self) -> None:
        """Store what was held back until more would have come."""
        if self._pipeline.detector is not None:
            await self._pipeline.detector.finish()

    async def _drain(self, sending: Sequence[asyncio.Task[None]]) -> None:
        """Send on until nothing is left, or the time is up; a wrapped command's last rows get more time while they are being taken."""
        began = self._host.clock.monotonic()
        for sender in self._senders:
            sender.drain()
        waiting = dict(zip(sending, self._senders, strict=True))
        while waiting:
            spent = self._host.clock.monotonic() - began
            well = any(sender.status.state is State.OK for sender in waiting.values())
            if spent >= (PATIENCE if self._child is not None and well else self._settings.shutdown.drain):
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


def run_agent(settings: Settings, *, reload: Callable[[], Settings], command: Sequence[str] = ()) -> int:
    """Run an agent to its end, on an event loop of its own."""
    log = settings.log
    level = Level[log.level.upper()]
    if command and "level" not in log.model_fields_set:
        level = Level.ERROR  # a wrapped command's output is the command's; what was dropped is counted and on the status page
    configure_logging(level, as_json={"auto": None, "console": False, "json": True}[log.format])
    _spare_the_collector()
    return asyncio.run(_main(settings, reload, command))


async def _main(settings: Settings, reload: Callable[[], Settings], command: Sequence[str]) -> int:
    try:
        return await Agent(settings, reload=reload, command=command).run()
    except BaseExceptionGroup as group:
        cause = first_cause(group)
        if isinstance(cause, OutriderError):  # the command line has words for it
            raise cause from group
        raise


def unchangeable(old: Settings, new: Settings) -> list[str]:
    """What a reload cannot change, of what the new settings would change: it takes effect at the next start."""
    return [name for name in ("spool", "log", "service") if getattr(old, name) != getattr(new, name)]


def _spare_the_collector() -> None:
    """Let the cycle collector look at what is made while running, less often: batches make many tuples, no cycles (4 to 9 % of the CPU)."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
