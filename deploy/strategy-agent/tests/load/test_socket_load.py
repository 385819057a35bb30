"""Many sustained sockets on one venue, bounded in count and time."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import aiohttp
import pytest

from strategy_agent.brokers.paper import Market, PaperBroker
from tests.support import eventually, load_seconds, numbers, print_trades, ticks_of

SOCKETS = 40
TICKS = 250


def open_files() -> int:
    """Return how many file descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Crowd:
    """So many subscribers of one venue, each with what it saw; the block is their life."""

    def __init__(self, session: aiohttp.ClientSession, venue: PaperBroker) -> None:
        self.followers = [ticks_of(session, venue) for _ in range(SOCKETS)]
        self._venue = venue
        self._before = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._before = len(self._venue._connections)
        for follower in self.followers:
            await self._stack.enter_async_context(follower)
        await eventually(lambda: len(self._venue._connections) == self._before + SOCKETS, "all connections")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        await eventually(lambda: len(self._venue._connections) == self._before, "the venue to notice that they left")

    async def reached(self, seq: int) -> None:
        """Wait until all have seen a frame."""
        for follower in self.followers:
            await follower.reach(seq)


@pytest.fixture
def market() -> Market:
    """Return an empty market."""
    return Market()


async def test_every_socket_gets_every_tick(market: Market, session: aiohttp.ClientSession) -> None:
    """Forty subscribers each see all ticks once and in order, over one connection each, for as long as asked."""
    deadline = time.monotonic() + load_seconds(0.0)
    async with PaperBroker("alpha", market) as venue, Crowd(session, venue) as crowd:
        while market.tape.last < TICKS or time.monotonic() < deadline:
            print_trades(market, TICKS)
            await crowd.reached(market.tape.last)
        assert not any(follower.reasons() for follower in crowd.followers)
    assert all(numbers(follower.seen) == list(range(1, market.tape.last + 1)) for follower in crowd.followers)


async def test_a_slow_subscriber_holds_nobody_up(market: Market, session: aiohttp.ClientSession) -> None:
    """One that does not read leaves the others undisturbed, and costs the venue no queue."""
    async with (
        PaperBroker("alpha", market) as venue,
        session.ws_connect(f"{venue.url}/v1/stream/ticks", autoping=False),
        Crowd(session, venue) as crowd,
    ):
        print_trades(market, TICKS)
        await crowd.reached(TICKS)
    assert all(len(follower.seen) == TICKS for follower in crowd.followers)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to count file descriptors")
async def test_sockets_are_given_back(market: Market, session: aiohttp.ClientSession) -> None:
    """After several rounds of connecting and leaving, no file descriptor is left behind."""
    async with PaperBroker("alpha", market) as venue:
        before = open_files()
        for _ in range(3):
            async with Crowd(session, venue):
                pass
        await eventually(lambda: open_files() <= before + 2, "descriptors to be closed")
