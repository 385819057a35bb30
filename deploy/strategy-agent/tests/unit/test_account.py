"""The account."""

from __future__ import annotations

from math import inf, nan

import pytest

from strategy_agent.desk import Account
from strategy_agent.model import AccountData, Fill, Side


def fill(side: Side, quantity: float, price: float) -> Fill:
    """Return a complete fill."""
    return Fill("BTC-USD-1", "BTC-USD", side, quantity, price)


def test_a_round_trip_earns_the_difference() -> None:
    """Buying at 100 and selling at 110 gains 10 per unit."""
    account = Account(1000.0)
    account.book(fill(Side.BUY, 2.0, 100.0))
    account.book(fill(Side.SELL, 2.0, 110.0))
    assert (account.position("BTC-USD"), account.equity) == (0.0, 1020.0)


def test_a_short_position_earns_when_the_price_falls() -> None:
    """Sold at 100 and valued at 90, one unit is worth 10 more."""
    account = Account(1000.0)
    account.book(fill(Side.SELL, 1.0, 100.0))
    assert account.mark("BTC-USD", 90.0).equity == pytest.approx(1010.0)


def test_a_fill_alone_changes_nothing_but_the_form_of_the_money() -> None:
    """Bought at the market, the equity is what it was."""
    account = Account(1000.0)
    account.book(fill(Side.BUY, 2.0, 100.0))
    assert account.equity == pytest.approx(1000.0)
    assert account.worth("BTC-USD", 1.0) == 100.0
    assert account.exposure("BTC-USD") == pytest.approx(0.2)


def test_the_peak_is_kept() -> None:
    """Drawdown is measured from the highest equity seen at a mark."""
    account = Account(1000.0)
    account.book(fill(Side.BUY, 5.0, 100.0))
    account.mark("BTC-USD", 140.0)
    assert account.mark("BTC-USD", 80.0).drawdown == pytest.approx(0.25)
    assert account.standing.peak_equity == pytest.approx(1200.0)


def test_without_equity_exposure_is_total() -> None:
    """An account that lost everything counts as fully exposed, not as a division by zero."""
    account = Account(0.0)
    assert account.exposure("BTC-USD") == 1.0


@pytest.mark.parametrize(
    ("equity", "peak", "drawdown"),
    [(100, 100, 0), (90, 100, 0.1), (110, 100, 0), (-50, 100, 1), (1, 0, 1), (nan, 1, 1), (1, inf, 1), (1, nan, 1)],
)
def test_drawdown_is_always_a_fraction(equity: float, peak: float, drawdown: float) -> None:
    """Whatever the figures, the drawdown is within [0, 1], and 1 where they make no sense."""
    assert AccountData(equity, peak).drawdown == pytest.approx(drawdown)
