"""What holds of the online statistics and the regime features for any input."""

from __future__ import annotations

from math import isfinite

from hypothesis import given
from hypothesis import strategies as st

from strategy_agent.regime import RegimeDetector, classify
from strategy_agent.stats import DecayingPeak, ExponentialMean, clamp

bounded = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=100)
half_lives = st.floats(0.1, 1e6)
real_prices = st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=100)


@given(st.floats(), st.floats(-10, 0), st.floats(0, 10))
def test_clamp_never_leaves_its_bounds(value: float, low: float, high: float) -> None:
    """Infinity and NaN included."""
    assert low <= clamp(value, low, high) <= high


@given(bounded, half_lives)
def test_a_mean_lies_among_its_observations(observations: list[float], half_life: float) -> None:
    """No mean is outside what was observed, but for rounding."""
    mean = ExponentialMean(half_life)
    for observation in observations:
        mean.update(observation)
    slack = 1e-9 * (1 + max(map(abs, observations)))
    assert min(observations) - slack <= mean.value <= max(observations) + slack


@given(bounded, half_lives)
def test_a_peak_is_never_below_the_present(observations: list[float], half_life: float) -> None:
    """And never above the highest value seen."""
    peak = DecayingPeak(half_life)
    highest = observations[0]
    for observation in observations:
        highest = max(highest, observation)
        assert observation <= peak.update(observation) <= highest + 1e-9 * (1 + abs(highest))


@given(real_prices)
def test_features_are_finite_and_in_range(prices: list[float]) -> None:
    """For any prices: volatility is at most the largest return, efficiency and drawdown fractions, nothing infinite."""
    detector, largest = RegimeDetector(), 0.0
    for price in prices:
        detector.update(price)
        features = detector.features
        largest = max(largest, abs(features.tick_return))
        assert 0.0 <= features.volatility <= largest * (1 + 1e-9)
        assert 0.0 <= features.efficiency <= 1.0
        assert 0.0 <= features.drawdown <= 1.0
        assert isfinite(features.volatility_ratio)
        assert isfinite(features.drift)


@given(real_prices)
def test_classification_settles_at_once(prices: list[float]) -> None:
    """Asked again about the same features, the regime stays: it does not flicker by itself."""
    detector = RegimeDetector()
    for price in prices:
        regime = detector.update(price)
        assert classify(regime, detector.features) is regime
