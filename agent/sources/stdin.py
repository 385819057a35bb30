"""Reads the lines of standard input (`workload | outrider run`), until its end.

They can't be read again. Lines that were read are held until they are committed, and a full spool gives up the oldest rows of such sources. The
source never closes standard input, nor changes its blocking mode. When the input ends the source ends; the agent continues with the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import Field

from agent.component import ComponentConfig, Context, Holding
from agent.fds import in_pipe, read_some
from agent.names import LOG_STREAM
from agent.options import Interval, Size  # noqa: TC001 - pydantic reads them
from agent.parse.format_name import FormatName  # noqa: TC001 - pydantic reads it
from agent.parse.line_stream import LineStream
from agent.record import Origin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.record import Batch

STDIN: Final = 0
BATCH: Final = "batch"


class StdinConfig(ComponentConfig):
    """Options of the `stdin` source."""

    format: FormatName = "auto"
    """Format of the lines; `auto` finds it."""
    quiet: Interval = 0.2
    """Silence after which a traceback or a record of several lines counts as complete. After 2 s (or this, if it is longer) it is emitted in any
    case, with the attribute `log.incomplete`."""
    max_line_size: Size = Field(default=1 << 20, ge=1024)
    """A longer line is cut into pieces of this size, and counted."""


class Stdin:
    """The source. One run reads to the end; the next run, or the source that takes over, begins with the batches that are not committed.

    `BATCH` is its one position: which batch was committed last. An `emit` that was cancelled may have committed its batch.
    """

    Config: ClassVar[type[ComponentConfig]] = StdinConfig
    replayable: ClassVar[bool] = False

    def __init__(self, config: StdinConfig, context: Context, fd: int = STDIN) -> None:
        self._config = config
        self._context = context
        self._now = context.clock.wall_ns
        self._fd = fd
        origin = Origin(f"stdin:{self._now()}", {LOG_STREAM: "stdin"})
        self.stream = LineStream(origin, config.format, longest=config.max_line_size, quiet=config.quiet)
        self.number = 1
        """Of the batch that is the next to be committed."""

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit until the end of the input."""
        await self._resume(emit)
        while chunk := await self._read(emit):
            self.stream.feed(chunk, self._now())
            await self._send(emit)
        self.stream.finish(self._now())
        await self._send(emit)

    def take_over(self, before: Holding) -> None:
        """Continue within the line, and the record, in which `before` stopped."""
        if not isinstance(before, Stdin):
            raise TypeError(f"not a stdin source: {before}")
        self.stream, self.number, options = before.stream, before.number, self._config
        self.stream.configure(options.format, longest=options.max_line_size, quiet=options.quiet, now_ns=self._now())

    async def finish(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Store the lines that were read, and the content of a pipe: no process reads it later."""
        self.stream.feed(waiting_in_pipe(self._fd), self._now())
        self.stream.finish(self._now())
        await self._resume(emit)

    async def close(self) -> None:
        """Nothing to release: standard input isn't ours."""

    async def _read(self, emit: Callable[[Batch], Awaitable[None]]) -> bytes:
        """Wait for the next bytes; a record that is open for too long is closed meanwhile."""
        try:
            async with asyncio.timeout(self.stream.patience):
                return await read_some(self._fd)
        except TimeoutError:
            self.stream.flush(self._now())
            await self._send(emit)
        return await read_some(self._fd)

    async def _resume(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Begin with the batches that are not committed."""
        if self.stream.batches and (await self._context.positions()).get(BATCH) == self._mark():
            self._advance()
        await self._send(emit)

    async def _send(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit the batches. One that fails stays, and is the first of the next run."""
        while self.stream.batches:
            await emit(self.stream.batches[0]._replace(positions={BATCH: self._mark()}))
            self._advance()

    def _mark(self) -> bytes:
        """The position after the first batch."""
        return f"{self.stream.origin.key}:{self.number}".encode()

    def _advance(self) -> None:
        self.stream.batches.popleft()
        self.number += 1


def waiting_in_pipe(fd: int) -> bytes:
    """Read what a pipe or a socket holds now; nothing from another kind of file."""
    mode = os.fstat(fd).st_mode
    size = in_pipe(fd) if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else 0
    with contextlib.suppress(BlockingIOError):  # another process reads from it as well
        return os.read(fd, size) if size else b""
    return b""
