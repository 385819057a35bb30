"""What registering, looking up and choosing brokers costs."""

from __future__ import annotations

from typing import cast

import pytest
from aiohttp import ClientSession
from pytest_benchmark.fixture import BenchmarkFixture

from strategy_agent.brokers.client import Broker, BrokerRegistry

SIZES = [4, 64, 1024]
NO_SESSION = cast(ClientSession, None)
"""Nothing is sent."""


def registry_of(size: int) -> BrokerRegistry:
    """Return a registry of so many brokers."""
    registry = BrokerRegistry()
    for number in range(size):
        registry.register(Broker(f"broker-{number}", "http://nowhere", NO_SESSION))
    return registry


@pytest.mark.parametrize("size", SIZES)
def test_registration(benchmark: BenchmarkFixture, size: int) -> None:
    """All brokers are registered; the cost is that of so many insertions."""
    assert len(benchmark(registry_of, size)) == size


@pytest.mark.parametrize("size", SIZES)
def test_lookup(benchmark: BenchmarkFixture, size: int) -> None:
    """The right broker is found; the cost does not grow with the number of brokers."""
    registry, name = registry_of(size), f"broker-{size - 1}"
    assert benchmark(lambda: registry[name]).name == name


@pytest.mark.parametrize("size", SIZES)
def test_selection(benchmark: BenchmarkFixture, size: int) -> None:
    """The best broker is chosen; the cost is one look at each."""
    assert benchmark(registry_of(size).select).name == "broker-0"
