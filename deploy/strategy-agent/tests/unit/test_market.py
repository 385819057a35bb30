"""Seeded market scenarios, and what prints them."""

from __future__ import annotations

import asyncio
import math
import time
from itertools import islice, pairwise

import pytest

from strategy_agent import market as module
from strategy_agent.brokers.paper import Market
from strategy_agent.market import SCENARIOS, START_PRICE, Phase, Scenario, drive_market, market, price_path


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


def test_a_jolt_is_five_times_the_usual_move() -> None:
    """With the same draws, every return of a phase of nothing but jolts is five times as large."""

    def returns(jolt: float) -> list[float]:
        scenario = Scenario("x", (Phase("x", 100, jolt=jolt),))
        path = [START_PRICE, *(point.price or 0.0 for point in islice(price_path(scenario, 7, "A"), 50))]
        return [math.log(after / before) for before, after in pairwise(path)]

    assert returns(1.0) == pytest.approx([5.0 * each for each in returns(0.0)])


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


async def test_the_market_is_driven_at_its_rate() -> None:
    """At 1000 ticks a second, 50 ticks take about 50 ms and carry both symbols."""
    venues = Market()
    loop = asyncio.get_running_loop()
    started = loop.time()
    driving = asyncio.create_task(drive_market(venues.publish, SCENARIOS["quiet"], 7, ("A", "B"), 1000.0))
    await venues.tape.reached(50)
    driving.cancel()
    assert 0.045 <= loop.time() - started < 2.0
    assert {venues.tape[seq].symbol for seq in range(1, 51)} == {"A", "B"}


async def test_a_market_that_was_held_up_does_not_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is further behind than allowed, the driver forgets what it missed and keeps its rate."""
    monkeypatch.setattr(module, "MAX_LAG", 0.01)
    venues = Market()
    driving = asyncio.create_task(drive_market(venues.publish, SCENARIOS["quiet"], 7, ("A",), 1000.0))
    await venues.tape.reached(5)
    before = venues.tape.last
    time.sleep(0.2)  # noqa: ASYNC251 - the loop is held up for 200 ticks
    await venues.tape.reached(before + 1)
    driving.cancel()
    assert venues.tape.last - before < 100


async def test_a_silent_feed_publishes_nothing() -> None:
    """While the scenario is silent, time passes without ticks: after 1 tick, 99 steps of 1 ms."""
    venues, loop = Market(), asyncio.get_running_loop()
    scenario = Scenario("x", (Phase("calm", 1), Phase("silence", 99, silent=True)))
    driving = asyncio.create_task(drive_market(venues.publish, scenario, 7, ("A",), 1000.0))
    await venues.tape.reached(1)
    started = loop.time()
    await venues.tape.reached(2)
    driving.cancel()
    assert loop.time() - started >= 0.09
