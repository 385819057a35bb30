"""A gate in front of the tick path, so that a stall can be made to happen."""

from __future__ import annotations

import asyncio


class Gate:
    """Lets ticks through while it is open. Closing it makes the agent stall without stopping anything else."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    def close(self) -> None:
        """Hold everybody up who comes."""
        self._open.clear()

    def open(self) -> None:
        """Let everybody through."""
        self._open.set()

    async def passage(self) -> None:
        """Return when the gate is open."""
        await self._open.wait()
