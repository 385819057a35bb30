"""Which brokers exist, how they have been doing, and which one to use now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from strategy_agent.stats import ExponentialMean

T = TypeVar("T")


class UnknownBrokerError(LookupError):
    """No broker of that name is registered."""


@dataclass(slots=True)
class BrokerRecord(Generic[T]):
    """One broker: its handle and its recent record."""

    name: str
    handle: T
    up: bool = True
    failures: ExponentialMean = field(default_factory=lambda: ExponentialMean(half_life=20))

    @property
    def preference(self) -> tuple[bool, float]:
        """Sort key: reachable first, then the fewest failures in tenths."""
        return (not self.up, round(self.failures.value, 1))


class BrokerRegistry(Generic[T]):
    """Holds brokers by name. Lookups are a dictionary's; choosing looks at every broker once."""

    def __init__(self) -> None:
        self._records: dict[str, BrokerRecord[T]] = {}

    def register(self, name: str, handle: T) -> None:
        """Add a broker; raises ``ValueError`` if the name is taken."""
        if name in self._records:
            raise ValueError(f"a broker named {name!r} is registered already")
        self._records[name] = BrokerRecord(name, handle)

    def __getitem__(self, name: str) -> BrokerRecord[T]:
        try:
            return self._records[name]
        except KeyError:
            known = ", ".join(self._records) or "none"
            raise UnknownBrokerError(f"no broker {name!r}; registered: {known}") from None

    def __len__(self) -> int:
        return len(self._records)

    def records(self) -> list[BrokerRecord[T]]:
        """Return all brokers in the order of registration."""
        return list(self._records.values())

    def report(self, name: str, *, ok: bool, up: bool | None = None) -> None:
        """Note the outcome of one exchange.

        That a broker is away (``up=False``) is for its streams to say: they keep trying, and so also notice when it
        is back. That it is there may be said by whoever had an answer on a regular errand.
        """
        record = self[name]
        record.failures.update(0.0 if ok else 1.0)
        if up is not None:
            record.up = up

    def select(self) -> BrokerRecord[T]:
        """Return the broker to use now: the best one, of equals the first registered; down only if all are."""
        if not self._records:
            raise UnknownBrokerError("no broker is registered")
        return min(self._records.values(), key=lambda record: record.preference)
