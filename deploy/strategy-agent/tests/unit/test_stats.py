"""Online statistics."""

from __future__ import annotations

from math import inf, nan

import pytest

from strategy_agent.stats import DecayingPeak, ExponentialMean, clamp


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1.0, 0.0), (0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (2.0, 1.0), (inf, 1.0), (-inf, 0.0), (nan, 0.0)],
)
def test_clamp_keeps_within_bounds(value: float, expected: float) -> None:
    """Whatever goes in, NaN included, what comes out is within the bounds."""
    assert clamp(value) == expected


def test_mean_starts_as_the_plain_mean() -> None:
    """Before there is anything to forget, the mean is that of all observations."""
    mean = ExponentialMean(half_life=1000)
    for observation in (1.0, 2.0, 6.0):
        mean.update(observation)
    assert mean.value == pytest.approx(3.0)


def test_mean_forgets_by_half_per_half_life() -> None:
    """Half a life after a step from 0 to 1, the mean has covered half the way."""
    mean = ExponentialMean(half_life=50)
    for _ in range(1000):
        mean.update(0.0)
    for _ in range(50):
        mean.update(1.0)
    assert mean.value == pytest.approx(0.5, abs=1e-6)


def test_peak_follows_up_at_once() -> None:
    """A new top is the peak."""
    peak = DecayingPeak(half_life=10)
    assert [peak.update(value) for value in (1.0, 2.0, 3.0)] == [1.0, 2.0, 3.0]


def test_peak_sinks_by_half_the_distance_per_half_life() -> None:
    """Below the peak, half of the distance is forgotten per half-life."""
    peak = DecayingPeak(half_life=10)
    peak.update(1.0)
    for _ in range(10):
        peak.update(0.0)
    assert peak.value == pytest.approx(0.5)
