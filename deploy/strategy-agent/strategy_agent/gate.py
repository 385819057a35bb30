"""A gate in front of the tick path, so that a stall can be made to happen."""

from __future__ import annotations

import asyncio


class Gate:
    """Lets ticks through while nobody keeps it closed; every :meth:`close` needs an :meth:`open` of its own.

    Closing it makes the agent stall without stopping anything else.
    """

    def __init__(self) -> None:
        self._closers = 0
        self._open = asyncio.Event()
        self._open.set()

    def close(self) -> None:
        """Hold everybody up who comes."""
        self._closers += 1
        self._open.clear()

    def open(self) -> None:
        """Let everybody through, unless somebody else still holds them up."""
        self._closers -= 1
        if self._closers == 0:
            self._open.set()

    async def passage(self) -> None:
        """Return when the gate is open."""
        await self._open.wait()
