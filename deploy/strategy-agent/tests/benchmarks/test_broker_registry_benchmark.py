"""What registering, looking up and choosing brokers costs."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from strategy_agent.brokers.registry import BrokerRegistry

SIZES = [4, 64, 1024]


def registry_of(size: int) -> BrokerRegistry[int]:
    """Return a registry of so many brokers."""
    registry: BrokerRegistry[int] = BrokerRegistry()
    for number in range(size):
        registry.register(f"broker-{number}", number)
    return registry


@pytest.mark.parametrize("size", SIZES)
def test_registration(benchmark: BenchmarkFixture, size: int) -> None:
    """All brokers are registered; the cost is that of so many insertions."""
    assert len(benchmark(registry_of, size)) == size


@pytest.mark.parametrize("size", SIZES)
def test_lookup(benchmark: BenchmarkFixture, size: int) -> None:
    """The right record is found; the cost does not grow with the number of brokers."""
    registry, name = registry_of(size), f"broker-{size - 1}"
    assert benchmark(lambda: registry[name]).handle == size - 1


@pytest.mark.parametrize("size", SIZES)
def test_selection(benchmark: BenchmarkFixture, size: int) -> None:
    """The best broker is chosen; the cost is one look at each."""
    assert benchmark(registry_of(size).select).handle == 0
