"""The command of `exec`, as the host sees it: started once, attached to each configuration in turn, its end is the agent's."""

from __future__ import annotations

import functools
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from agent.config.settings import SamplerEntry
from agent.errors import SpoolError
from agent.host.supervise import supervise
from agent.retry import Backoff
from agent.sources.child import Child, ChildConfig, StartError
from agent.sources.process_tree import ProcessTreeConfig
from agent.telemetry import Drop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from agent.host.intake import Intake
    from agent.host.pipeline import Builder, Host
    from agent.record import Batch

LINGER: Final = 0.5
"""Seconds that files are read on after the command has ended: more than two polls, so that its last lines are among them."""
AGAIN: Final = Backoff(first=0.2, longest=2.0)
TRIES: Final = 5
"""Times that a batch is tried while the spool can't be written (it tries several times itself, each time)."""
ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
SAMPLE_EVERY: Final = 5.0
"""Seconds between two looks at the command's resources."""


class Wrapped:
    """The command of `exec`: it outlives reloads, and its end is the agent's."""

    NAME: Final = "child"
    """The source's name: the key of its ledger lines and its label."""

    def __init__(self, command: Sequence[str], host: Host, stop: Callable[[str], None]) -> None:
        self._command = tuple(command)
        self._host = host
        self._stop = stop
        self._child: Child | None = None
        self._intake: Intake | None = None
        self._called_off = False
        self.code = 0
        """What to exit with."""

    def attach(self, builder: Builder, life: asyncio.TaskGroup) -> SamplerEntry | None:
        """Store what the command says through this configuration from now on; start it, the first time.

        Returns the sampler that measures it, for a configuration that measures no process tree itself.
        """
        if self._called_off:
            return None
        self._intake = builder.intake(self.NAME, replayable=False)
        if self._child is None:
            self._child = Child(ChildConfig(command=self._command), builder.context(self.NAME))
            try:
                self._child.start()
            except StartError as error:
                print(f"outrider: {error}", file=sys.stderr)  # noqa: T201 - as a shell would say it
                self.code = error.code
                self._stop("the command could not be started")
                return None
            life.create_task(self._live(self._child))
        builder.roots.follow(self._child.pid, self._host.clock.wall_ns())
        options = ProcessTreeConfig(target=f"pid:{self._child.pid}")
        return SamplerEntry(type="process_tree", name="process_tree", options=options, interval=SAMPLE_EVERY)

    def forward(self, number: signal.Signals) -> None:
        """Hand a signal on, unless the terminal has given it to the command already (it goes to the whole foreground process group)."""
        if self._child is None:
            self._call_off(number)
        elif not (number in (signal.SIGINT, signal.SIGQUIT) and _in_foreground()):
            self._child.send_signal(number)

    def _call_off(self, number: signal.Signals) -> None:
        """A signal that would end the command has come before it was started: then it isn't."""
        if number in ENDING:
            self._called_off = True
            self.code = 128 + number
            self._stop(number.name)

    def reap(self) -> None:
        """A child has ended, ours or an orphan's."""
        if self._child is not None:
            self._child.reap()

    async def _live(self, child: Child) -> None:
        host = self._host
        await supervise(f"source {self.NAME}", functools.partial(child.run, self._emit), clock=host.clock, telemetry=host.telemetry)
        if child.exited is not None:
            self.code = child.exited.result().code
        await self._host.clock.sleep(LINGER)
        self._stop("the command has ended")

    async def _emit(self, batch: Batch) -> None:
        """Store a batch, again while that fails; given up and counted in the end: a disk that fails is not to stop the command."""
        if self._intake is None:
            return
        for attempt in range(1, TRIES + 1):
            try:
                await self._intake.emit(batch)
            except SpoolError:  # the spool tells of it itself
                await self._host.clock.sleep(AGAIN.delay(attempt, 0.5))
            else:
                return
        self._intake.lose(batch, Drop.SPOOL_FAILED)


def _in_foreground() -> bool:
    """Whether a terminal's own signals reach our process group directly."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
