"""The broker registry."""

from __future__ import annotations

import pytest

from strategy_agent.brokers.registry import BrokerRegistry, UnknownBrokerError


@pytest.fixture
def registry() -> BrokerRegistry[str]:
    """Return a registry of three."""
    registry: BrokerRegistry[str] = BrokerRegistry()
    for name in ("alpha", "beta", "gamma"):
        registry.register(name, f"handle of {name}")
    return registry


def test_brokers_are_found_by_name(registry: BrokerRegistry[str]) -> None:
    """A lookup gives the record with the handle."""
    assert registry["beta"].handle == "handle of beta"
    assert len(registry) == 3


def test_a_name_is_taken_once(registry: BrokerRegistry[str]) -> None:
    """Registering a name twice is refused."""
    with pytest.raises(ValueError, match="'beta' is registered already"):
        registry.register("beta", "another")


def test_an_unknown_name_is_answered_with_the_known_ones(registry: BrokerRegistry[str]) -> None:
    """The error lists what could have been meant."""
    with pytest.raises(UnknownBrokerError, match="no broker 'delta'; registered: alpha, beta, gamma"):
        registry["delta"]


def test_the_first_registered_is_preferred(registry: BrokerRegistry[str]) -> None:
    """Among equals the order of registration decides."""
    assert registry.select().name == "alpha"


def test_a_broker_that_is_away_is_not_chosen(registry: BrokerRegistry[str]) -> None:
    """Reachable brokers come first, and the first one is used again when it is back."""
    registry.report("alpha", ok=False, up=False)
    assert registry.select().name == "beta"
    for _ in range(200):
        registry.report("alpha", ok=True, up=True)
    assert registry.select().name == "alpha"


def test_a_broker_that_keeps_failing_is_avoided(registry: BrokerRegistry[str]) -> None:
    """Failures count even while the broker can be reached."""
    for _ in range(5):
        registry.report("alpha", ok=False)
    assert registry.select().name == "beta"


def test_if_all_are_away_one_is_tried_all_the_same(registry: BrokerRegistry[str]) -> None:
    """Choosing never fails while a broker is registered."""
    for name in ("alpha", "beta", "gamma"):
        registry.report(name, ok=False, up=False)
    assert registry.select().name == "alpha"


def test_an_empty_registry_cannot_choose() -> None:
    """Without any broker the error says so."""
    with pytest.raises(UnknownBrokerError, match="no broker is registered"):
        BrokerRegistry[str]().select()
