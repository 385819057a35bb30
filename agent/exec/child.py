"""The command as a source: its output is passed through byte by byte and collected line by line, its end is the last record.

Each of its two outputs is a pipe with a relay (`relay.py`): the bytes first go to our own stdout or stderr, and a bounded copy waits to be stored.
A pipe can't be read again. When the agent is killed its content is lost, and a full spool evicts the rows of this source first. The source never
changes or reorders the output, and never touches the standard input of the command. While nothing can be stored it holds the output up for
`patience` at most.

Only wait(2) reports the end of the command: the end of its output is not its end. The source ends when the command and both pipes have ended. Where
processes that the command left behind hold a pipe open, it ends a second after the command, and `left_behind.py` passes their output on.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from agent.exec.command import Exit, popen
from agent.exec.left_behind import hand_over
from agent.exec.output import Output
from agent.exec.relay import Relay
from agent.names import EVENT_NAME, LOG_STREAM, PROCESS_BEGAN, PROCESS_CREATED, PROCESS_EXECUTABLE, PROCESS_EXITED, PROCESS_PID
from agent.record import Batch, LogRecord, Origin
from agent.resource import iso
from agent.target.oom import memory_events, oom_kills
from agent.target.process_records import described

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from agent.clock import Clock
    from agent.exec.output import Emit
    from agent.record import Value

AFTERWARDS: Final = 1.0
"""Seconds that processes which the command left behind have to close its pipes."""
PIPE: Final = 1 << 20
"""Bytes that the command can write to each output while the agent is stopped (SIGSTOP, a frozen cgroup). Every user may have as much
(/proc/sys/fs/pipe-max-size)."""
STREAMS: Final = {1: "stdout", 2: "stderr"}


class ChildOptions(NamedTuple):
    """Which command, and how its output is passed on."""

    command: tuple[str, ...]
    """The program and its arguments, as for execvp(3)."""
    buffer: int
    """Bytes, as `exec.buffer` of the configuration."""
    patience: float
    """Seconds, as `exec.patience` of the configuration."""
    state_dir: Path | None = None
    """Where the output of processes that it leaves behind is counted."""
    format: str = "auto"


class Child:
    """One command that was started.

    start() ──▶ running ──(wait(2))──▶ exited ──(both relays ended)──▶ silent ──(all stored)──▶ run() returns
    """

    def __init__(
        self, process: subprocess.Popen[bytes], options: ChildOptions, relays: Mapping[int, Relay], began_ns: int, clock: Clock
    ) -> None:
        """`start` makes it."""
        self.process = process
        self.began_ns = began_ns
        """When it was started, nanoseconds since the Unix epoch."""
        self._options = options
        self._clock = clock
        self._outputs = [self._output(relay, STREAMS[number]) for number, relay in relays.items()]
        self._exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._asked: set[int] = set()
        """Signals that were handed on to it."""
        self._memory = memory_events(self.pid)
        self._oom_kills = oom_kills(self._memory) or 0
        """The count of `_memory` at the start."""

    @classmethod
    def start(cls, options: ChildOptions, clock: Clock) -> Self:
        """Start two relays and the command; raise `StartError` if it can't be executed.

        The relays come first. If there is no thread or descriptor for them the command is not started yet, and can still run without the agent.
        """
        with contextlib.ExitStack() as failed, contextlib.ExitStack() as writers:
            relays, ends, turn = {}, {}, threading.Lock() if _one_file(*STREAMS) else None
            for number in STREAMS:
                reader, ends[number] = _pipe()
                writers.callback(os.close, ends[number])
                relays[number] = _relay(reader, number, options, turn)
                failed.callback(_stop, relays[number])
                relays[number].start()
            began_ns = clock.wall_ns()
            child = cls(popen(options.command, *ends.values()), options, relays, began_ns, clock)
            failed.pop_all()
        return child

    def _output(self, relay: Relay, name: str) -> Output:
        origin = Origin(f"child:{self.pid}:{self.began_ns}:{name}", {LOG_STREAM: name})
        return Output(relay, origin, self._options.format, self._clock)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def exit(self) -> Exit | None:
        """How it ended; None while it runs."""
        return self._exited.result() if self._exited.done() else None

    async def exited(self) -> Exit:
        """Wait for its end."""
        return await asyncio.shield(self._exited)

    async def silent(self) -> None:
        """Wait until it has ended and all its output was passed on."""
        await self.exited()
        for output in self._outputs:
            await output.relay.ended.wait()

    @property
    def shares_our_terminal(self) -> bool:
        """Whether a signal of the terminal to our process group reaches it as well."""
        try:
            return os.getpgid(self.pid) == os.getpgrp()
        except ProcessLookupError:
            return False

    def send_signal(self, number: int) -> None:
        """Send it a signal unless it has ended. PermissionError: it runs as another user by now."""
        if self.exit is None:
            os.kill(self.pid, number)
            self._asked.add(number)

    @property
    def is_zombie(self) -> bool:
        """Whether it has ended and was not waited for yet."""
        try:
            return self.exit is None and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # other code has waited for it
            return False

    def reap(self) -> None:
        """Wait for every ended child: the command and, as PID 1 or a subreaper, the orphans of others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._end(None)  # there are none left: other code has waited for the command
                return
            if pid == 0:
                return
            if pid == self.pid:
                self._end(os.waitstatus_to_exitcode(status))

    def _end(self, returncode: int | None) -> None:
        if self.exit is None:
            self.process.returncode = returncode
            self._exited.set_result(Exit(returncode))
            asyncio.get_running_loop().call_later(AFTERWARDS, self._finish)

    def _finish(self) -> None:
        for output in self._outputs:
            output.relay.finish()

    async def run(self, emit: Emit) -> None:
        """Emit until the command and its output have ended; the last record says how."""
        async with asyncio.TaskGroup() as group:
            for output in self._outputs:
                group.create_task(output.collect(emit, self.exited))
        await self._outputs[-1].send(emit, Batch(records=[self._exit_record(await self.exited())]))

    def _exit_record(self, how: Exit) -> LogRecord:
        now, kills = self._clock.wall_ns(), (oom_kills(self._memory) or 0) - self._oom_kills
        end = described(how.returncode, requested=how.code - 128 in self._asked, oom_kills=kills)
        attributes: dict[str, Value] = {
            EVENT_NAME: PROCESS_EXITED,
            PROCESS_PID: self.pid,
            PROCESS_BEGAN: self.began_ns,
            PROCESS_CREATED: iso(self.began_ns),
            PROCESS_EXECUTABLE: Path(self._options.command[0]).name,
            **end.attributes,
        }
        return LogRecord(now, now, end.severity, end.severity.name, f"process {end.words}", attributes, Origin(f"child:{self.pid}:exit"), 0)

    def give_up(self) -> Mapping[str, int]:
        """Stop collecting, at the end of the agent; return the losses that are not counted yet. Output is still passed on."""
        return sum((Counter(output.give_up()) for output in self._outputs), Counter[str]())

    def pass_the_rest_on(self) -> None:
        """Block until all that it wrote was passed on. For the time after its end, without an event loop."""
        for output in self._outputs:
            output.relay.abandon()
            output.relay.join(AFTERWARDS)
            output.relay.finish()
        for output in self._outputs:
            while not output.relay.passed.wait(1.0):
                pass


def _relay(reader: int, number: int, options: ChildOptions, turn: threading.Lock | None) -> Relay:
    try:
        hand = functools.partial(hand_over, directory=options.state_dir)
        return Relay(reader, number, room=options.buffer, patience=options.patience, hand_over=hand, turn=turn)
    except OSError:
        os.close(reader)
        raise


def _stop(relay: Relay) -> None:
    relay.close()
    relay.join(AFTERWARDS)


def _one_file(*descriptors: int) -> bool:
    """Return whether both are open on the same file, pipe or terminal."""
    try:
        first, second = map(os.fstat, descriptors)
    except OSError:
        return False
    return os.path.samestat(first, second)


def _pipe() -> tuple[int, int]:
    pipe = os.pipe()
    with contextlib.suppress(OSError):  # the pipes of this user have reached their limit
        fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, PIPE)
    return pipe
