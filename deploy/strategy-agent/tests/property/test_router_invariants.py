"""What holds of the router for any input."""

from __future__ import annotations

from itertools import islice
from math import isfinite
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_agent.bots import Bot, MeanReversionBot, MomentumBot, TestBot
from strategy_agent.market import SCENARIOS, price_path
from strategy_agent.model import AccountData, Decision, Regime
from strategy_agent.regime import RegimeDetector
from strategy_agent.router import StrategyRouter

pytestmark = pytest.mark.router

CRASH_WITHIN = 60

any_float = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
prices = st.lists(st.one_of(finite, st.floats(1.0, 1000.0)), min_size=1, max_size=60)
accounts = st.builds(AccountData, any_float, any_float)
bots = st.lists(any_float, max_size=5).map(
    lambda signals: [TestBot(signal, f"bot-{number}") for number, signal in enumerate(signals)]
)
real_prices = st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=60)


def router_of(members: list[TestBot]) -> StrategyRouter:
    """Return a router with these bots and the real ones."""
    router = StrategyRouter()
    everybody: list[Bot] = [*members, MomentumBot(), MeanReversionBot()]
    for bot in everybody:
        router.register_bot(bot)
    return router


def run(router: StrategyRouter, path: list[float], account: AccountData) -> list[Decision]:
    """Return the decisions on a path."""
    return [router.process_tick("BTC-USD", price, account) for price in path]


@given(prices, accounts, bots)
def test_everything_stays_within_its_range(path: list[float], account: AccountData, members: list[TestBot]) -> None:
    """No input makes the scalar or the quality leave [0, 1], the signal leave [-1, 1], or anything a NaN."""
    for decision in run(router_of(members), path, account):
        assert 0.0 <= decision.allocation_scalar <= 1.0
        assert 0.0 <= decision.quality <= 1.0
        assert -1.0 <= decision.signal <= 1.0


@given(prices, bots, st.randoms(use_true_random=False))
def test_registration_order_does_not_matter(path: list[float], members: list[TestBot], random: Random) -> None:
    """Any order of the same bots gives the same decisions to the last digit."""
    first, second = StrategyRouter(), StrategyRouter()
    for router in (first, second):
        everybody: list[Bot] = [*members, MomentumBot(), MeanReversionBot()]
        if router is second:
            random.shuffle(everybody)
        for bot in everybody:
            router.register_bot(bot)
    real = [price for price in path if isfinite(price)]
    assert repr(run(first, real, AccountData())) == repr(run(second, real, AccountData()))


@given(real_prices, bots)
def test_the_same_input_gives_the_same_output(path: list[float], members: list[TestBot]) -> None:
    """Two routers that are told the same decide the same."""
    assert run(router_of(members), path, AccountData()) == run(router_of(members), path, AccountData())


@given(real_prices, real_prices)
def test_there_is_no_look_ahead(path: list[float], future: list[float]) -> None:
    """What comes later does not change what was decided before."""
    alone = run(router_of([]), path, AccountData())
    assert run(router_of([]), path + future, AccountData())[: len(path)] == alone


@given(real_prices, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_poorer_account_never_gets_more(path: list[float], one: float, other: float) -> None:
    """The deeper the drawdown, the smaller the scalar."""
    rich, poor = max(one, other), min(one, other)
    first = run(router_of([]), path, AccountData(rich, 1.0))
    second = run(router_of([]), path, AccountData(poor, 1.0))
    assert all(a.allocation_scalar >= b.allocation_scalar for a, b in zip(first, second, strict=True))


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_a_seeded_crash_is_noticed_in_time(seed: int) -> None:
    """For any seed the crash regime comes within 60 ticks of the fall and not before."""
    detector = RegimeDetector()
    path = islice(price_path(SCENARIOS["flash-crash"], seed, "BTC-USD"), 1500 + CRASH_WITHIN)
    found = [detector.update(point.price) for point in path if point.price is not None]
    assert Regime.CRASH not in found[:1500]
    assert Regime.CRASH in found[1500:]


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from(sorted(SCENARIOS)))
def test_scenarios_are_functions_of_their_seed(seed: int, name: str) -> None:
    """Any scenario and seed gives the same path twice, with prices above zero."""
    first = list(islice(price_path(SCENARIOS[name], seed, "X"), 200))
    assert first == list(islice(price_path(SCENARIOS[name], seed, "X"), 200))
    assert all(point.price is None or point.price > 0 for point in first)
