"""The decisions of a stream: what to do with a frame, how long to wait."""

from __future__ import annotations

import asyncio
from typing import NoReturn, Self, cast

import aiohttp
import pytest

from strategy_agent.brokers.stream import Step, Stream, Subscription, backoff, decide
from strategy_agent.model import Tick
from strategy_agent.wire import decode_tick
from tests.support import RecordingObserver, eventually


@pytest.mark.parametrize(
    ("last", "seq", "resuming", "step"),
    [
        (0, 1, False, Step.DELIVER),
        (4, 5, False, Step.DELIVER),
        (4, 5, True, Step.DELIVER),
        (4, 6, False, Step.RESUME),
        (4, 6, True, Step.IGNORE),
        (4, 4, False, Step.IGNORE),
        (4, 1, True, Step.IGNORE),
    ],
)
def test_a_frame_is_delivered_in_order_once(last: int, seq: int, resuming: bool, step: Step) -> None:
    """The next number is delivered, an old one ignored, a later one asks once for what is missing."""
    assert decide(last, seq, resuming=resuming) is step


def test_backoff_doubles_up_to_its_limit() -> None:
    """Waiting starts small, doubles, and never exceeds the limit, however long the outage."""
    assert [backoff(attempt) for attempt in (1, 2, 3, 4, 5)] == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert {backoff(attempt) for attempt in (6, 100, 100_000)} == {1.0}


class BrokenSession:
    """A session whose connections break: on being made, or in use."""

    def __init__(self, *, in_use: bool) -> None:
        self.in_use = in_use

    def ws_connect(self, *_: object, **__: object) -> Self:
        """Stand in for the connection's context manager."""
        return self

    async def __aenter__(self) -> Self:
        if not self.in_use:
            raise aiohttp.ClientConnectionError
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> NoReturn:
        raise aiohttp.ClientConnectionResetError


@pytest.mark.parametrize(("in_use", "reason"), [(False, "refused"), (True, "dropped")])
async def test_only_a_connection_that_never_stood_was_refused(in_use: bool, reason: str) -> None:
    """What breaks in use, even while we send, was dropped: the venue may be well."""

    async def ignore(_: int, __: Tick) -> None:
        """Take nothing."""

    observer = RecordingObserver()
    session = cast(aiohttp.ClientSession, BrokenSession(in_use=in_use))
    stream = Stream(session, Subscription(lambda: "http://alpha", decode_tick, ignore), observer)
    task = asyncio.create_task(stream.run())
    await eventually(lambda: len(observer.reasons) >= 2, "two attempts")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert set(observer.reasons) == {reason}
