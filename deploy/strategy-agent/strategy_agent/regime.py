"""Streaming regime detection from volatility, drift, drawdown and efficiency ratio.

    range ⇄ trend        efficiency: how much of the path led somewhere
      ⇅       ⇅
    volatile ⇄ crash     volatility against its own past; drawdown from a decaying peak

Any regime can follow any other; a regime is left at a lower threshold than it is entered, so that it does not
flicker. Constant time and memory per tick; nothing depends on later ticks.
"""

from math import exp, log, sqrt

from msgspec import Struct

from strategy_agent.model import Regime
from strategy_agent.stats import DecayingPeak, ExponentialMean, clamp

MAX_RETURN = 1.0
"""One tick moves the statistics by no more than this log return: a typing error is not a market."""


FAST, SLOW = 20, 400
"""Half-lives in ticks, of the volatility now and of its own past."""

TREND, PEAK = 60, 120
"""Half-lives in ticks, of drift and path, and of the peak that drawdown is measured from."""

Band = tuple[float, float]

CRASH_DRAWDOWN: Band = (0.03, 0.015)
VOLATILE_RATIO: Band = (2.5, 1.5)
VOLATILE_FLOOR: Band = (6e-4, 4e-4)
TREND_EFFICIENCY: Band = (0.35, 0.2)
"""Thresholds as fractions of the price: a regime is entered at the first and left at the second."""


class Features(Struct, frozen=True):
    """What the ticks so far amount to; per tick, in log returns."""

    tick_return: float = 0.0
    volatility: float = 0.0
    volatility_ratio: float = 1.0
    drift: float = 0.0
    efficiency: float = 0.0
    drawdown: float = 0.0


class RegimeDetector:
    """Follows one symbol; :meth:`update` once per tick, in the order of the ticks."""

    def __init__(self) -> None:
        self._fast, self._slow = ExponentialMean(FAST), ExponentialMean(SLOW)
        self._drift, self._path = ExponentialMean(TREND), ExponentialMean(TREND)
        self._peak = DecayingPeak(PEAK)
        self._last: float | None = None
        self._level = 0.0
        self._seen = 0
        self.regime = Regime.RANGE
        self.features = Features()

    def update(self, price: float) -> Regime:
        """Take the next price (finite, above zero) in and return the regime."""
        self.features = self._measure(log(price))
        self.regime = classify(self.regime, self.features)
        return self.regime

    def _measure(self, level: float) -> Features:
        tick_return = clamp(level - self._last, -MAX_RETURN, MAX_RETURN) if self._last is not None else 0.0
        self._last = level
        self._level += tick_return  # so that the peak is clamped as the returns are
        # From zero, not from the mean: tick returns have no mean worth subtracting.
        volatility = sqrt(self._fast.update(tick_return * tick_return))
        usual = sqrt(self._slow.update(tick_return * tick_return))
        drift = self._drift.update(tick_return)
        path = self._path.update(abs(tick_return))
        self._seen += 1
        warm = clamp(self._seen / TREND)  # a few ticks always lead somewhere
        return Features(
            tick_return=tick_return,
            volatility=volatility,
            volatility_ratio=volatility / usual if usual > 0 else 1.0,
            drift=drift,
            efficiency=warm * clamp(abs(drift) / path) if path > 0 else 0.0,
            drawdown=clamp(1.0 - exp(self._level - self._peak.update(self._level))),
        )


def classify(current: Regime, features: Features) -> Regime:
    """Return the regime that follows ``current``; the most dangerous one that applies wins."""

    def over(value: float, band: Band, regime: Regime) -> bool:
        return value >= band[1 if current is regime else 0]

    if over(features.drawdown, CRASH_DRAWDOWN, Regime.CRASH):
        return Regime.CRASH
    if over(features.volatility_ratio, VOLATILE_RATIO, Regime.VOLATILE) or over(
        features.volatility, VOLATILE_FLOOR, Regime.VOLATILE
    ):
        return Regime.VOLATILE
    if over(features.efficiency, TREND_EFFICIENCY, Regime.TREND):
        return Regime.TREND
    return Regime.RANGE
