"""Seeded market scenarios."""

from __future__ import annotations

from itertools import islice

import pytest

from strategy_agent.market import SCENARIOS, START_PRICE, market, price_path


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_path_is_a_function_of_its_seed(name: str) -> None:
    """The same seed gives the same path to the last digit, another seed another."""

    def path(seed: int) -> list[float | None]:
        return [point.price for point in islice(price_path(SCENARIOS[name], seed, "BTC-USD"), 500)]

    assert path(7) == path(7)
    assert path(7) != path(8)


def test_symbols_have_paths_of_their_own() -> None:
    """Two symbols of one seed do not move alike, and take turns."""
    points = list(islice(market(SCENARIOS["quiet"], 7, ("A", "B")), 6))
    assert [point.symbol for point in points] == ["A", "B"] * 3
    assert points[0].price != points[1].price


def test_a_symbol_moves_the_same_whatever_is_traded_beside_it() -> None:
    """Adding a symbol does not change the others' paths."""
    scenario = SCENARIOS["flash-crash"]
    alone = [point.price for point in islice(market(scenario, 7, ("A",)), 50)]
    beside = [point.price for point in islice(market(scenario, 7, ("A", "B")), 100) if point.symbol == "A"]
    assert alone == beside


def test_the_flash_crash_falls_by_a_tenth_and_more() -> None:
    """Within the crash phase the price loses between 8 and 20 percent."""
    points = list(islice(price_path(SCENARIOS["flash-crash"], 7, "BTC-USD"), 1560))
    before, after = points[1499].price, points[1559].price
    assert before is not None
    assert after is not None
    assert 0.80 < after / before < 0.92


def test_the_steady_trend_climbs_before_it_falls() -> None:
    """The first phase of the steady trend gains more than a tenth."""
    top = list(islice(price_path(SCENARIOS["steady-trend"], 7, "BTC-USD"), 3000))[-1].price
    assert top is not None
    assert top > 1.1 * START_PRICE


def test_noise_stays_near_its_anchor() -> None:
    """High-frequency noise never leaves five percent around the start."""
    points = islice(price_path(SCENARIOS["hf-noise"], 7, "BTC-USD"), 2000)
    assert all(abs((point.price or 0) / START_PRICE - 1) < 0.05 for point in points)


def test_a_lost_feed_is_silent_but_time_passes() -> None:
    """In the silent phase there are steps without a price, as many as the phase is long."""
    points = list(islice(price_path(SCENARIOS["feed-loss"], 7, "BTC-USD"), 1400))
    assert sum(point.price is None for point in points) == 600


def test_scenarios_repeat_for_ever() -> None:
    """After its last phase a scenario begins again."""
    phases = [point.phase for point in islice(price_path(SCENARIOS["steady-trend"], 7, "A"), 6001)]
    assert (phases[0], phases[5999], phases[6000]) == ("up", "down", "up")
