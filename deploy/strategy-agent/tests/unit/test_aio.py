"""Background tasks and regular work."""

from __future__ import annotations

import asyncio
import time

from strategy_agent.aio import Tasks, every
from tests.support import eventually


async def test_leaving_the_block_ends_what_is_left() -> None:
    """Tasks that are done are forgotten, the others are cancelled and gone when the block is left."""
    ended: list[str] = []

    async def work(name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            ended.append(name)

    async with Tasks() as tasks:
        tasks.spawn(work("short", 0.0), "short")
        tasks.spawn(work("long", 60.0), "long")
        await eventually(lambda: len(tasks) == 1, "the end of the short one")
        assert ended == ["short"]
    assert ended == ["short", "long"]


async def test_regular_work_comes_again_and_again() -> None:
    """What a loop that was held up kept from happening is left out, not made up for in a rush."""
    calls: list[float] = []

    async def action() -> None:
        calls.append(time.monotonic())

    async with Tasks() as tasks:
        tasks.spawn(every(0.005, action), "work")
        await eventually(lambda: len(calls) >= 3, "three calls")
        time.sleep(0.1)  # noqa: ASYNC251 - the loop is held up for twenty calls
        held_up = len(calls)
        await eventually(lambda: len(calls) >= held_up + 4, "four more calls")
    assert calls[held_up + 3] - calls[held_up] >= 0.014
