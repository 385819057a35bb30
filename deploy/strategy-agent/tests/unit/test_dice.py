"""Stateless seeded randomness."""

from __future__ import annotations

from statistics import fmean, pstdev

import pytest

from strategy_agent.brokers import behaviour as dice


def test_a_draw_is_a_function_of_its_name() -> None:
    """The same name gives the same number, another name another."""
    assert dice.uniform(7, "alpha", 1) == dice.uniform(7, "alpha", 1)
    assert dice.uniform(7, "alpha", 1) != dice.uniform(7, "alpha", 2)


def test_names_do_not_run_together() -> None:
    """("ab", "c") and ("a", "bc") are different names."""
    assert dice.uniform("ab", "c") != dice.uniform("a", "bc")


def test_uniform_covers_the_unit_interval_evenly() -> None:
    """Draws lie strictly between 0 and 1 and average one half."""
    draws = [dice.uniform("u", n) for n in range(4000)]
    assert all(0.0 < draw < 1.0 for draw in draws)
    assert fmean(draws) == pytest.approx(0.5, abs=0.02)


def test_normal_has_mean_zero_and_deviation_one() -> None:
    """The normal draws are standard."""
    draws = [dice.normal("n", n) for n in range(4000)]
    assert fmean(draws) == pytest.approx(0.0, abs=0.05)
    assert pstdev(draws) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 1.0])
def test_events_happen_as_often_as_asked(ratio: float) -> None:
    """An event of probability p happens in about p of the draws, and never or always at the ends."""
    happened = sum(dice.happens(ratio, "h", n) for n in range(4000)) / 4000
    assert happened == pytest.approx(ratio, abs=0.03 if 0 < ratio < 1 else 0)
