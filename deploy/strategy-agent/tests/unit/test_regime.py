"""Streaming regime detection."""

from __future__ import annotations

from itertools import islice
from math import exp

import pytest

from strategy_agent.market import SCENARIOS, price_path
from strategy_agent.model import Regime
from strategy_agent.regime import VOLATILE_FLOOR, Features, RegimeDetector, classify

pytestmark = pytest.mark.router


def regimes(scenario: str, ticks: int, seed: int = 7) -> list[Regime]:
    """Return the regime after each tick."""
    detector = RegimeDetector()
    points = islice(price_path(SCENARIOS[scenario], seed, "BTC-USD"), ticks)
    return [detector.update(point.price) for point in points if point.price is not None]


def test_nothing_is_assumed_before_the_first_tick() -> None:
    """A fresh detector says range, with neutral features."""
    detector = RegimeDetector()
    assert (detector.regime, detector.features) == (Regime.RANGE, Features())


def test_a_constant_price_is_a_range() -> None:
    """Without movement there is no volatility, no efficiency, no drawdown and no division by zero."""
    detector = RegimeDetector()
    assert {detector.update(100.0) for _ in range(200)} == {Regime.RANGE}
    assert detector.features.volatility == 0.0
    assert detector.features.efficiency == 0.0


@pytest.mark.parametrize("factor", [1.0002, 0.9998])
def test_a_straight_move_is_a_trend_in_either_direction(factor: float) -> None:
    """A path that goes one way only is a trend, up or down."""
    detector = RegimeDetector()
    price = 100.0
    for _ in range(200):
        detector.update(price := price * factor)
    assert detector.regime is Regime.TREND
    assert detector.features.efficiency == pytest.approx(1.0)


def moving(detector: RegimeDetector, size: float, ticks: int) -> Regime:
    """Let the price go up and down by this log return, and return the regime after so many ticks."""
    return [detector.update(100.0 * exp(size * (number % 2))) for number in range(ticks)][-1]


def test_a_market_wilder_than_it_used_to_be_is_volatile() -> None:
    """What counts is the market's own past: the same moves are nothing new to one that always made them."""
    calm, wild = RegimeDetector(), RegimeDetector()
    moving(calm, 1e-4, 2000)
    moving(wild, 5e-4, 2000)
    assert moving(calm, 5e-4, 40) is Regime.VOLATILE
    assert calm.features.volatility < VOLATILE_FLOOR[0]
    assert moving(wild, 5e-4, 40) is Regime.RANGE


def test_a_few_ticks_are_no_trend() -> None:
    """Two ticks in one direction always lead somewhere; that alone is not a trend."""
    detector = RegimeDetector()
    assert [detector.update(price) for price in (100.0, 100.01, 100.02)] == [Regime.RANGE] * 3


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_seeded_crash_is_seen_in_time(seed: int) -> None:
    """The crash regime comes within 60 ticks of the fall, and not before it."""
    found = regimes("flash-crash", 1560, seed)
    assert Regime.CRASH not in found[:1500]
    assert Regime.CRASH in found[1500:1560]


def test_one_wild_tick_does_not_spoil_the_statistics() -> None:
    """A typing error of nine orders of magnitude, forth and back, is forgotten like any other move."""
    detector = RegimeDetector()
    for price in (100.0, 1e11, 100.0):
        detector.update(price)
    assert detector.features.tick_return == -1.0
    assert detector.features.volatility <= 1.0
    for _ in range(2000):
        detector.update(100.0)
    assert detector.regime is Regime.RANGE


def test_a_crash_passes() -> None:
    """By the end of the rebound the crash is over."""
    assert regimes("flash-crash", 3260)[-1] is not Regime.CRASH


def test_noise_is_volatile() -> None:
    """High-frequency noise is volatile, after some ticks and then throughout."""
    assert set(regimes("hf-noise", 2000)[50:]) == {Regime.VOLATILE}


def test_a_quiet_market_is_a_range() -> None:
    """A quiet market is hardly ever anything but a range."""
    found = regimes("quiet", 1000)
    assert found.count(Regime.RANGE) > 950


def test_there_is_no_look_ahead() -> None:
    """What comes after a tick does not change what was said about it."""
    assert regimes("flash-crash", 1000) == regimes("flash-crash", 2000)[:1000]


@pytest.mark.parametrize(
    ("features", "regime"),
    [
        (Features(drawdown=0.03, volatility_ratio=9, efficiency=1), Regime.CRASH),
        (Features(volatility_ratio=2.5, efficiency=1), Regime.VOLATILE),
        (Features(volatility=6e-4, efficiency=1), Regime.VOLATILE),
        (Features(efficiency=0.35), Regime.TREND),
        (Features(drawdown=0.0299, volatility_ratio=2.49, efficiency=0.349), Regime.RANGE),
    ],
)
def test_the_most_dangerous_regime_that_applies_wins(features: Features, regime: Regime) -> None:
    """Crash before volatile before trend before range, each from its threshold on."""
    assert classify(Regime.RANGE, features) is regime


@pytest.mark.parametrize(
    ("regime", "features"),
    [
        (Regime.CRASH, Features(drawdown=0.016)),
        (Regime.VOLATILE, Features(volatility_ratio=1.6)),
        (Regime.TREND, Features(efficiency=0.21)),
    ],
)
def test_a_regime_is_left_later_than_it_is_entered(regime: Regime, features: Features) -> None:
    """Between its two thresholds a regime stays if it holds and does not begin if it does not."""
    assert classify(regime, features) is regime
    assert classify(Regime.RANGE, features) is Regime.RANGE
