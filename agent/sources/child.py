"""The wrapped command of `outrider exec`: its output is passed through byte by byte and collected line by line.

Reads the child's stdout and stderr from two pipes, each on a thread of its own: first the bytes go on to our own stdout or stderr, then to
the collector, so that a user sees them even when the spool is full. A pipe cannot be read again: what is in it when the agent is killed is
gone, and rows of this source are the ones that a full spool evicts first. The source never changes, reorders or delays the output, and it
never touches the child's stdin. It ends by itself when the child has ended and both pipes are at their end, or a second after the child when
somebody it left behind holds a pipe open.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from agent.component import ComponentConfig, Context
from agent.parse.format_name import FormatName  # noqa: TC001 - pydantic reads it
from agent.parse.lines import Parser
from agent.record import Batch, LogRecord, Origin, Severity, Value
from agent.target.oom import memory_events, oom_kills
from agent.telemetry import Drop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

CHUNK = 64 * 1024
"""Bytes: the size of a pipe's buffer on Linux (pipe(7))."""
WAITING = 16
"""Chunks that wait for the collector at most; then the child waits, as at a full pipe."""
LONGEST = 1 << 20
"""Bytes: a longer line is cut into pieces of at least this size, and counted; memory stays bounded whatever the child writes."""
QUIET = 0.2
"""Seconds without output after which an open record (a traceback) is taken as complete."""
AFTERWARDS = 1.0
"""Seconds that are granted to processes which the child left behind with its pipes."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a command that could not be started (POSIX sh, 2.8.2)."""


class ChildConfig(ComponentConfig):
    """Options of the wrapped command."""

    command: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments, as for execvp(3)."""
    format: FormatName = "auto"
    """Format of its lines; `auto` finds it."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How the child ended."""

    returncode: int
    """As `subprocess` gives it: the exit code, or minus the signal's number."""

    @property
    def code(self) -> int:
        """What a shell would say: the exit code, or 128 + signal."""
        return self.returncode if self.returncode >= 0 else 128 - self.returncode

    @property
    def signal_name(self) -> str:
        """`SIGSEGV` and the like, `SIG35` where the number has no name (real-time signals); empty when it exited by itself."""
        if self.returncode >= 0:
            return ""
        try:
            return signal.Signals(-self.returncode).name
        except ValueError:
            return f"SIG{-self.returncode}"


