"""Online statistics and the bad-print filter: constant memory, constant time per observation, never a look ahead."""

from math import exp, log

MAX_MOVE = 0.05
"""As a log return: up to it a print is taken at once."""

CONFIRMATIONS = 3
"""So many prints in a row, near one another, are a market that has moved."""


def clamp(value: float, low: float = 0.0, high: float = 1.0) -> float:
    """Return ``value`` within [low, high]; NaN becomes ``low``, the careful end of every scale used here."""
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return low
    return min(high, max(low, value))


class ExponentialMean:
    """A mean that forgets: an observation ``half_life`` steps old weighs half as much as the newest.

    Until enough has been seen it is the plain mean, so that the first observation is not over-weighted for long.
    """

    __slots__ = ("_alpha", "_count", "value")

    def __init__(self, half_life: float) -> None:
        self._alpha = 1.0 - exp(-log(2.0) / half_life)
        self._count = 0
        self.value = 0.0

    def update(self, observation: float) -> float:
        """Take one finite observation in and return the new mean."""
        self._count += 1
        self.value += max(self._alpha, 1.0 / self._count) * (observation - self.value)
        return self.value


class DecayingPeak:
    """A maximum that sinks towards the present, so that an old top does not count as a loss for ever."""

    __slots__ = ("_keep", "value")

    def __init__(self, half_life: float) -> None:
        self._keep = exp(-log(2.0) / half_life)
        self.value: float | None = None

    def update(self, observation: float) -> float:
        """Take one finite observation in and return the peak, never below the observation."""
        if self.value is None:
            self.value = observation
        self.value = max(observation, observation + (self.value - observation) * self._keep)
        return self.value


class PrintFilter:
    """One trade far away from the others, or the first, is a mistake until others confirm it. Follows one symbol."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._doubtful: list[float] = []

    def accepts(self, price: float) -> bool:
        """Take the next print (finite, above zero) in, and say whether it counts."""
        level = log(price)
        if self._last is None or abs(level - self._last) > MAX_MOVE:
            self._doubtful = [*(one for one in self._doubtful if abs(level - one) <= MAX_MOVE), level]
            if len(self._doubtful) < CONFIRMATIONS:
                return False
        self._last, self._doubtful = level, []
        return True
