"""The wrapped command of `outrider exec`: its output is passed through byte by byte and collected line by line.

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
from collections import Counter
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import Field

from agent.component import ComponentConfig, Context
from agent.event_names import PROCESS_EXITED
from agent.exec.command import Exit, popen
from agent.exec.left_behind import hand_over
from agent.exec.relay import Relay
from agent.options import Duration, Size  # noqa: TC001 - pydantic reads them
from agent.parse.cutter import LineCutter
from agent.parse.format_name import FormatName  # noqa: TC001 - pydantic reads it
from agent.parse.lines import Parser
from agent.record import Batch, Drop, LogRecord, Origin, Severity, Value
from agent.resource import iso
from agent.target.oom import memory_events, oom_kills
from agent.target.process_records import planned

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable, Mapping

    from agent.columns import Records
    from agent.exec.relay import Piece

LONGEST = 1 << 20
"""Bytes: a longer line is cut into pieces of this size, and counted; memory stays bounded whatever the child writes."""
_REAPED = 0.5
"""Seconds from the end of the output to the end of a process, at most, for the one to be explained by the other."""
QUIET = 0.2
"""Seconds without output after which an open record (a traceback) is taken as complete."""
LINGER = 0.2
"""Seconds that are waited for more output, so that a trickle of lines is not one request for each. An agent that is killed meanwhile loses it."""
AFTERWARDS = 1.0
"""Seconds that are granted to processes which the child left behind with its pipes."""
PIPE: Final = 1 << 20
"""Bytes that the command can write to each output before it waits, should we be stopped (SIGSTOP, a frozen cgroup): what every user may have
(/proc/sys/fs/pipe-max-size)."""


class ChildConfig(ComponentConfig):
    """Options of the wrapped command."""

    command: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments, as for execvp(3)."""
    format: FormatName = "auto"
    """Format of its lines; `auto` finds it."""
    buffer: Size
    """As `exec.buffer` of the configuration."""
    patience: Duration
    """As `exec.patience` of the configuration."""
    state_dir: Path | None = None
    """Where what it leaves behind is counted."""


