"""Time, so that tests need none: intervals are monotonic, the wall clock is only data."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the agent needs of time."""

    def monotonic(self) -> float:
        """Seconds of a clock that never jumps: for every interval."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch: only to be written into data."""

    async def sleep(self, seconds: float) -> None:
        """Wait, by the monotonic clock."""


class SystemClock:
    """The real thing."""

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC, in seconds."""
        return time.monotonic()

    def wall_ns(self) -> int:
        """CLOCK_REALTIME, in nanoseconds; 0 where it is set to before 1970, because no format we write has a time before that."""
        return max(0, time.time_ns())

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)
