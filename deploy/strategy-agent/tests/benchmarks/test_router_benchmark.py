"""What a tick costs in the router: the same after many ticks as after few."""

from __future__ import annotations

from itertools import cycle, islice

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from strategy_agent.bots import MeanReversionBot, MomentumBot
from strategy_agent.market import SCENARIOS, price_path
from strategy_agent.model import AccountData, Decision
from strategy_agent.router import StrategyRouter

pytestmark = pytest.mark.router


@pytest.mark.parametrize("history", [10, 10_000])
def test_process_tick(benchmark: BenchmarkFixture, history: int) -> None:
    """One decision per tick, whatever came before."""
    router = StrategyRouter()
    router.register_bot(MomentumBot())
    router.register_bot(MeanReversionBot())
    points = islice(price_path(SCENARIOS["flash-crash"], 7, "BTC-USD"), 3000)
    prices = cycle([point.price for point in points if point.price is not None])
    for price in islice(prices, history):
        router.process_tick("BTC-USD", price, AccountData())
    decision = benchmark(lambda: router.process_tick("BTC-USD", next(prices), AccountData()))
    assert isinstance(decision, Decision)
