"""The command of `exec` with an agent around it: started once, attached to each configuration in turn. The agent ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import SpoolError
from agent.exec.child import Child
from agent.exec.command import UNKNOWN, StartError, let_go, say
from agent.exec.listener import stop_as_usual
from agent.failures import AgentDegraded
from agent.record import Batch, Drop
from agent.signals import ends
from agent.target.process_records import planned
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from agent.clock import Clock
    from agent.exec.child import ChildOptions
    from agent.exec.output import Emit
    from agent.telemetry import Telemetry

    Supervise = Callable[[Callable[[], Awaitable[None]]], Coroutine[None, None, None]]
    """Runs a coroutine function to its end; runs it again if it raises."""

STORING: Final = 10.0
"""Seconds without a batch stored, once all output was passed on: a disk that does not answer must not hold the end up for ever."""
COUNTING: Final = 0.5
"""Seconds to store the count of lines that were given up."""


@dataclass(frozen=True, slots=True)
class OutputLost(Event):
    """The command of `exec` has ended, and its last output could not be stored in time."""

    name = "output lost"
    level = Level.ERROR
    count: int
    """Lines or records."""


class ObservedCommand:
    """The command over reloads of the configuration.

    waiting ──attach──▶ running ──▶ exited, its output being passed on ──▶ silent, its output being stored ──▶ stop
       └──(a signal that ends)──▶ called off     └──────(a signal that ends)──────┴──────────────────────────▶ stop
    """

    def __init__(
        self, options: ChildOptions, *, clock: Clock, telemetry: Telemetry, supervise: Supervise, stop: Callable[[str], None]
    ) -> None:
        """`stop(cause)` begins the end of the agent."""
        self._options = options
        self._clock = clock
        self._telemetry = telemetry
        self._supervise = supervise
        self._stop = stop
        self.child: Child | None = None
        """None until it was started."""
        self._emit: Emit
        """The way into the spool through the present configuration; set by `attach`."""
        self._living: asyncio.Task[None] | None = None
        self._limit: asyncio.Timeout | None = None
        """Of the storing, once the command is silent."""
        self._is_called_off = False
        self.is_asked_to_end = False
        """Whether a signal has asked it to end. SIGHUP may mean something else."""
        self.is_over = False
        """Whether all of its output was stored."""
        self.before_reaping: Callable[[], object] | None = None
        """Called while the command is a zombie: its resources can be sampled for the last time."""
        self.code = 0
        """The exit code of the agent."""

    def ended_in_order(self, _since: float = 0.0) -> bool | None:
        """Whether the command was asked to end, or has ended with exit code 0 or as planned; None while it lives."""
        if self.is_asked_to_end or self.child is None:
            return self.is_asked_to_end
        how = self.child.exit
        return None if how is None else how.code == 0 or planned(how.returncode)

    def attach(self, emit: Emit, life: asyncio.TaskGroup) -> Child | None:
        """Store the output by these means from now on; the first time, start the command. Return None if it is not to run."""
        if self._is_called_off:
            return None
        self._emit = emit
        if self.child is None:
            try:
                self.child, self.code = Child.start(self._options, self._clock), UNKNOWN
            except StartError as error:
                say(f"outrider: {error}")
                self._call_off(error.code, "the command could not be started")
                return None
            let_go()
            self._living = life.create_task(self._live(self.child))
        return self.child

    def forward(self, number: int, by_terminal: bool = False) -> None:
        """Hand a signal on to the command, unless the terminal has sent it to the whole foreground process group (`by_terminal`).

        SIGCHLD is about the command, not for it. Before the start a signal that ends a process calls the command off, and so does an alarm, which
        is its time limit. After the end, while output is still being stored, such a signal ends the storing.
        """
        if number == signal.SIGCHLD:
            self.reap()
            return
        child = self.child
        self.is_asked_to_end |= ends(number) and number != signal.SIGHUP
        if child is None:
            if (ends(number) or number == signal.SIGALRM) and not self._is_called_off:
                self._call_off(128 + number, signal.Signals(number).name)
        elif child.exit is None:
            if not (by_terminal and child.shares_our_terminal):
                self._hand_on(child, number)
        elif ends(number) and self._living is not None:
            self._living.cancel()
        if number == signal.SIGTSTP:
            stop_as_usual()

    def reap(self) -> None:
        """A child process has ended. The last sample comes first: a zombie still has its processor time."""
        if self.child is None:
            return
        try:
            if self.before_reaping is not None and self.child.is_zombie:
                self.before_reaping()
        finally:
            self.child.reap()

    def _hand_on(self, child: Child, number: int) -> None:
        try:
            child.send_signal(number)
        except PermissionError:  # a set-user-ID program, `sudo` say
            name = signal.strsignal(number) or str(number)
            self._telemetry.emit(
                AgentDegraded(f"the command runs as another user, which may not be signalled by us ({name})", "waits for its end")
            )

    def _call_off(self, code: int, cause: str) -> None:
        """Don't start it."""
        self._is_called_off, self.code = True, code
        self._stop(cause)

    async def _live(self, child: Child) -> None:
        try:
            await self._collect(child)
            self.is_over = True
        finally:
            if child.exit is not None:
                self.code = child.exit.code
            try:
                await self._account(child)
            finally:  # a second signal cancels the accounting
                self._stop("the command has ended")

    async def _collect(self, child: Child) -> None:
        """Collect to the end; once the command is silent, as long as batches are stored."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
                group.create_task(self._supervise(lambda: child.run(self._store)))
                await child.silent()
                self._limit = limit
                self._extend()

    async def _store(self, batch: Batch) -> None:
        """Store a batch through the configuration of this moment."""
        await self._emit(batch)
        self._extend()

    def _extend(self) -> None:
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + STORING)

    async def _account(self, child: Child) -> None:
        """Count the lines that were not stored, in the ledger if possible, and report them."""
        losses = child.give_up()
        if lost := losses.get(Drop.SPOOL_FAILED):
            self._telemetry.emit(OutputLost(lost))
            with contextlib.suppress(TimeoutError, SpoolError):
                async with asyncio.timeout(COUNTING):
                    await self._emit(Batch(drops=losses))