class StartError(Exception):
    """The command could not be started; `code` is what a shell would return."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Child:
    """Runs one command.

    start() ──▶ running ──(SIGCHLD)──▶ exited ──(both pipes at end)──▶ run() returns
    """

    Config: ClassVar[type[ComponentConfig]] = ChildConfig
    replayable: ClassVar[bool] = False

    def __init__(self, config: ChildConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._process: subprocess.Popen[bytes] | None = None
        self._streams: list[_Stream] = []
        self.exited: asyncio.Future[Exit] | None = None
        self._asked: set[int] = set()
        """Signals that were handed on to it."""
        self._memory: Path | None = None
        self._oom_kills = 0
        """What `_memory` counted when it was started."""

    @property
    def pid(self) -> int:
        """The child's process id; only after `start`."""
        if self._process is None:
            raise RuntimeError("the child has not been started")
        return self._process.pid

    def start(self) -> None:
        """Start the command and its two reading threads; raise `StartError` if it cannot be executed."""
        loop = asyncio.get_running_loop()
        self.exited = loop.create_future()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - running the user's command is what this is for
                self._config.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        except FileNotFoundError as error:
            raise StartError(f"{self._config.command[0]}: command not found", NOT_FOUND) from error
        except OSError as error:
            raise StartError(f"{self._config.command[0]}: {error.strerror}", NOT_EXECUTABLE) from error
        self._memory = memory_events(self.pid)
        self._oom_kills = oom_kills(self._memory) or 0
        run = f"child:{self.pid}:{self._context.clock.wall_ns()}"
        pipes = ((self._process.stdout, 1, "stdout"), (self._process.stderr, 2, "stderr"))
        self._streams = [
            _Stream(pipe.fileno(), fd, Origin(f"{run}:{name}", {"log.iostream": name}), self._config.format, loop)
            for pipe, fd, name in pipes
            if pipe is not None
        ]
        for stream in self._streams:
            stream.start()

    def send_signal(self, number: int) -> None:
        """Forward a signal; nothing happens when the child is gone."""
        if self._process is not None and self.exited is not None and not self.exited.done():
            self._asked.add(number)
            os.kill(self._process.pid, number)

    def reap(self) -> None:
        """Collect every ended child: ours, and, as PID 1 or a subreaper, the orphans that nobody else would wait for."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._process is not None and pid == self._process.pid:
                self._ended(os.waitstatus_to_exitcode(status))

    def _ended(self, returncode: int) -> None:
        if self._process is not None and self.exited is not None and not self.exited.done():
            self._process.returncode = returncode
            self.exited.set_result(Exit(returncode))
            for stream in self._streams:
                asyncio.get_running_loop().call_later(AFTERWARDS, stream.end)

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit until the child has exited and its output is at its end; the last record says how it ended."""
        if self.exited is None:
            self.start()
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(stream.collect(emit, self._context))
        if self.exited is not None:
            how = await asyncio.shield(self.exited)
            await emit(Batch(records=[self._exit_record(how)]))

    def _exit_record(self, how: Exit) -> LogRecord:
        now = self._context.clock.wall_ns()
        attributes: dict[str, Value] = {
            "event.name": "outrider.process.exited",
            "process.pid": self.pid,
            "process.executable.name": os.path.basename(self._config.command[0]),  # noqa: PTH119 - argv[0] is a string, not a path of ours
        }
        if how.signal_name:
            attributes["process.exit.signal"] = how.signal_name
            body = f"process killed by {how.signal_name}"
        else:
            attributes["process.exit.code"] = how.returncode
            body = f"process exited with code {how.returncode}"
        if killed := (oom_kills(self._memory) or 0) - self._oom_kills:
            attributes["process.exit.oom_kills"] = killed
        if how.code - 128 in self._asked:
            attributes["process.exit.requested"] = True
        severity = Severity.INFO if how.returncode == 0 else Severity.FATAL if how.signal_name else Severity.ERROR
        origin = Origin(f"child:{self.pid}:exit")
        return LogRecord(now, now, severity, severity.name, body, attributes, origin, 0)

    async def close(self) -> None:
        """Close our ends of the pipes; a child that still runs is left to its signals."""
        for stream in self._streams:
            stream.close()


