"""A clock that stands still until a test advances it."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import Final

START_NS: Final = 1_700_000_000_000_000_000
"""The wall clock at the beginning: 2023-11-14T22:13:20Z."""


class FakeClock:
    """Monotonic time and wall clock move together, by `advance` alone; who sleeps wakes up in the order of the deadlines."""

    def __init__(self, wall_ns: int = START_NS) -> None:
        self._origin_ns = wall_ns
        self._now = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return self._origin_ns + round(self._now * 1e9)

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has gone that far."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + max(seconds, 0), next(self._order), future))
        await future

    @property
    def sleeping(self) -> int:
        """How many sleep at present."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Let time pass, and let woken tasks run until each waits again."""
        await settle()
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = end


async def settle(turns: int = 20) -> None:
    """Let every task that can run do so, some steps long."""
    for _ in range(turns):
        await asyncio.sleep(0)
