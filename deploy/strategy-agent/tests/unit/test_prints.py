"""The bad-print filter."""

from __future__ import annotations

import pytest

from strategy_agent.stats import CONFIRMATIONS, PrintFilter


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
    for _ in range(CONFIRMATIONS):
        prints.accepts(100.0)
    assert [prints.accepts(price) for price in prices] == accepted


@pytest.mark.parametrize("first", [[], [300.0], [10.0, 1000.0], [300.0, 301.0]])
def test_the_first_prints_need_others_too(first: list[float]) -> None:
    """Nothing is known yet that a bad one could be far from: the third in a row near the others is believed."""
    prints = PrintFilter()
    assert [prints.accepts(price) for price in [*first, 100.0, 100.1, 99.9]] == [*[False] * (len(first) + 2), True]
