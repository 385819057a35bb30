"""Many sustained sockets on one venue, bounded in count and time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.brokers.stream import OnItem, Stream, Subscription
from strategy_agent.model import Tick
from strategy_agent.wire import decode_tick
from tests.support import RecordingObserver, eventually

SOCKETS = 40
TICKS = 250


def open_files() -> int:
    """Return how many file descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Crowd:
    """So many subscribers of one venue, each with what it saw."""

    def __init__(self, session: aiohttp.ClientSession, venue: PaperBroker) -> None:
        self.observers = [RecordingObserver() for _ in range(SOCKETS)]
        self.seen: list[list[int]] = [[] for _ in range(SOCKETS)]
        self.streams = [
            Stream(session, Subscription(lambda: f"{venue.url}/v1/stream/ticks", decode_tick, self._taker(n)), observer)
            for n, observer in enumerate(self.observers)
        ]
        self._tasks = [asyncio.create_task(stream.run()) for stream in self.streams]

    def _taker(self, number: int) -> OnItem[Tick]:
        async def take(seq: int, _: Tick) -> None:
            self.seen[number].append(seq)

        return take

    async def connected(self) -> None:
        """Wait until all stand."""
        await eventually(lambda: all(observer.connections for observer in self.observers), "all connections")

    async def reached(self, seq: int) -> None:
        """Wait until all have seen a frame."""
        await eventually(lambda: all(stream.last >= seq for stream in self.streams), f"frame {seq} for all")

    async def close(self) -> None:
        """Leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
def market() -> Market:
    """Return an empty market."""
    return Market()


async def test_every_socket_gets_every_tick(market: Market, session: aiohttp.ClientSession) -> None:
    """Forty subscribers each see all ticks once and in order, over one connection each."""
    async with PaperBroker("alpha", market) as venue:
        crowd = Crowd(session, venue)
        await crowd.connected()
        for number in range(TICKS):
            market.publish(Tick("BTC-USD", 100.0 + number, time.time()))
            await asyncio.sleep(0)
        await crowd.reached(TICKS)
        await crowd.close()
    assert all(seen == list(range(1, TICKS + 1)) for seen in crowd.seen)
    assert {observer.connections for observer in crowd.observers} == {1}


async def test_a_slow_subscriber_holds_nobody_up(market: Market, session: aiohttp.ClientSession) -> None:
    """One that does not read leaves the others undisturbed, and costs the venue no queue."""
    async with (
        PaperBroker("alpha", market) as venue,
        session.ws_connect(f"{venue.url}/v1/stream/ticks", autoping=False),
    ):
        crowd = Crowd(session, venue)
        await crowd.connected()
        for number in range(TICKS):
            market.publish(Tick("BTC-USD", 100.0 + number, time.time()))
        await crowd.reached(TICKS)
        await crowd.close()
    assert all(len(seen) == TICKS for seen in crowd.seen)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to count file descriptors")
async def test_sockets_are_given_back(market: Market, session: aiohttp.ClientSession) -> None:
    """After several rounds of connecting and leaving, no file descriptor is left behind."""
    async with PaperBroker("alpha", market) as venue:
        before = open_files()
        for _ in range(3):
            crowd = Crowd(session, venue)
            await crowd.connected()
            await crowd.close()
        await eventually(lambda: not venue._subscribers, "the venue to notice")
        await eventually(lambda: open_files() <= before + 2, "descriptors to be closed")
