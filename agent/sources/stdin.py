"""Reads the lines of standard input (`workload | outrider run`), until its end.

They can't be read again: what was read is held until it is committed, and while the spool is full the oldest that can't be read again makes
room. Never closes standard input, nor changes its blocking mode. At its end the source is done; the agent goes on with the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import Field

from agent.component import ComponentConfig, Context, Holding
from agent.fds import in_pipe, read_some
from agent.options import Interval, Size  # noqa: TC001 - pydantic reads them
from agent.parse.cutter import LineCutter
from agent.parse.format_name import FormatName  # noqa: TC001 - pydantic reads it
from agent.parse.limits import OPEN_AGE
from agent.parse.lines import Parser
from agent.record import Batch, Drop, Origin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent.record import LogRecord

STDIN: Final = 0
BATCH: Final = "batch"


class StdinConfig(ComponentConfig):
    """Options of the `stdin` source."""

    format: FormatName = "auto"
    """Format of the lines; `auto` finds it."""
    quiet: Interval = 0.2
    """How long nothing may come before a traceback or a record of several lines counts as complete; after 2 s (or this, if it is longer) it is
    given out in any case, with the attribute `log.incomplete`."""
    max_line_size: Size = Field(default=1 << 20, ge=1024)
    """A longer line is cut into pieces of this size, and counted."""


@dataclass(slots=True)
class Reading:
    """How far one input is read: it outlives the configuration that it was begun with."""

    origin: Origin
    lines: LineCutter
    parser: Parser
    format: str
    """That of `parser`."""
    closing: list[Parser] = field(default_factory=list)
    """Parsers of other formats before it: their open records are the last that they give."""
    batches: int = 0
    unsent: Batch | None = None


class Stdin:
    """The source. One run reads to the end; whoever runs next, or takes over, begins with what was not committed.

    `BATCH` is its one position: which batch was committed last. An `emit` that was cut off may have been committed all the same.
    """

    Config: ClassVar[type[ComponentConfig]] = StdinConfig
    replayable: ClassVar[bool] = False

    def __init__(self, config: StdinConfig, context: Context, fd: int = STDIN) -> None:
        self._config = config
        self._context = context
        self._fd = fd
        origin = Origin(f"stdin:{context.clock.wall_ns()}", {"log.iostream": "stdin"})
        self.reading = Reading(origin, LineCutter(config.max_line_size), Parser(config.format), config.format)

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit until the end of the input."""
        await self._resume(emit)
        while chunk := await self._read(emit):
            await self._take(self.reading.lines.feed(chunk), emit)
            await self._expire(emit)
        await self._complete(emit)

    def take_over(self, before: Holding) -> None:
        """Go on within the line, and the record, that `before` stopped in."""
        if not isinstance(before, Stdin):
            raise TypeError(f"not a stdin source: {before}")
        self.reading = reading = before.reading
        reading.lines.longest = self._config.max_line_size
        if reading.format != self._config.format:
            reading.closing.append(reading.parser)
            reading.parser, reading.format = Parser(self._config.format), self._config.format

    async def finish(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Store what was read, and what a pipe holds by now: whoever wrote it has done with it."""
        await self._resume(emit)
        if waiting := waiting_in_pipe(self._fd):
            await self._take(self.reading.lines.feed(waiting), emit)
        await self._complete(emit)

    async def close(self) -> None:
        """Nothing to release: standard input isn't ours."""

    async def _resume(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Begin with what was not committed."""
        unsent = self.reading.unsent
        if unsent is not None and (await self._context.positions()).get(BATCH) == unsent.positions[BATCH]:
            self.reading.unsent = None
        await self._send(emit)
        while self.reading.closing:
            await self._flush(self.reading.closing.pop(0), emit)

    async def _complete(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Nothing follows what is held back."""
        await self._take(self.reading.lines.end(), emit)
        await self._flush(self.reading.parser, emit)

    async def _read(self, emit: Callable[[Batch], Awaitable[None]]) -> bytes:
        """The next bytes; a record that is open for too long is closed meanwhile."""
        try:
            async with asyncio.timeout(self._config.quiet if self.reading.parser.open_offset() is not None else None):
                return await read_some(self._fd)
        except TimeoutError:
            await self._flush(self.reading.parser, emit)
        return await read_some(self._fd)

    async def _take(self, lines: list[tuple[int, bytes]], emit: Callable[[Batch], Awaitable[None]]) -> None:
        if not lines:
            return
        records, drops = self.reading.parser.parse_chunk(lines, self.reading.origin, self._context.clock.wall_ns())
        if cut := self.reading.lines.take_cut():
            drops[Drop.OVERSIZED] = drops.get(Drop.OVERSIZED, 0) + cut
        await self._emit(records, drops, self.reading.parser.text, emit)

    async def _expire(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Close what is open for too long although more is written."""
        parser = self.reading.parser
        if parser.open_offset() is not None:
            records = parser.expire(self._context.clock.wall_ns(), self._config.quiet, max(OPEN_AGE, self._config.quiet))
            await self._emit(records, parser.take_drops(), None, emit)

    async def _flush(self, parser: Parser, emit: Callable[[Batch], Awaitable[None]]) -> None:
        if parser.open_offset() is not None:
            records = parser.flush(self._context.clock.wall_ns())
            await self._emit(records, parser.take_drops(), None, emit)

    async def _emit(
        self, records: Sequence[LogRecord], drops: dict[str, int], text: bytes | None, emit: Callable[[Batch], Awaitable[None]]
    ) -> None:
        if records or drops:
            self.reading.batches += 1
            mark = f"{self.reading.origin.key}:{self.reading.batches}".encode()
            self.reading.unsent = Batch(records=records, positions={BATCH: mark}, drops=drops, text=text)
            await self._send(emit)

    async def _send(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit what waits. If it fails the batch stays, so that whoever runs next begins with it."""
        if self.reading.unsent is not None:
            await emit(self.reading.unsent)
            self.reading.unsent = None


def waiting_in_pipe(fd: int) -> bytes:
    """What can be read at once from a pipe or a socket; nothing from anything else."""
    mode = os.fstat(fd).st_mode
    size = in_pipe(fd) if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else 0
    with contextlib.suppress(BlockingIOError):  # somebody else reads from it as well
        return os.read(fd, size) if size else b""
    return b""