class _Stream:
    """One pipe: a thread that passes the bytes through, a coroutine that collects them."""

    def __init__(self, source_fd: int, sink_fd: int, origin: Origin, format_: str, loop: asyncio.AbstractEventLoop) -> None:
        self._source = source_fd
        self._sink = sink_fd
        self._origin = origin
        self._loop = loop
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._places = threading.Semaphore(WAITING)
        self._over = False
        """Nobody collects any more."""
        self._received = 0
        """Bytes that the thread has read."""
        self._collected = 0
        self._enough: int | None = None
        """Bytes after which `collect` ends even if more keeps coming."""
        self._parser = Parser(format_)
        self._thread = threading.Thread(target=self._pass_through, name=f"pass-{source_fd}", daemon=True)
        self._offset = 0
        self._partial: list[bytes] = []
        self._partial_size = 0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """The thread ends at the pipe's end; a daemon thread does not keep the process."""

    def end(self) -> None:
        """Let `collect` end once it has caught up, or has all that was written by now: what comes later isn't the child's."""
        if self._enough is None:
            self._enough = _in_pipe(self._source) + self._received + CHUNK  # a chunk may be read and not counted yet
        if self._queue.empty():
            self._queue.put_nowait(b"")
        elif not self._over:
            self._loop.call_later(0.05, self.end)

    def _pass_through(self) -> None:
        while chunk := os.read(self._source, CHUNK):
            self._received += len(chunk)
            _write_all(self._sink, chunk)
            self._hand_over(chunk)
        self._hand_over(b"")

    def _hand_over(self, chunk: bytes) -> None:
        """Wait for a place in the queue, so that a slow collector slows the child as a full pipe would, and memory stays bounded."""
        self._places.acquire()
        if self._over:
            self._places.release()
            return
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, chunk)
        except RuntimeError:
            self._places.release()  # the loop is gone: the agent is stopping and nobody collects any more

    async def collect(self, emit: Callable[[Batch], Awaitable[None]], context: Context) -> None:
        """Cut lines, parse them, emit; an open record is closed after a quiet moment and at the end."""
        while (self._enough is None or self._collected < self._enough) and (chunk := await self._next(emit, context)):
            await self._take(chunk, emit, context)
        await self._finish(emit, context)
        self._over = True  # not after an exception: the host runs us again, and we go on
        self._places.release()

    async def _next(self, emit: Callable[[Batch], Awaitable[None]], context: Context) -> bytes:
        while True:
            try:
                async with asyncio.timeout(QUIET if self._parser.open_offset() is not None else None):
                    chunk = await self._queue.get()
            except TimeoutError:
                await self._emit(emit, self._parser.flush(context.clock.wall_ns()), self._parser.take_drops(), None)
                continue
            self._places.release()
            self._collected += len(chunk)
            return chunk

    async def _take(self, chunk: bytes, emit: Callable[[Batch], Awaitable[None]], context: Context) -> None:
        """Parse the lines that are complete now. What has no end yet is only joined once, so that a long line costs no more than its length."""
        end = chunk.rfind(b"\n") + 1
        if end:
            await self._parse(self._taken(chunk[:end]), emit, context)
        if chunk[end:]:
            self._partial.append(chunk[end:])
            self._partial_size += len(chunk) - end
        if self._partial_size >= LONGEST:
            await self._parse(self._taken(b""), emit, context, cut=1)

    def _taken(self, more: bytes) -> bytes:
        text = b"".join((*self._partial, more))
        self._partial, self._partial_size = [], 0
        return text

    async def _parse(self, text: bytes, emit: Callable[[Batch], Awaitable[None]], context: Context, *, cut: int = 0) -> None:
        lines = []
        whole = text.endswith(b"\n")
        for line in text.removesuffix(b"\n").split(b"\n"):
            lines.append((self._offset, line))
            self._offset += len(line) + 1
        self._offset -= 0 if whole else 1
        records, drops = self._parser.parse_chunk(lines, self._origin, context.clock.wall_ns())
        if cut:
            drops[Drop.OVERSIZED] = drops.get(Drop.OVERSIZED, 0) + cut
        await self._emit(emit, records, drops, self._parser.text)

    async def _finish(self, emit: Callable[[Batch], Awaitable[None]], context: Context) -> None:
        if self._partial:
            await self._parse(self._taken(b""), emit, context)
        await self._emit(emit, self._parser.flush(context.clock.wall_ns()), self._parser.take_drops(), None)

    async def _emit(
        self, emit: Callable[[Batch], Awaitable[None]], records: list[LogRecord], drops: dict[str, int], text: bytes | None
    ) -> None:
        if records or drops:
            await emit(Batch(records=records, drops=drops, text=text))


def _in_pipe(fd: int) -> int:
    """Bytes that wait in a pipe (FIONREAD, ioctl_pipe(2))."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _write_all(fd: int, chunk: bytes) -> None:
    """Write it all; when our own reader has gone (EPIPE), keep collecting: the child is not to notice."""
    view = memoryview(chunk)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # whoever shares our stdout has made it non-blocking
            select.select([], [fd], [])
        except OSError:
            return
