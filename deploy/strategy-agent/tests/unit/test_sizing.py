"""What may be traded, given what is held and what is on its way."""

from __future__ import annotations

import pytest

from strategy_agent.model import Decision, Regime
from strategy_agent.sizing import Holding, plan_trade


def decision(signal: float, scalar: float = 1.0, price: float = 100.0) -> Decision:
    """Return a decision for BTC-USD."""
    return Decision("BTC-USD", price, signal, 0.5, scalar, Regime.TREND)


@pytest.mark.parametrize(
    ("signal", "scalar", "position", "quantity"),
    [
        (1.0, 1.0, 0.0, 50.0),  # wants 200 units' worth, may trade 50 at once
        (-1.0, 1.0, 0.0, -50.0),
        (0.1, 1.0, 0.0, 20.0),
        (1.0, 0.1, 0.0, 20.0),
        (1.0, 1.0, 200.0, 0.0),  # is where it wants to be
        (1.0, 1.0, 195.0, 0.0),  # is near enough
        (0.0, 1.0, 30.0, -30.0),
        (1.0, 0.0, -30.0, 30.0),
    ],
)
def test_trades_approach_the_wanted_position(signal: float, scalar: float, position: float, quantity: float) -> None:
    """The trade is the missing part, cut to the limit per trade, and nothing if too small."""
    assert plan_trade(decision(signal, scalar), Holding(position), 100_000.0, 0.0) == pytest.approx(quantity)


@pytest.mark.parametrize(("equity", "price"), [(0.0, 100.0), (-5.0, 100.0), (100_000.0, 0.0)])
def test_no_trade_without_money_or_price(equity: float, price: float) -> None:
    """An account without equity and a price of zero lead to no trade, not to a division by zero."""
    assert plan_trade(decision(1.0, price=price), Holding(), equity, 0.0) == 0.0


@pytest.mark.parametrize(
    ("signal", "holding", "gross", "quantity"),
    [
        (1.0, Holding(0.0, 170.0, 0.0), 0.0, 30.0),  # what is on its way counts as there
        (1.0, Holding(0.0, 200.0, 0.0), 0.0, 0.0),
        (1.0, Holding(170.0, 0.0, 90.0), 0.0, 30.0),  # but it may not come: the limit holds without the sale, too
        (-1.0, Holding(20.0), 0.0, -20.0),  # up to zero first
        (-1.0, Holding(30.0, 0.0, 30.0), 0.0, 0.0),  # which is on its way already
        (-1.0, Holding(30.0, 0.0, 10.0), 0.0, -20.0),
        (1.0, Holding(), 28_000.0, 20.0),  # all symbols together
        (1.0, Holding(), 31_000.0, 0.0),
        (-1.0, Holding(40.0), 31_000.0, -40.0),  # which a reduction only helps
    ],
)
def test_orders_in_flight_count(signal: float, holding: Holding, gross: float, quantity: float) -> None:
    """Every limit holds whichever of the orders in flight are filled, and no order takes a position beyond zero."""
    assert plan_trade(decision(signal), holding, 100_000.0, gross) == pytest.approx(quantity)
