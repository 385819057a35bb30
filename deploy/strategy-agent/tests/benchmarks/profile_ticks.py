"""Where a tick's time goes: runs the tick path on seeded prices under cProfile and prints the functions by own time.

    python tests/benchmarks/profile_ticks.py [TICKS] [FILE]

``tottime`` is what a function costs itself, ``cumtime`` what it costs with all that it calls, both in seconds over
all ticks. FILE takes the raw profile, for a viewer of one's choice.
"""

from __future__ import annotations

import asyncio
import cProfile
import logging
import pstats
import sys
from itertools import islice

import structlog
from opentelemetry.trace import NoOpTracer

from strategy_agent.bots import MeanReversionBot, MomentumBot
from strategy_agent.brokers.client import BrokerRegistry
from strategy_agent.desk import Account, OrderDesk
from strategy_agent.market import SCENARIOS, market
from strategy_agent.model import Book, Level, Order, Tick
from strategy_agent.orderbook import OrderBookCache
from strategy_agent.outlets import Events, Metrics, Outlets
from strategy_agent.router import StrategyRouter
from strategy_agent.trader import Trader

SYMBOLS = ("BTC-USD", "ETH-USD")


class Desk(OrderDesk):
    """Takes orders and does nothing: the venue is not what is looked at."""

    def submit(self, order: Order) -> None:
        """Drop it."""


async def book(symbol: str) -> Book:
    """Return a narrow book."""
    return Book(symbol, 0.0, (Level(99.99, 1.0),), (Level(100.01, 1.0),))


def make_trader() -> Trader:
    """Return the tick path as the service has it."""
    router = StrategyRouter()
    for bot in (MomentumBot(), MeanReversionBot()):
        router.register_bot(bot)
    account, out = Account(), Outlets(Metrics(SYMBOLS), Events(), NoOpTracer())
    return Trader(router, account, OrderBookCache(book), Desk(BrokerRegistry(), account, out), out)


async def replay(ticks: list[Tick]) -> None:
    """Handle every tick."""
    trader = make_trader()
    for tick in ticks:
        await trader.on_tick(tick, 0.0)


def main(count: int = 50_000, file: str = "") -> None:
    """Profile so many ticks."""
    points = islice(market(SCENARIOS["flash-crash"], 7, SYMBOLS), count)
    ticks = [Tick(one.symbol, one.price, at / 200) for at, one in enumerate(points) if one.price is not None]
    profile = cProfile.Profile()
    profile.runcall(asyncio.run, replay(ticks))
    statistics = pstats.Stats(profile)
    statistics.strip_dirs().sort_stats("tottime").print_stats(20)
    if file:
        statistics.dump_stats(file)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000, sys.argv[2] if len(sys.argv) > 2 else "")
