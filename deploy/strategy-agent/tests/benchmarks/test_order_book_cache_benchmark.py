"""Hit rate and latency of the order-book cache."""

from __future__ import annotations

import asyncio

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from strategy_agent.model import Book
from strategy_agent.orderbook import OrderBookCache
from tests.support import FakeClock, make_book

LOOKUPS = 200
STEP = 0.01


@pytest.mark.parametrize(("max_age", "hit_rate"), [(0.0, 0.0), (0.1, 0.9), (0.5, 0.98), (10.0, 0.995)])
def test_hit_rate_and_latency(benchmark: BenchmarkFixture, max_age: float, hit_rate: float) -> None:
    """A lookup every 10 ms hits as often as the age limit allows; measured are 200 lookups."""
    measured: list[float] = []

    async def look_up() -> None:
        clock = FakeClock()

        async def fetch(symbol: str) -> Book:
            return make_book(symbol, at=clock.now)

        answers = list[str]()
        cache = OrderBookCache(fetch, max_age=max_age, clock=clock, note=answers.append)
        for _ in range(LOOKUPS):
            await cache.get("BTC-USD")
            clock.now += STEP
        measured.append(1 - answers.count("broker") / LOOKUPS)

    with asyncio.Runner() as runner:
        benchmark(lambda: runner.run(look_up()))
    benchmark.extra_info.update(hit_rate=measured[-1], lookups=LOOKUPS)
    assert measured[-1] == pytest.approx(hit_rate, abs=0.02)
