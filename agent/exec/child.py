"""The command as a source: its output is passed through byte by byte and collected line by line, its end is the last record.

Each of its two outputs is a pipe with a relay (`relay.py`): the bytes go on to our own stdout or stderr first, and a bounded copy waits here to
be stored. A pipe cannot be read again: what is in it when the agent is killed is gone, and rows of this source are the ones that a full spool
evicts first. The source never changes or reorders the output, holds it up no longer than `patience` while nothing can be stored, and never
touches the child's stdin. It ends by itself when the child has ended, as wait(2) says it and not the end of its output, and both pipes are at
their end; a second after the child where processes that it left behind hold a pipe open, whose output goes on through `left_behind.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from agent.event_names import PROCESS_EXITED
from agent.exec.command import Exit, popen
from agent.exec.left_behind import hand_over
from agent.exec.output import Output
from agent.exec.relay import Relay
from agent.record import Batch, LogRecord, Origin
from agent.resource import iso
from agent.target.oom import memory_events, oom_kills
from agent.target.process_records import described

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from agent.exec.output import Emit
    from agent.record import Value

AFTERWARDS: Final = 1.0
"""Seconds that are granted to processes which the child left behind with its pipes."""
PIPE: Final = 1 << 20
"""Bytes that the command can write to each output before it waits, should we be stopped (SIGSTOP, a frozen cgroup): what every user may have
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
    """Where what it leaves behind is counted."""
    format: str = "auto"


class Child:
    """One command that was started.

    start() ──▶ running ──(wait(2))──▶ exited ──(both relays ended)──▶ silent ──(all stored)──▶ run() returns
    """

    def __init__(
        self, process: subprocess.Popen[bytes], options: ChildOptions, relays: Mapping[int, Relay], began_ns: int, now_ns: Callable[[], int]
    ) -> None:
        """`start` makes it."""
        self.process = process
        self.began_ns = began_ns
        """When it was started, nanoseconds since the Unix epoch."""
        self._options = options
        self._now = now_ns
        self._outputs = [self._output(relay, STREAMS[number]) for number, relay in relays.items()]
        self._exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._asked: set[int] = set()
        """Signals that were handed on to it."""
        self._memory = memory_events(self.pid)
        self._oom_kills = oom_kills(self._memory) or 0
        """What `_memory` counted when it was started."""

    @classmethod
    def start(cls, options: ChildOptions, now_ns: Callable[[], int]) -> Self:
        """Start two relays and the command; raise `StartError` if it cannot be executed.

        The relays come first: if there is no thread or descriptor for them, the command has not been started yet, and may be without us.
        """
        with contextlib.ExitStack() as failed, contextlib.ExitStack() as writers:
            relays, ends, turn = {}, {}, threading.Lock() if _one_file(*STREAMS) else None
            for number in STREAMS:
                reader, ends[number] = _pipe()
                writers.callback(os.close, ends[number])
                relays[number] = _relay(reader, number, options, turn)
                failed.callback(_end, relays[number])
                relays[number].start()
            began_ns = now_ns()
            child = cls(popen(options.command, *ends.values()), options, relays, began_ns, now_ns)
            failed.pop_all()
        return child

    def _output(self, relay: Relay, name: str) -> Output:
        origin = Origin(f"child:{self.pid}:{self.began_ns}:{name}", {"log.iostream": name})
        return Output(relay, origin, self._options.format, self._now)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def exit(self) -> Exit | None:
        """How it ended; None while it runs."""
        return self._exited.result() if self._exited.done() else None

    async def exited(self) -> Exit:
        """Wait for its end: the end of its output is not its own, it may have closed it or directed it elsewhere."""
        return await asyncio.shield(self._exited)

    async def silent(self) -> None:
        """Wait until it has ended and all its output was passed on: only storing is left."""
        await self.exited()
        for output in self._outputs:
            await output.relay.ended.wait()

    @property
    def shares_our_terminal(self) -> bool:
        """Whether what a terminal sends to our process group has reached it as well."""
        try:
            return os.getpgid(self.pid) == os.getpgrp()
        except ProcessLookupError:
            return False

    def send_signal(self, number: int) -> None:
        """Forward a signal; nothing happens when it has ended. PermissionError: it is another user's by now."""
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
        """Collect every ended child: ours, and, as PID 1 or a subreaper, the orphans that nothing else would wait for."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._end(None)  # there is none left: other code has waited for ours
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
        """Emit until it has ended and its output is at its end; the last record says how it ended."""
        async with asyncio.TaskGroup() as group:
            for output in self._outputs:
                group.create_task(output.collect(emit, self.exited))
        await emit(Batch(records=[self._exit_record(await self.exited())]))

    def _exit_record(self, how: Exit) -> LogRecord:
        now, kills = self._now(), (oom_kills(self._memory) or 0) - self._oom_kills
        end = described(how.returncode, requested=how.code - 128 in self._asked, oom_kills=kills)
        attributes: dict[str, Value] = {
            "event.name": PROCESS_EXITED,
            "process.pid": self.pid,
            "process.began": self.began_ns,
            "process.creation.time": iso(self.began_ns),
            "process.executable.name": Path(self._options.command[0]).name,
            **end.attributes,
        }
        return LogRecord(now, now, end.severity, end.severity.name, f"process {end.words}", attributes, Origin(f"child:{self.pid}:exit"), 0)

    def give_up(self) -> int:
        """Stop collecting for good, at the agent's end; return how many lines were waiting. Output is passed on all the same."""
        return sum(output.relay.abandon() for output in self._outputs)

    def pass_the_rest_on(self) -> None:
        """Without a loop, once it has ended: return when all that it wrote was passed on."""
        for output in self._outputs:
            output.relay.abandon()
            output.relay.join(AFTERWARDS)
            output.relay.finish()
        for output in self._outputs:
            while not output.relay.passed.wait(1.0):
                pass

    def close(self) -> None:
        """End the threads and close our ends of the pipes; a command that still runs is left to its signals."""
        for output in self._outputs:
            output.relay.close()


def _relay(reader: int, number: int, options: ChildOptions, turn: threading.Lock | None) -> Relay:
    try:
        hand = functools.partial(hand_over, directory=options.state_dir)
        return Relay(reader, number, room=options.buffer, patience=options.patience, hand_over=hand, turn=turn)
    except OSError:
        os.close(reader)
        raise


def _end(relay: Relay) -> None:
    relay.close()
    relay.join(AFTERWARDS)


def _one_file(*descriptors: int) -> bool:
    """Whether both lead to the same file, pipe or terminal; what is closed leads nowhere."""
    try:
        first, second = map(os.fstat, descriptors)
    except OSError:
        return False
    return os.path.samestat(first, second)


def _pipe() -> tuple[int, int]:
    pipe = os.pipe()
    with contextlib.suppress(OSError):  # the user has too many, or may have less
        fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, PIPE)
    return pipe
