"""The account of what a Sentry destination never receives, and of how much was reported to it (develop.sentry.dev, "Client Reports"). Pure.

Both counts only grow and are kept per signal of the rows: each signal's sender stores its own with the cursor's move, so that a kill neither loses a
loss nor reports one again that was settled. A report that was taken with a row that was not settled is sent again, as the row is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

Counts = Counter[tuple[str, str]]
"""(reason, category) → how many."""
EVICTED: Final = "cache_overflow"
"""The reason for what a store for times without a network had no room for."""
_DROPPED: Final = "dropped:"
_REPORTED: Final = "told:"
_CATEGORIES: Final = {
    signal.value: signal.value.partition(".")[2] for signal in Signal if signal.startswith("sentry.") and signal is not Signal.SENTRY_REPORT
}


@dataclass(slots=True)
class Attempt:
    """The losses of one attempt at a row, so far."""

    dropped: Counts = field(default_factory=Counter)
    reserved: Counts = field(default_factory=Counter)
    """Earlier losses that go with it, and with no other attempt meanwhile."""
    reported: Counts = field(default_factory=Counter)
    """All that goes with it."""
    taken: bool = False
    """Whether the destination has taken what went with it."""


class Losses:
    """The account of one destination."""

    def __init__(self, positions: Mapping[str, bytes]) -> None:
        """`positions`: what was stored, as `settle` gave it."""
        self._counts = {key: _load(value) for key, value in positions.items()}
        self._reserved: Counts = Counter()
        self._evicted: Counts = Counter()

    def note_evicted(self, records: Mapping[str, int]) -> None:
        """Take the total of evicted records by signal. That account is kept in the spool; only how much of it was reported is kept here."""
        self._evicted = Counter({(EVICTED, category): records[signal] for signal, category in _CATEGORIES.items() if signal in records})

    def reserve(self, attempt: Attempt) -> Counts:
        """The losses that go with this attempt, its own included."""
        if not attempt.reported:
            attempt.reserved = self.unreported()
            self._reserved += attempt.reserved
            attempt.reported = attempt.reserved + attempt.dropped
        return attempt.reported

    def unreported(self) -> Counts:
        """Losses that were not reported to the destination."""
        dropped, reported = self._sum(_DROPPED) + self._evicted, self._sum(_REPORTED)
        return dropped - reported - self._reserved

    def abandon(self, attempt: Attempt) -> None:
        """The attempt has come to nothing: the row will be tried again, from the beginning."""
        self._reserved -= attempt.reserved

    def settle(self, signal: Signal, attempt: Attempt) -> dict[str, bytes]:
        """The row has come to its end: return what to store with that."""
        self._reserved -= attempt.reserved
        changed = self._add(_DROPPED + signal, attempt.dropped)
        return changed | (self._add(_REPORTED + signal, attempt.reported) if attempt.taken else {})

    def _add(self, key: str, more: Counts) -> dict[str, bytes]:
        if not +more:
            return {}
        self._counts[key] = self._counts.get(key, Counter()) + more
        return {key: _dump(self._counts[key])}

    def _sum(self, prefix: str) -> Counts:
        found: Counts = Counter()
        for key, counts in self._counts.items():
            if key.startswith(prefix):
                found += counts
        return found


def _dump(counts: Counts) -> bytes:
    return orjson.dumps([[reason, category, count] for (reason, category), count in sorted(counts.items())])


def _load(stored: bytes) -> Counts:
    return Counter({(reason, category): count for reason, category, count in orjson.loads(stored)})
