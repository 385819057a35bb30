"""Reads the lines of standard input (`workload | outrider run`), until its end.

They can't be read again: what was read is held until it is committed, and while the spool is full the oldest that can't be read again makes
room. Never closes standard input, nor changes its blocking mode. At its end the source is done; the agent goes on with the others.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import Field

from agent.component import ComponentConfig, Context
from agent.fds import read_some
from agent.options import Interval, Size  # noqa: TC001 - pydantic reads them
from agent.parse.format_name import FormatName  # noqa: TC001 - pydantic reads it
from agent.parse.lines import Parser
from agent.record import Batch, Origin
from agent.telemetry import Drop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.record import LogRecord

STDIN: Final = 0


class StdinConfig(ComponentConfig):
    """Options of the `stdin` source."""

    format: FormatName = "auto"
    """Format of the lines; `auto` finds it."""
    quiet: Interval = 0.2
    """How long nothing may come before a traceback or a record of several lines counts as complete."""
    max_line_size: Size = Field(default=1 << 20, ge=1024)
    """A longer line is cut into pieces of this size, and counted."""


class Stdin:
    """The source. One run reads to the end; a run after a failure begins with what was not committed."""

    Config: ClassVar[type[ComponentConfig]] = StdinConfig
    replayable: ClassVar[bool] = False

    def __init__(self, config: StdinConfig, context: Context, fd: int = STDIN) -> None:
        self._config = config
        self._context = context
        self._fd = fd
        self._parser = Parser(config.format)
        self._origin = Origin(f"stdin:{context.clock.wall_ns()}", {"log.iostream": "stdin"})
        self._lines = LineCutter(config.max_line_size)
        self._unsent: Batch | None = None

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit until the end of the input."""
        await self._send(emit)
        while chunk := await self._read(emit):
            await self._take(self._lines.feed(chunk), emit)
        await self._take(self._lines.end(), emit)
        await self._flush(emit)

    async def close(self) -> None:
        """Nothing to release: standard input isn't ours."""

    async def _read(self, emit: Callable[[Batch], Awaitable[None]]) -> bytes:
        """The next bytes; a record that is open for too long is closed meanwhile."""
        try:
            async with asyncio.timeout(self._config.quiet if self._parser.open_offset() is not None else None):
                return await read_some(self._fd)
        except TimeoutError:
            await self._flush(emit)
        return await read_some(self._fd)

    async def _take(self, lines: list[tuple[int, bytes]], emit: Callable[[Batch], Awaitable[None]]) -> None:
        if not lines:
            return
        records, drops = self._parser.parse_chunk(lines, self._origin, self._context.clock.wall_ns())
        if cut := self._lines.take_cut():
            drops[Drop.OVERSIZED] = drops.get(Drop.OVERSIZED, 0) + cut
        await self._emit(records, drops, self._parser.text, emit)

    async def _flush(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        if self._parser.open_offset() is not None:
            records = self._parser.flush(self._context.clock.wall_ns())
            await self._emit(records, self._parser.take_drops(), None, emit)

    async def _emit(
        self, records: list[LogRecord], drops: dict[str, int], text: bytes | None, emit: Callable[[Batch], Awaitable[None]]
    ) -> None:
        if records or drops:
            self._unsent = Batch(records=records, drops=drops, text=text)
            await self._send(emit)

    async def _send(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit what waits. If it fails the batch stays, so that the next run begins with it."""
        if self._unsent is not None:
            await emit(self._unsent)
            self._unsent = None


class LineCutter:
    """Bytes → whole lines with their offsets; pure. What has no line end yet waits inside, up to the longest line."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = b""
        self._offset = 0
        self._cut = 0

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """The lines that are complete now."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        lines = [piece for line in whole for piece in self._pieces(line, 1)]
        while len(self._rest) > self._longest:
            self._cut += 1
            lines.append(self._line(self._rest[: self._longest], 0))
            self._rest = self._rest[self._longest :]
        return lines

    def end(self) -> list[tuple[int, bytes]]:
        """The last line, if it had no line end."""
        rest, self._rest = self._rest, b""
        return self._pieces(rest, 0) if rest else []

    def take_cut(self) -> int:
        """How many cuts were made since the last call."""
        cut, self._cut = self._cut, 0
        return cut

    def _pieces(self, line: bytes, end: int) -> list[tuple[int, bytes]]:
        """A line, in pieces if it is too long; `end` bytes of line end follow it."""
        pieces = [line[at : at + self._longest] for at in range(0, len(line), self._longest)] or [b""]
        self._cut += len(pieces) - 1
        return [self._line(piece, end if index == len(pieces) - 1 else 0) for index, piece in enumerate(pieces)]

    def _line(self, line: bytes, end: int) -> tuple[int, bytes]:
        offset = self._offset
        self._offset += len(line) + end
        return offset, line
