"""Brokers' standing, and which one is chosen."""

from __future__ import annotations

import aiohttp
import pytest

from strategy_agent.brokers.client import Broker, BrokerRegistry


@pytest.fixture
def registry(session: aiohttp.ClientSession) -> BrokerRegistry:
    """Return a registry of three."""
    registry = BrokerRegistry()
    for name in ("alpha", "beta", "gamma"):
        registry.register(Broker(name, f"http://{name}", session))
    return registry


async def test_brokers_are_found_by_name_in_their_order(registry: BrokerRegistry) -> None:
    """A lookup gives the broker; going through them keeps the order of registration."""
    assert registry["beta"].url == "http://beta"
    assert [broker.name for broker in registry.values()] == ["alpha", "beta", "gamma"]


async def test_a_name_is_taken_once(registry: BrokerRegistry) -> None:
    """Registering a name twice is refused."""
    with pytest.raises(ValueError, match="'beta' is registered already"):
        registry.register(registry["beta"])


async def test_the_first_registered_is_preferred(registry: BrokerRegistry) -> None:
    """Among equals the order of registration decides."""
    assert registry.select().name == "alpha"


async def test_a_broker_that_is_away_is_not_chosen(registry: BrokerRegistry) -> None:
    """Reachable brokers come first, and the first one is used again when it is back."""
    registry["alpha"].report(ok=True, up=False)
    assert registry.select().name == "beta"
    for _ in range(200):
        registry["alpha"].report(ok=True, up=True)
    assert registry.select().name == "alpha"


async def test_a_broker_that_keeps_failing_is_avoided(registry: BrokerRegistry) -> None:
    """Failures count even while the broker can be reached."""
    for _ in range(5):
        registry["alpha"].report(ok=False)
    assert registry["alpha"].up
    assert registry.select().name == "beta"


async def test_if_all_are_away_one_is_tried_all_the_same(registry: BrokerRegistry) -> None:
    """Choosing never fails while a broker is registered."""
    for broker in registry.values():
        broker.report(ok=False, up=False)
    assert registry.select().name == "alpha"


def test_an_empty_registry_cannot_choose() -> None:
    """Without any broker the error says so."""
    with pytest.raises(LookupError, match="no broker is registered"):
        BrokerRegistry().select()
