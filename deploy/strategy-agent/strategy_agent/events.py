"""Events for other programs: orders, fills, regime changes and heartbeats.

An event is JSON: ``{"seq": 12, "type": "fill", "at": 1700000000.1, …}``. ``seq`` counts from 1 without gaps, so that
a reader of the pub/sub channel, which is told everything at most once, can see what it missed.
"""

from __future__ import annotations

import time
from typing import Protocol

Value = str | float | int | bool | None


class EventSink(Protocol):
    """Where events go. ``publish`` returns at once and never raises."""

    def publish(self, kind: str, **fields: Value) -> None:
        """Hand an event over."""


class NoEvents:
    """Goes nowhere: the agent runs without Redis."""

    def publish(self, kind: str, **fields: Value) -> None:
        """Forget the event."""


class EventNumbering:
    """Gives events their number and time."""

    def __init__(self) -> None:
        self._seq = 0

    def stamp(self, kind: str, fields: dict[str, Value]) -> dict[str, Value]:
        """Return the event as it is published."""
        self._seq += 1
        return {"seq": self._seq, "type": kind, "at": round(time.time(), 6), **fields}
