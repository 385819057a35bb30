"""Several brokers at once: throughput and accounting under contention, bounded in count and time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack

import aiohttp
import pytest

from strategy_agent.brokers.behaviour import CALM, CHAOS, Behaviour
from strategy_agent.brokers.client import Broker, BrokerError
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.desk import Account
from strategy_agent.model import Fill, Order, Side
from tests.support import Follower, eventually, load_seconds

BROKERS = 4
ORDERS = 100
CONCURRENCY = 16

Outcomes = Counter[str]


def orders(broker: str) -> list[Order]:
    """Return orders that buy and sell the same quantity."""
    sides = (Side.BUY, Side.SELL)
    return [Order(f"{broker}-{number}", "BTC-USD", sides[number % 2], 1.0) for number in range(ORDERS)]


async def submit_all(client: Broker, wanted: list[Order]) -> tuple[Outcomes, list[float]]:
    """Submit with bounded concurrency; return the outcomes by word and the latencies of the answers."""
    gate = asyncio.Semaphore(CONCURRENCY)
    outcomes, latencies = Outcomes(), list[float]()

    async def submit(order: Order) -> None:
        async with gate:
            started = time.perf_counter()
            try:
                await client.submit(order)
                outcomes["acknowledged"] += 1
            except BrokerError as error:
                outcomes[error.reason] += 1
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*map(submit, wanted))
    return outcomes, latencies


def position(fills: list[Fill]) -> float:
    """Return what an account holds after these fills."""
    account = Account()
    for fill in fills:
        account.book(fill)
    return account.position("BTC-USD")


async def trade(
    market: Market, session: aiohttp.ClientSession, behaviour: Behaviour
) -> list[tuple[Outcomes, list[Fill]]]:
    """Trade on all brokers at once and return what came of it per broker."""
    async with AsyncExitStack() as stack:
        venues = [PaperBroker(f"venue-{number}", market, seed=7, behaviour=behaviour) for number in range(BROKERS)]
        for venue in venues:
            await stack.enter_async_context(venue)
        followers = [Follower(session, venue, "fills", Fill) for venue in venues]
        for follower in followers:
            await stack.enter_async_context(follower)
        clients = [Broker(venue.name, venue.url, session) for venue in venues]
        results = await asyncio.gather(*(submit_all(client, orders(client.name)) for client in clients))
        for (outcomes, _), follower, venue in zip(results, followers, venues, strict=True):
            await eventually(lambda venue=venue: not venue._filling, "the last fill")  # type: ignore[misc]
            venue._behaviour = CALM  # a gap at the very end shows with the next frame only
            venue._fills.append(Fill("the end", "X", Side.BUY, 1.0, 1.0))
            await follower.reach(venue._fills.last)
            *fills, _ = follower.seen
            assert len(fills) == outcomes["acknowledged"]
    return [(outcomes, follower.seen) for (outcomes, _), follower in zip(results, followers, strict=True)]


async def test_calm_brokers_take_and_fill_everything(market: Market, session: aiohttp.ClientSession) -> None:
    """Of 400 orders on 4 brokers every one is filled, and the books balance; again for as long as asked."""
    deadline, rounds = time.monotonic() + load_seconds(0.0), 0
    while not rounds or time.monotonic() < deadline:
        rounds += 1
        for outcomes, fills in await trade(market, session, CALM):
            assert outcomes == {"acknowledged": ORDERS}
            assert position(fills) == pytest.approx(0.0, abs=1e-9)


async def test_chaotic_brokers_account_for_every_order(market: Market, session: aiohttp.ClientSession) -> None:
    """Every order is either filled or refused for a reason, none is lost, and the same ones in every run."""
    chaos = Behaviour(reject_ratio=0.2, rate_limit_ratio=0.2, gap_ratio=0.05)
    first = [outcomes for outcomes, _ in await trade(market, session, chaos)]
    second = [outcomes for outcomes, _ in await trade(market, session, chaos)]
    assert all(outcomes.total() == ORDERS for outcomes in first)
    assert all(
        set(outcomes) == {"acknowledged", "rate_limited", "insufficient_margin", "price_band"} for outcomes in first
    )
    assert first == second
    assert len({tuple(sorted(outcomes.items())) for outcomes in first}) > 1


async def test_answers_stay_quick_under_contention(market: Market, session: aiohttp.ClientSession) -> None:
    """With 16 orders in flight, half of the answers take less than a quarter of a second, and none times out."""
    async with PaperBroker("alpha", market, seed=7, behaviour=CHAOS) as venue:
        outcomes, latencies = await submit_all(Broker("alpha", venue.url, session), orders("alpha"))
    assert outcomes["timeout"] == outcomes["unreachable"] == 0
    assert sorted(latencies)[ORDERS // 2] < 0.25
