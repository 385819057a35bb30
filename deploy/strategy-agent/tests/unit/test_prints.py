"""The bad-print filter."""

from __future__ import annotations

import pytest

from strategy_agent.stats import PrintFilter


@pytest.mark.parametrize(
    ("prices", "accepted"),
    [
        ([100.0, 101.0, 99.0], [True, True, True]),
        ([100.0, 300.0, 100.0], [True, False, True]),
        ([100.0, 1000.0, 100.0, 10.0, 100.0], [True, False, True, False, True]),
        ([100.0, 300.0, 301.0, 299.0, 300.0], [True, False, False, True, True]),  # confirmed
        ([100.0, 300.0, 10.0, 500.0], [True, False, False, False]),  # they confirm nothing
        ([100.0, 300.0, 301.0, 100.0, 300.0], [True, False, False, True, False]),  # from the beginning
    ],
)
def test_a_far_print_needs_others(prices: list[float], accepted: list[bool]) -> None:
    """One alone does not count; the third in a row near the others does."""
    prints = PrintFilter()
    assert [prints.accepts(price) for price in prices] == accepted