class Child:
    """Runs one command.

    start() ──▶ running ──(wait(2))──▶ exited ──(both relays ended)──▶ silent ──(all stored)──▶ run() returns
    """

    replayable: ClassVar[bool] = False

    def __init__(self, config: ChildConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._process: subprocess.Popen[bytes] | None = None
        self._streams: list[_Stream] = []
        self._relays_ended = 0
        self.exited: asyncio.Future[Exit] | None = None
        self.silent: asyncio.Future[None] | None = None
        """Done when it has exited and all its output was passed on: only storing is left."""
        self._asked: set[int] = set()
        """Signals that were handed on to it."""
        self.began_ns = 0
        """When it was started, nanoseconds since the Unix epoch."""
        self._memory: Path | None = None
        self._oom_kills = 0
        """What `_memory` counted when it was started."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The child; only after `start`."""
        if self._process is None:
            raise RuntimeError("the child has not been started")
        return self._process

    @property
    def pid(self) -> int:
        """The child's process id; only after `start`."""
        return self.process.pid

    def start(self) -> None:
        """Start two relays and the command; raise `StartError` if it cannot be executed.

        The relays come first: if there is no thread or descriptor for them, the command has not been started yet, and may be without us.
        """
        loop = asyncio.get_running_loop()
        self.exited, self.silent = loop.create_future(), loop.create_future()
        pipes = {1: _pipe(), 2: _pipe()}
        relays: dict[int, Relay] = {}
        turn = threading.Lock() if _one_file(1, 2) else None
        try:
            for number in pipes:
                relays[number] = self._relay(pipes[number][0], number, turn)
                relays[number].start()
            self.began_ns = self._context.clock.wall_ns()
            self._process = popen(self._config.command, pipes[1][1], pipes[2][1])
        except BaseException:
            for relay in relays.values():
                relay.close()
                relay.join(AFTERWARDS)
            _close(*(pipes[number][0] for number in pipes if number not in relays))
            raise
        finally:
            _close(pipes[1][1], pipes[2][1])
        self._memory = memory_events(self.pid)
        self._oom_kills = oom_kills(self._memory) or 0
        self._streams = [self._stream(relays[number], number) for number in relays]

    def _relay(self, source: int, number: int, turn: threading.Lock | None) -> Relay:
        options = self._config
        return Relay(
            source,
            number,
            room=options.buffer,
            patience=options.patience,
            ended=self._relay_ended,
            hand_over=functools.partial(hand_over, directory=options.state_dir),
            turn=turn,
        )

    def _stream(self, relay: Relay, number: int) -> _Stream:
        name = {1: "stdout", 2: "stderr"}[number]
        origin = Origin(f"child:{self.pid}:{self._context.clock.wall_ns()}:{name}", {"log.iostream": name})
        return _Stream(relay, origin, self._config.format)

    def _relay_ended(self) -> None:
        self._relays_ended += 1
        self._see_whether_silent()

    def _see_whether_silent(self) -> None:
        """The end of its output is not its own: it may have closed it, or directed it elsewhere."""
        exited = self.exited is not None and self.exited.done()
        if exited and self._relays_ended == len(self._streams) and self.silent is not None and not self.silent.done():
            self.silent.set_result(None)

    @property
    def shares_our_terminal(self) -> bool:
        """Whether what a terminal sends to our process group has reached it as well."""
        try:
            return os.getpgid(self.pid) == os.getpgrp()
        except ProcessLookupError:
            return False

    def send_signal(self, number: int) -> None:
        """Forward a signal; nothing happens when the child is gone. PermissionError: it is another user's by now."""
        if self._process is not None and self.exited is not None and not self.exited.done():
            os.kill(self._process.pid, number)
            self._asked.add(number)

    @property
    def is_zombie(self) -> bool:
        """Whether it has ended and was not waited for yet."""
        if self._process is None or self.exited is None or self.exited.done():
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # other code has waited for it
            return False

    def reap(self) -> None:
        """Collect every ended child: ours, and, as PID 1 or a subreaper, the orphans that nobody else would wait for."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._ended(None)  # there is none left: other code has waited for ours
                return
            if pid == 0:
                return
            if self._process is not None and pid == self._process.pid:
                self._ended(os.waitstatus_to_exitcode(status))

    def _ended(self, returncode: int | None) -> None:
        if self._process is not None and self.exited is not None and not self.exited.done():
            self._process.returncode = returncode
            self.exited.set_result(Exit(returncode))
            self._see_whether_silent()
            asyncio.get_running_loop().call_later(AFTERWARDS, self._finish)

    def _finish(self) -> None:
        for stream in self._streams:
            stream.relay.finish()

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit until the child has exited and its output is at its end; the last record says how it ended."""
        if self.exited is None:
            self.start()
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(stream.collect(emit, self._context, self.exited))
        if self.exited is not None:
            how = await asyncio.shield(self.exited)
            await emit(Batch(records=[self._exit_record(how)]))

    def _exit_record(self, how: Exit) -> LogRecord:
        now = self._context.clock.wall_ns()
        attributes: dict[str, Value] = {
            "event.name": PROCESS_EXITED,
            "process.pid": self.pid,
            "process.began": self.began_ns,
            "process.creation.time": iso(self.began_ns),
            "process.executable.name": os.path.basename(self._config.command[0]),  # noqa: PTH119 - argv[0] is a string, not a path of ours
        }
        if killed := (oom_kills(self._memory) or 0) - self._oom_kills:
            attributes["process.exit.oom_kills"] = killed
        requested = how.code - 128 in self._asked or planned(how.returncode)
        if requested:
            attributes["process.exit.requested"] = True
        severity, body, more = _described(how, requested=requested)
        return LogRecord(now, now, severity, severity.name, body, attributes | more, Origin(f"child:{self.pid}:exit"), 0)

    def give_up(self) -> int:
        """Stop collecting for good, at the agent's end; return how many lines were waiting. Output is passed on all the same."""
        return sum(stream.relay.abandon() for stream in self._streams)

    def pass_the_rest_on(self) -> None:
        """Without a loop, once it has ended: return when all that it wrote was passed on."""
        for stream in self._streams:
            stream.relay.abandon()
            stream.relay.join(AFTERWARDS)
            stream.relay.finish()
        for stream in self._streams:
            while not stream.relay.passed.wait(1.0):
                pass

    async def close(self) -> None:
        """End the threads and close our ends of the pipes; a child that still runs is left to its signals."""
        for stream in self._streams:
            stream.relay.close()


class _Stream:
    """What one of its pipes said, line by line."""

    def __init__(self, relay: Relay, origin: Origin, format_: str) -> None:
        self.relay = relay
        self._origin = origin
        self._parser = Parser(format_)
        self._lines = LineCutter(LONGEST)
        self._unwritten = 0
        """Lines that were not passed on, and are not counted yet."""

    async def collect(self, emit: Callable[[Batch], Awaitable[None]], context: Context, exited: asyncio.Future[Exit] | None = None) -> None:
        """Cut lines, parse them, emit; an open record is closed after a quiet moment, at a gap and at the end."""
        while (piece := await self._next(emit, context)) is not None:
            if piece.lost:
                await self._parse(self._lines.end(), emit, context)
                await self._flush(emit, context, piece.lost)
                self._lines.skip(piece.skipped)
            self._unwritten += piece.unwritten
            await self._parse(self._lines.feed(piece.data), emit, context)
            if self._parser.open_offset() is not None:
                await self._give(self._parser.expire(context.clock.wall_ns(), QUIET), emit)
        await self._parse(self._lines.end(), emit, context)
        open_at_end = self._parser.open_offset() is not None
        failed = exited is not None and open_at_end and await _ended_by_exception(exited)
        await self._give(self._parser.flush(context.clock.wall_ns(), ended=True, failed=failed), emit)

    async def _next(self, emit: Callable[[Batch], Awaitable[None]], context: Context) -> Piece | None:
        while True:
            try:
                async with asyncio.timeout(QUIET if self._parser.open_offset() is not None else None):
                    await self.relay.ready()
                return await self.relay.take(LINGER)
            except TimeoutError:
                await self._flush(emit, context)

    async def _parse(self, lines: list[tuple[int, bytes]], emit: Callable[[Batch], Awaitable[None]], context: Context) -> None:
        if lines:
            records, drops = self._parser.parse_chunk(lines, self._origin, context.clock.wall_ns())
            drops = _counted(drops, {Drop.OVERSIZED: self._lines.take_cut(), Drop.NOT_PASSED_ON: self._take_unwritten()})
            await _emit(emit, Batch(records=records, drops=drops, text=self._parser.text))

    async def _flush(self, emit: Callable[[Batch], Awaitable[None]], context: Context, lost: int = 0) -> None:
        await self._give(self._parser.flush(context.clock.wall_ns()), emit, lost)

    async def _give(self, records: Records, emit: Callable[[Batch], Awaitable[None]], lost: int = 0) -> None:
        """Emit what was open, and what is to be counted."""
        more: dict[str, int] = {Drop.BUFFER_FULL: lost, Drop.NOT_PASSED_ON: self._take_unwritten()}
        await _emit(emit, Batch(records=records, drops=_counted(self._parser.take_drops(), more)))

    def _take_unwritten(self) -> int:
        unwritten, self._unwritten = self._unwritten, 0
        return unwritten


def _described(how: Exit, *, requested: bool) -> tuple[Severity, str, dict[str, Value]]:
    """Severity, body and attributes of an end."""
    if how.returncode is None:
        return Severity.WARN, "process ended, and its exit code is unknown", {"process.exit.unknown": True}
    if how.signal_name:
        severity = Severity.INFO if requested else Severity.FATAL
        return severity, f"process killed by {how.signal_name}", {"process.exit.signal": how.signal_name}
    severity = Severity.INFO if how.returncode == 0 or requested else Severity.ERROR
    return severity, f"process exited with code {how.returncode}", {"process.exit.code": how.returncode}


async def _ended_by_exception(exited: asyncio.Future[Exit]) -> bool:
    """Whether a command whose output is at its end exits as an interpreter does for an exception that nobody caught."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REAPED):
            return (await asyncio.shield(exited)).returncode == 1
    return False


async def _emit(emit: Callable[[Batch], Awaitable[None]], batch: Batch) -> None:
    if batch.records or batch.drops:
        await emit(batch)


def _counted(drops: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Both, without what is zero."""
    both: Counter[str] = Counter(drops)
    both.update(more)
    return {reason: count for reason, count in both.items() if count}


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


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
