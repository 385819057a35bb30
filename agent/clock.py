"""Time, replaceable in tests. Intervals use the monotonic clock; the wall clock is only data."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Clock(Protocol):
    """The agent's access to time."""

    def monotonic(self) -> float:
        """Seconds of a clock that never jumps: for every interval."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch: only to be written into data."""

    async def sleep(self, seconds: float) -> None:
        """Wait, by the monotonic clock."""


class SystemClock:
    """The system's clocks."""

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC, in seconds."""
        return time.monotonic()

    def wall_ns(self) -> int:
        """CLOCK_REALTIME, in nanoseconds; 0 where it is set to before 1970, because no format we write has a time before that."""
        return max(0, time.time_ns())

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)


def next_due(due: float, now: float, interval: float) -> float:
    """The next moment of a beat that does not drift; beats that were missed are left out."""
    missed = max(0.0, now - due) // interval
    return due + (missed + 1) * interval


async def every(clock: Clock, interval: float, act: Callable[[], Awaitable[None]]) -> None:
    """Act at once and then at every beat, until cancelled. For components that work at an interval."""
    due = clock.monotonic()
    while True:
        await act()
        due = next_due(due, clock.monotonic(), interval)
        await clock.sleep(due - clock.monotonic())
