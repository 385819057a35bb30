"""Stability of a stream over time: forced drops, gaps and outages while it runs, bounded in count and time."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from strategy_agent.brokers.behaviour import CALM, Behaviour
from strategy_agent.brokers.paper import Market, PaperBroker, Tape
from strategy_agent.model import Tick
from tests.support import Follower, load_seconds, numbers, print_trades, ticks_of

RATE = 500
SECONDS = load_seconds()


async def publish(market: Market, seconds: float = SECONDS) -> None:
    """Print trades at a rate."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        print_trades(market)
        await asyncio.sleep(1 / RATE)


async def settle(market: Market, venue: PaperBroker, listener: Follower[Tick]) -> None:
    """Let the listener catch up on a venue that behaves again."""
    venue._behaviour = CALM
    await listener.reach(print_trades(market))


@pytest.fixture
def market() -> Market:
    """Return an empty market."""
    return Market()


async def test_forced_drops_lose_nothing(market: Market, session: aiohttp.ClientSession) -> None:
    """Ten cuts a second while it runs: as many reconnects, and every frame once and in order."""
    async with PaperBroker("alpha", market) as venue, ticks_of(session, venue) as listener:
        publishing = asyncio.create_task(publish(market))
        cuts = 0
        for _ in range(round(10 * SECONDS)):
            await asyncio.sleep(1 / 12)
            cuts += venue.cut_connections()
        await publishing
        await settle(market, venue, listener)
    assert numbers(listener.seen) == list(range(1, market.tape.last + 1))
    assert cuts >= 5
    assert listener.reasons() == {"dropped": cuts}


async def test_constant_chaos_loses_nothing(market: Market, session: aiohttp.ClientSession) -> None:
    """Gaps and drops at random while it runs: both are seen and counted, and every frame arrives."""
    chaos = Behaviour(gap_ratio=0.05, disconnect_ratio=0.01)
    async with PaperBroker("alpha", market, seed=7, behaviour=chaos) as venue, ticks_of(session, venue) as listener:
        await publish(market)
        await settle(market, venue, listener)
    assert numbers(listener.seen) == list(range(1, market.tape.last + 1))
    assert listener.missing > 0
    assert "dropped" in listener.reasons()
    assert listener.gone == 0


async def test_an_outage_within_the_tape_is_caught_up_with(market: Market, session: aiohttp.ClientSession) -> None:
    """Half a second away while trading goes on: nothing is lost."""
    async with PaperBroker("alpha", market) as venue, ticks_of(session, venue) as listener:
        publishing = asyncio.create_task(publish(market))
        await asyncio.sleep(0.3)
        await venue.outage(0.5)
        await publishing
        await settle(market, venue, listener)
    assert numbers(listener.seen) == list(range(1, market.tape.last + 1))
    assert "refused" in listener.reasons()


async def test_an_outage_beyond_the_tape_is_accounted_for(session: aiohttp.ClientSession) -> None:
    """What the venue no longer has is counted: seen and lost add up to all that was printed."""
    market = Market(Tape(keep=50))
    async with PaperBroker("alpha", market) as venue, ticks_of(session, venue) as listener:
        publishing = asyncio.create_task(publish(market))
        await asyncio.sleep(0.3)
        await venue.outage(0.7)
        await publishing
        await settle(market, venue, listener)
    assert listener.gone > 0
    assert len(listener.seen) + listener.gone == market.tape.last
    assert numbers(listener.seen) == sorted(set(numbers(listener.seen)))
