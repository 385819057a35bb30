"""The command of `exec`, as the host sees it: started once, attached to each configuration in turn, its end is the agent's."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
from typing import TYPE_CHECKING, Final

from agent.errors import SpoolError
from agent.event_names import CHILD
from agent.exec.child import Child
from agent.exec.command import UNKNOWN, StartError, let_go, say
from agent.host.supervise import supervise
from agent.record import Batch, Drop
from agent.retry import Backoff
from agent.signals import ends, stop_as_usual
from agent.telemetry import AgentImpaired, OutputLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.exec.child import ChildConfig
    from agent.host.builder import Builder
    from agent.host.intake import Intake
    from agent.host.pipeline import Host

LINGER: Final = 0.7
"""Seconds that files are read on after the command has ended: more than two polls, and the time that a few lines wait for more."""
LONGEST_LINGER: Final = 3.0
"""Seconds that this may become, so that a traceback at a file's end is among them too: it counts as complete when nothing follows for a while."""
STORING: Final = 10.0
"""Seconds within which a command's output is stored once all of it was passed on: its end is not to wait for a disk for ever."""
COUNTING: Final = 0.5
"""Seconds within which the count of what was given up is stored."""
AGAIN: Final = Backoff(first=0.2, longest=2.0)
TRIES: Final = 5
"""Times that a batch is tried while the spool can't be written (it tries several times itself, each time)."""


