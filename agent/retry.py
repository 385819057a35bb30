"""The wait before the next attempt: a pure function of the attempt, a random number and the destination's `Retry-After`."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_RETRY_AFTER = 3600.0
"""Seconds: a destination that asks for more is asked again after an hour."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter (OTLP specification, "All retryable responses": SHOULD be exponential, MUST have jitter)."""

    first: float = 1.0
    """Seconds: the mean of the first wait is half of it."""
    longest: float = 60.0
    """Seconds."""
    factor: float = 2.0

    def delay(self, attempt: int, chance: float, wish: float | None = None) -> float:
        """Seconds to wait before the next try.

        `attempt` counts the failures so far, from 1; `chance` is a random number in [0, 1). `wish` is the destination's `Retry-After`: it is
        respected up to an hour, and lengthened at random by up to a tenth, so that many agents do not return at once.
        """
        if wish is not None and wish > 0:
            return min(wish, LONGEST_RETRY_AFTER) * (1.0 + 0.1 * chance)
        ceiling = min(self.longest, self.first * self.factor ** min(attempt - 1, 60))
        return ceiling * max(chance, 0.05)
