"""The same seed through real sockets: what is decided does not depend on the wire."""

from __future__ import annotations

import time
from itertools import islice

import aiohttp

from strategy_agent.bots import MeanReversionBot, MomentumBot
from strategy_agent.brokers.behaviour import Behaviour
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.market import SCENARIOS, price_path
from strategy_agent.model import AccountData, Decision, Tick
from strategy_agent.router import StrategyRouter
from tests.support import eventually, ticks_of

TICKS = 600


def make_router() -> StrategyRouter:
    """Return the router that the agent uses."""
    router = StrategyRouter()
    router.register_bot(MomentumBot())
    router.register_bot(MeanReversionBot())
    return router


def prices() -> list[float]:
    """Return the prices of a seeded scenario."""
    points = islice(price_path(SCENARIOS["steady-trend"], 7, "BTC-USD"), TICKS)
    return [point.price for point in points if point.price is not None]


async def over_the_wire(session: aiohttp.ClientSession, behaviour: Behaviour) -> list[Decision]:
    """Return the decisions made on ticks that came through a venue."""
    market, router = Market(), make_router()
    async with (
        PaperBroker("alpha", market, seed=3, behaviour=behaviour) as venue,
        ticks_of(session, venue) as follower,
    ):
        await eventually(lambda: bool(venue._connections), "a connection")
        for price in prices():
            market.publish(Tick("BTC-USD", price, time.time()))
        await follower.reach(int(TICKS * 0.9))
        # A gap at the very end shows with the next frame only, so one more must come for certain.
        venue._behaviour = Behaviour()
        market.publish(Tick("BTC-USD", 1.0, time.time()))
        await follower.reach(TICKS + 1)
    chaotic = behaviour != Behaviour()
    assert bool(follower.reasons()) is chaotic
    return [router.process_tick(tick.symbol, tick.price, AccountData()) for tick in follower.seen[:TICKS]]


async def test_decisions_are_the_same_offline_calm_and_chaotic(session: aiohttp.ClientSession) -> None:
    """Gaps, drops and reconnects change when a decision is made, not which."""
    offline_router = make_router()
    offline = [offline_router.process_tick("BTC-USD", price, AccountData()) for price in prices()]
    assert await over_the_wire(session, Behaviour()) == offline
    assert await over_the_wire(session, Behaviour(gap_ratio=0.1, disconnect_ratio=0.02)) == offline