class Wrapped:
    """The command of `exec`: it outlives reloads, and its end is the agent's.

    waiting ──attach──▶ running ──▶ exited, its output being passed on ──▶ silent, its output being stored ──▶ stop
       └──(a signal that ends)──▶ called off     └──────(a signal that ends)──────┴──────────────────────────▶ stop
    """

    NAME: Final = CHILD
    """The source's name: the key of its ledger lines and its label."""

    def __init__(self, config: ChildConfig, host: Host, stop: Callable[[str], None]) -> None:
        self._config = config
        self._host = host
        self._stop = stop
        self.child: Child | None = None
        """None until it was started."""
        self._intake: Intake | None = None
        self._living: asyncio.Task[None] | None = None
        self._called_off = False
        self.told_to_end = False
        """Whether somebody waits for the end: by a signal that means it, and not as SIGHUP may."""
        self.over_since: float | None = None
        """When all of its output was stored, by the monotonic clock."""
        self.before_reaping: Callable[[], object] | None = None
        """Samples the command's resources."""
        self._lost = 0
        self._settling = 0.0
        self.code = 0
        """What to exit with: an end that is unknown is no success."""

    @property
    def ends_in_order(self) -> bool:
        """Whether the command was asked to end, or has ended with exit code 0."""
        exited = None if self.child is None else self.child.exited
        return self.told_to_end or (exited is not None and exited.done() and exited.result().code == 0)

    def attach(self, builder: Builder, life: asyncio.TaskGroup) -> str:
        """Store what the command says through this configuration from now on; start it, the first time.

        Returns it as the target of a sampler; "" if there is nothing to measure.
        """
        if self._called_off:
            return ""
        self._intake = builder.intake(self.NAME, replayable=False)
        self._settling = min(builder.settling(), LONGEST_LINGER)
        if self.child is None:
            child = Child(self._config, builder.context(self.NAME))
            try:
                child.start()
            except StartError as error:
                say(f"outrider: {error}")
                self._called_off, self.code = True, error.code
                self._stop("the command could not be started")
                return ""
            self.child, self.code = child, UNKNOWN
            let_go()
            self._living = life.create_task(self._live(child))
        if builder.issues is not None and self.child.exited is not None and not self.child.exited.done():
            builder.issues.runs.child_started(f"{self.NAME}:{self.child.pid}:{self.child.began_ns}", self.child.began_ns)
        builder.identify(self.child.pid)
        builder.roots.follow(self.child.pid, self._host.clock.wall_ns())
        return f"pid:{self.child.pid}"

    def forward(self, number: int, by_terminal: bool = False) -> None:
        """Hand a signal on, unless the terminal has given it to the command already, as it does to the whole foreground process group.

        SIGCHLD is about the command, and not for it.
        """
        if number == signal.SIGCHLD:
            self.reap()
            return
        child = self.child
        self.told_to_end = self.told_to_end or (ends(number) and number != signal.SIGHUP)
        if child is None:
            self._call_off(number)
        elif child.exited is not None and child.exited.done():
            self._hurry(number)
        elif not (by_terminal and child.shares_our_terminal):
            self._hand_on(child, number)
        if number == signal.SIGTSTP:
            stop_as_usual()

    def _hand_on(self, child: Child, number: int) -> None:
        try:
            child.send_signal(number)
        except PermissionError:  # a set-user-ID program, `sudo` say
            name = signal.strsignal(number) or str(number)
            self._host.telemetry.emit(
                AgentImpaired(f"the command runs as another user, who takes no signal of ours ({name})", "waits for its end")
            )

    def _call_off(self, number: int) -> None:
        """A signal that would end the command has come before it was started: then it isn't. An alarm would: it was set as its time limit."""
        if (ends(number) or number == signal.SIGALRM) and not self._called_off:
            self._called_off = True
            self.code = 128 + number
            self._stop(signal.Signals(number).name)

    def _hurry(self, number: int) -> None:
        """The command would have ended by this signal while its last output was still to be taken; so do we."""
        if ends(number) and self._living is not None:
            self._living.cancel()

    def reap(self) -> None:
        """A child has ended, ours or an orphan's. The last sample comes first: a zombie still has its processor time."""
        if self.child is None:
            return
        try:
            if self.before_reaping is not None and self.child.is_zombie:
                self.before_reaping()
        finally:
            self.child.reap()

    async def _live(self, child: Child) -> None:
        try:
            await self._collect(child)
            self.over_since = self._host.clock.monotonic()
            await self._host.clock.sleep(LINGER if self.told_to_end else max(LINGER, self._settling))
        finally:
            if child.exited is not None and child.exited.done():
                self.code = child.exited.result().code
            try:
                await self._account(child.give_up())
            finally:  # a second signal is in even more of a hurry
                self._stop("the command has ended")

    async def _collect(self, child: Child) -> None:
        """Collect to the end; once only storing is left, for a limited time."""
        run = functools.partial(child.run, self._emit)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                if child.silent is not None:
                    child.silent.add_done_callback(lambda _: _limit(limit))
                await supervise(f"source {self.NAME}", run, clock=self._host.clock, telemetry=self._host.telemetry)

    async def _emit(self, batch: Batch) -> None:
        """Store a batch, again while that fails; given up and counted in the end: a disk that fails is not to stop the command."""
        if self._intake is None:
            return
        try:
            for attempt in range(1, TRIES + 1):
                try:
                    await self._intake.emit(batch)
                except SpoolError:  # the spool tells of it itself
                    await self._host.clock.sleep(AGAIN.delay(attempt, 0.5))
                else:
                    return
        except BaseException:
            self._give_up(self._intake, batch)
            raise
        self._give_up(self._intake, batch)

    def _give_up(self, intake: Intake, batch: Batch) -> None:
        intake.lose(batch, Drop.SPOOL_FAILED)
        self._lost += len(batch.records)

    async def _account(self, lines: int) -> None:
        """Count what was not stored: in the ledger, if it still can be, and where a person sees it."""
        lost = lines + self._lost
        if lost and self._intake is not None:
            self._host.telemetry.emit(OutputLost(lost))
            with contextlib.suppress(TimeoutError, SpoolError):
                async with asyncio.timeout(COUNTING):
                    await self._intake.emit(Batch(drops={Drop.SPOOL_FAILED: lines} if lines else {}))


def _limit(limit: asyncio.Timeout) -> None:
    with contextlib.suppress(RuntimeError):  # it is over
        limit.reschedule(asyncio.get_running_loop().time() + STORING)
