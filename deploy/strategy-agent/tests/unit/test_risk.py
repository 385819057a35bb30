"""Risk tiers, vetoes, kill switch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import nan

import pytest

from strategy_agent.risk import MAX_TICK_AGE, RiskInputs, RiskTier, Veto, next_tier, risk_tier, veto


@pytest.mark.parametrize(
    ("inputs", "tier"),
    [
        (RiskInputs(0, 0, 0), RiskTier.LOW),
        (RiskInputs(0.2499, 0.0199, 5.9e-4), RiskTier.LOW),
        (RiskInputs(0.25, 0, 0), RiskTier.ELEVATED),
        (RiskInputs(0, 0.05, 0), RiskTier.HIGH),
        (RiskInputs(0, 0, 1e-2), RiskTier.HALTED),
        (RiskInputs(0.25, 0.05, 1e-2), RiskTier.HALTED),
        (RiskInputs(nan, 0, 0), RiskTier.HALTED),
        (RiskInputs(0, 0, nan), RiskTier.HALTED),
    ],
)
def test_the_tier_is_the_worst_of_three_dimensions(inputs: RiskInputs, tier: RiskTier) -> None:
    """Each step counts from its value on; what is not a number halts."""
    assert risk_tier(inputs) is tier


@pytest.mark.parametrize(
    ("current", "drawdown", "tier"),
    [
        (RiskTier.LOW, 0.05, RiskTier.HIGH),  # up at once
        (RiskTier.HIGH, 0.04, RiskTier.HIGH),  # 0.04 and a third more would still be HIGH
        (RiskTier.HIGH, 0.03, RiskTier.ELEVATED),
        (RiskTier.HIGH, 0.01, RiskTier.LOW),
        (RiskTier.LOW, 0.019, RiskTier.LOW),  # staying below is no rise
        (RiskTier.HALTED, nan, RiskTier.HALTED),
    ],
)
def test_a_tier_is_left_later_than_it_is_entered(current: RiskTier, drawdown: float, tier: RiskTier) -> None:
    """Danger raises the tier at once; it falls only with a margin."""
    assert next_tier(current, RiskInputs(0, drawdown, 0)) is tier


def ask(
    tier: RiskTier = RiskTier.LOW,
    *,
    reduces: bool = False,
    killed: bool = False,
    age: float = 0.0,
) -> Veto | None:
    """Return the verdict on an order with nothing against it unless told."""
    return veto(tier, killed=killed, age=age, reduces=reduces)


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        (partial(ask), None),
        (partial(ask, RiskTier.ELEVATED), None),
        (partial(ask, RiskTier.HIGH), Veto.RISK_TIER),
        (partial(ask, RiskTier.HIGH, reduces=True), None),
        (partial(ask, RiskTier.HALTED), Veto.HALTED),
        (partial(ask, RiskTier.HALTED, reduces=True), Veto.HALTED),
        (partial(ask, age=MAX_TICK_AGE), None),
        (partial(ask, age=MAX_TICK_AGE + 0.01, reduces=True), Veto.STALE_TICK),
        (partial(ask, age=-15.0), Veto.STALE_TICK),
        (partial(ask, age=nan), Veto.STALE_TICK),
    ],
)
def test_vetoes(verdict: Callable[[], Veto | None], answer: Veto | None) -> None:
    """HIGH lets only reductions pass and HALTED nothing; neither the past nor the future is a ground for an order."""
    assert verdict() is answer


def test_the_kill_switch_stops_reductions_too() -> None:
    """After it tripped, no order at all is sent."""
    assert ask(reduces=True, killed=True) is Veto.KILL_SWITCH
