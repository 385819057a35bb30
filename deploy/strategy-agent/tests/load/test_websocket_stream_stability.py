"""Stability of a stream over time: forced drops, gaps and outages while it runs, bounded in count and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from strategy_agent.brokers.behaviour import CALM, Behaviour
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.brokers.stream import Stream, Subscription
from strategy_agent.brokers.tape import Tape
from strategy_agent.model import Tick
from strategy_agent.wire import decode_tick
from tests.support import RecordingObserver, eventually

RATE = 500
SECONDS = 1.5


class Listener:
    """A stream with what it saw."""

    def __init__(self, session: aiohttp.ClientSession, venue: PaperBroker) -> None:
        self.observer = RecordingObserver()
        self.seen: list[int] = []
        subscription = Subscription(lambda: f"{venue.url}/v1/stream/ticks", decode_tick, self._take)
        self.stream = Stream(session, subscription, self.observer)

    async def _take(self, seq: int, _: Tick) -> None:
        self.seen.append(seq)


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[None]:
    """Listen for as long as the block lasts."""
    task = asyncio.create_task(listener.stream.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def publish(market: Market, seconds: float = SECONDS) -> None:
    """Print trades at a rate."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        market.publish(Tick("BTC-USD", 100.0, time.time()))
        await asyncio.sleep(1 / RATE)


async def settle(market: Market, venue: PaperBroker, listener: Listener) -> None:
    """Let the listener catch up on a venue that behaves again."""
    venue._behaviour = CALM
    last = market.publish(Tick("BTC-USD", 100.0, time.time()))
    await eventually(lambda: listener.stream.last >= last, "the last frame")


@pytest.fixture
def market() -> Market:
    """Return an empty market."""
    return Market()


async def test_forced_drops_lose_nothing(market: Market, session: aiohttp.ClientSession) -> None:
    """Ten cuts while it runs: as many reconnects, and every frame once and in order."""
    async with PaperBroker("alpha", market) as venue:
        listener = Listener(session, venue)
        async with listening(listener):
            publishing = asyncio.create_task(publish(market))
            cuts = 0
            for _ in range(10):
                await asyncio.sleep(SECONDS / 12)
                cuts += venue.cut_connections()
            await publishing
            await settle(market, venue, listener)
    assert listener.seen == list(range(1, market.tape.last + 1))
    assert cuts >= 5
    assert listener.observer.reasons == ["dropped"] * cuts


async def test_constant_chaos_loses_nothing(market: Market, session: aiohttp.ClientSession) -> None:
    """Gaps and drops at random while it runs: both are seen and counted, and every frame arrives."""
    chaos = Behaviour(gap_ratio=0.05, disconnect_ratio=0.01)
    async with PaperBroker("alpha", market, seed=7, behaviour=chaos) as venue:
        listener = Listener(session, venue)
        async with listening(listener):
            await publish(market)
            await settle(market, venue, listener)
    assert listener.seen == list(range(1, market.tape.last + 1))
    assert listener.observer.missing > 0
    assert "dropped" in listener.observer.reasons
    assert listener.observer.gone == 0


async def test_an_outage_within_the_tape_is_caught_up_with(market: Market, session: aiohttp.ClientSession) -> None:
    """Half a second away while trading goes on: nothing is lost."""
    async with PaperBroker("alpha", market) as venue:
        listener = Listener(session, venue)
        async with listening(listener):
            publishing = asyncio.create_task(publish(market))
            await asyncio.sleep(0.3)
            await venue.outage(0.5)
            await publishing
            await settle(market, venue, listener)
    assert listener.seen == list(range(1, market.tape.last + 1))
    assert "refused" in listener.observer.reasons


async def test_an_outage_beyond_the_tape_is_accounted_for(session: aiohttp.ClientSession) -> None:
    """What the venue no longer has is counted: seen and lost add up to all that was printed."""
    market = Market(Tape(keep=50))
    async with PaperBroker("alpha", market) as venue:
        listener = Listener(session, venue)
        async with listening(listener):
            publishing = asyncio.create_task(publish(market))
            await asyncio.sleep(0.3)
            await venue.outage(0.7)
            await publishing
            await settle(market, venue, listener)
    assert listener.observer.gone > 0
    assert len(listener.seen) + listener.observer.gone == market.tape.last
    assert listener.seen == sorted(set(listener.seen))
