"""How long a price takes to arrive: pushed over a WebSocket against fetched over REST. P50, P95 and P99."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import quantiles

import aiohttp
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from strategy_agent.brokers.client import Broker
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.model import Tick

SAMPLES = 300
Measure = Callable[[aiohttp.ClientSession, PaperBroker, Market], Awaitable[list[float]]]


async def over_rest(session: aiohttp.ClientSession, venue: PaperBroker, market: Market) -> list[float]:
    """Return the seconds from printing a trade until a request has shown it."""
    client, samples = Broker("alpha", venue.url, session), list[float]()
    for number in range(SAMPLES):
        started = time.perf_counter()
        market.publish(Tick("BTC-USD", 100.0 + number, time.time()))
        await client.book("BTC-USD")
        samples.append(time.perf_counter() - started)
    return samples


async def over_socket(session: aiohttp.ClientSession, venue: PaperBroker, market: Market) -> list[float]:
    """Return the seconds from printing a trade until it was pushed to the subscriber."""
    samples: list[float] = []
    async with session.ws_connect(f"{venue.url}/v1/stream/ticks") as socket:
        for number in range(SAMPLES):
            started = time.perf_counter()
            market.publish(Tick("BTC-USD", 100.0 + number, time.time()))
            assert (await socket.receive_json(timeout=5))["seq"] == number + 1
            samples.append(time.perf_counter() - started)
    return samples


async def measure(how: Measure) -> list[float]:
    """Return the samples of one transport on a venue of its own."""
    market = Market()
    async with PaperBroker("alpha", market) as venue, aiohttp.ClientSession() as session:
        return await how(session, venue, market)


def percentiles(samples: list[float]) -> dict[str, float]:
    """Return P50, P95 and P99 in milliseconds."""
    cuts = quantiles(samples, n=100)
    return {f"p{percent}_ms": round(cuts[percent - 1] * 1e3, 4) for percent in (50, 95, 99)}


@pytest.mark.parametrize("how", [over_socket, over_rest], ids=["socket", "rest"])
def test_latency(benchmark: BenchmarkFixture, how: Measure) -> None:
    """Every trade arrives; the percentiles are in ``extra_info``, and half of them come within 50 ms."""
    samples: list[float] = benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: asyncio.run(measure(how)), rounds=3, warmup_rounds=1
    )
    benchmark.extra_info.update(percentiles(samples))
    assert len(samples) == SAMPLES
    assert percentiles(samples)["p50_ms"] < 50


def test_a_push_is_quicker_than_a_request() -> None:
    """In the median a price that is pushed arrives before one that is asked for."""
    socket, rest = (percentiles(asyncio.run(measure(how))) for how in (over_socket, over_rest))
    assert socket["p50_ms"] < rest["p50_ms"]
