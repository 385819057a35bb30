"""One output of the command: bytes from its pipe → records."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from agent.errors import SpoolError
from agent.parse.line_stream import LineStream
from agent.record import Drop
from agent.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from agent.clock import Clock
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
AGAIN: Final = Backoff(first=0.2, longest=2.0)
TRIES: Final = 5
"""Attempts to store a batch while the spool can't be written; the spool itself makes several in each."""


class Output:
    """The lines of one pipe."""

    def __init__(self, relay: Relay, origin: Origin, format_: str, clock: Clock) -> None:
        self.relay = relay
        self._clock = clock
        self._stream = LineStream(origin, format_, longest=LONGEST, quiet=QUIET)

    async def collect(self, emit: Emit, exited: Callable[[], Awaitable[Exit]]) -> None:
        """Emit until the end of the output. An open record is complete after a quiet moment, at a gap and at the end."""
        await self.send(emit)
        while (piece := await self._next(emit)) is not None:
            if piece.lost:
                self._stream.count(Drop.BUFFER_FULL, piece.lost)
                self._stream.skip(piece.skipped, self._clock.wall_ns())
            self._stream.count(Drop.NOT_PASSED_ON, piece.unwritten)
            self._stream.feed(piece.data, self._clock.wall_ns())
            await self.send(emit)
        failed = self._stream.patience is not None and await ended_by_exception(exited)
        self._stream.finish(self._clock.wall_ns(), failed=failed)
        await self.send(emit)

    async def _next(self, emit: Emit) -> Piece | None:
        while True:
            try:
                async with asyncio.timeout(self._stream.patience):
                    await self.relay.ready()
                return await self.relay.take(LINGER)
            except TimeoutError:
                self._stream.flush(self._clock.wall_ns())
                await self.send(emit)

    async def send(self, emit: Emit, *batches: Batch) -> None:
        """Emit all complete batches, and then these. One that can't be stored is given up: a disk that fails must not stop the command."""
        self._stream.batches += batches
        while self._stream.batches:
            batch, is_stored = self._stream.batches.popleft(), False
            try:
                is_stored = await self._store(emit, batch)
            finally:
                if not is_stored:
                    self._stream.give_up(batch)

    async def _store(self, emit: Emit, batch: Batch) -> bool:
        for attempt in range(1, TRIES + 1):
            try:
                await emit(batch)
            except SpoolError:  # the spool reports it itself
                await self._clock.sleep(AGAIN.delay(attempt, 0.5))
            else:
                return True
        return False

    def give_up(self) -> Mapping[str, int]:
        """Stop collecting; return the losses that no batch has counted. Output is still passed on."""
        self._stream.finish(self._clock.wall_ns())
        while self._stream.batches:
            self._stream.give_up(self._stream.batches.popleft())
        self._stream.count(Drop.SPOOL_FAILED, self.relay.abandon())
        return self._stream.take_counts()


async def ended_by_exception(exited: Callable[[], Awaitable[Exit]]) -> bool:
    """Return whether a command whose output has ended exits with the code of an interpreter after an uncaught exception."""
    try:
        async with asyncio.timeout(EXPLAINED):
            return (await exited()).returncode == 1
    except TimeoutError:
        return False
