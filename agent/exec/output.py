"""One output of the command: bytes from its pipe → records."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from agent.parse.line_stream import LineStream
from agent.record import Drop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.exec.backlog import Piece
    from agent.exec.command import Exit
    from agent.exec.relay import Relay
    from agent.record import Batch, Origin

    Emit = Callable[[Batch], Awaitable[None]]

LONGEST: Final = 1 << 20
"""Bytes: a longer line is cut into pieces of this size, and counted; memory stays bounded whatever the command writes."""
QUIET: Final = 0.2
"""Seconds without output after which an open record (a traceback) is taken as complete."""
LINGER: Final = 0.25
"""Seconds that are waited for more output, so that a trickle of lines is not one request for each. An agent that is killed meanwhile loses it."""
EXPLAINED: Final = 0.5
"""Seconds from the end of the output to the end of the command, at most, for the one to be explained by the other."""


class Output:
    """What one of its pipes said, line by line."""

    def __init__(self, relay: Relay, origin: Origin, format_: str, now_ns: Callable[[], int]) -> None:
        self.relay = relay
        self._now = now_ns
        self._stream = LineStream(origin, format_, longest=LONGEST, quiet=QUIET)

    async def collect(self, emit: Emit, exited: Callable[[], Awaitable[Exit]]) -> None:
        """Emit to the end of the output. A record that is open is complete after a quiet moment, at a gap and at the end."""
        await self._send(emit)
        while (piece := await self._next(emit)) is not None:
            if piece.lost:
                self._stream.count(Drop.BUFFER_FULL, piece.lost)
                self._stream.skip(piece.skipped, self._now())
            self._stream.count(Drop.NOT_PASSED_ON, piece.unwritten)
            self._stream.feed(piece.data, self._now())
            await self._send(emit)
        failed = self._stream.patience is not None and await ended_by_exception(exited)
        self._stream.finish(self._now(), failed=failed)
        await self._send(emit)

    async def _next(self, emit: Emit) -> Piece | None:
        while True:
            try:
                async with asyncio.timeout(self._stream.patience):
                    await self.relay.ready()
                return await self.relay.take(LINGER)
            except TimeoutError:
                self._stream.flush(self._now())
                await self._send(emit)

    async def _send(self, emit: Emit) -> None:
        """Emit what is complete. A batch that fails is not tried again: `emit` has done so, and counted it."""
        while self._stream.batches:
            await emit(self._stream.batches.popleft())


async def ended_by_exception(exited: Callable[[], Awaitable[Exit]]) -> bool:
    """Whether a command whose output is at its end exits as an interpreter does for an exception that was not caught."""
    try:
        async with asyncio.timeout(EXPLAINED):
            return (await exited()).returncode == 1
    except TimeoutError:
        return False
