"""Sentry's rate limits: per data category, in the header of any answer (develop.sentry.dev, "Rate Limiting"). Pure; times in seconds.

    X-Sentry-Rate-Limits: 60:error;monitor:organization:quota, 2700::key      an empty list of categories means all of them

Unknown categories are kept as well, and never asked for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERYTHING: Final = ""
"""The category that stands for all."""
UNSPECIFIED: Final = 60.0
"""Seconds after a 429 without a header."""
LONGEST: Final = 366 * 86400.0
PAUSE: Final = 600.0
"""Seconds after which a row that waits for the end of a limit has surely been tried again (an hour at most, and a tenth of it more)."""
MANY: Final = 100
"""Categories; Sentry has some twenty."""


def read_limits(header: str) -> Iterator[tuple[str, float]]:
    """Categories and how long each is limited from now on; parts that are not limits are left out."""
    for limit in header.split(","):
        seconds, *rest = (part.strip() for part in limit.split(":"))
        duration = _seconds(seconds)
        if duration is None:
            continue
        for category in (rest[0] if rest else "").split(";"):
            yield category.strip().lower(), duration


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return min(max(value, 0.0), LONGEST) if math.isfinite(value) else None


class RateLimits:
    """The end of each category's limit. Of two limits the longer one holds."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._since: dict[str, float] = {}

    def note(self, category: str, seconds: float, now: float) -> None:
        """Take a limit; unknown categories do no harm."""
        if seconds <= 0:
            return
        before = self._until.get(category, -math.inf)
        if now - before > PAUSE:  # no row was waiting: this is a new limit
            self._since[category] = now
        self._until[category] = max(before, now + seconds)
        if len(self._until) > MANY:  # a server that makes up categories
            self._until = {key: until for key, until in self._until.items() if until > now - PAUSE}
            self._since = {key: since for key, since in self._since.items() if key in self._until}

    def remaining(self, category: str, now: float) -> float:
        """Seconds that nothing of a category may be sent; 0 = it may."""
        return max(0.0, *(self._until.get(key, 0.0) - now for key in (category, EVERYTHING)))

    def limited_for(self, category: str, now: float) -> float:
        """Seconds since the category was limited, with no row taken in between."""
        return now - min((self._since[key] for key in (category, EVERYTHING) if key in self._since), default=now)

    def taken(self, category: str, now: float) -> None:
        """A row of the category was taken: whatever limits it from now on is a new limit."""
        for key in (category, EVERYTHING):
            if self._until.get(key, 0.0) <= now:
                self._since.pop(key, None)
