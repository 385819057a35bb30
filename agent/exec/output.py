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
"""Seconds to wait for more output, so that a trickle of lines is not one request for each. An agent that is killed meanwhile loses it."""
EXPLAINED: Final = 0.5
"""Seconds between the end of the output and the end of the command, at most, for one to explain the other."""


class Output:
    """The lines of one pipe."""

    def __init__(self, relay: Relay, origin: Origin, format_: str, now_ns: Callable[[], int]) -> None:
        self.relay = relay
        self._now = now_ns
        self._stream = LineStream(origin, format_, longest=LONGEST, quiet=QUIET)

    async def collect(self, emit: Emit, exited: Callable[[], Awaitable[Exit]]) -> None:
        """Emit until the end of the output. An open record is complete after a quiet moment, at a gap and at the end."""
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
        """Emit all complete batches. One that fails is not tried again: `emit` has done that, and counted it."""
        while self._stream.batches:
            await emit(self._stream.batches.popleft())


async def ended_by_exception(exited: Callable[[], Awaitable[Exit]]) -> bool:
    """Return whether a command whose output has ended exits with the code of an interpreter after an uncaught exception."""
    try:
        async with asyncio.timeout(EXPLAINED):
            return (await exited()).returncode == 1
    except TimeoutError:
        return False
