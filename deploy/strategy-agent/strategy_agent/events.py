"""What the agent reports to; and events for other programs: orders, fills, regime changes and heartbeats.

An event is JSON: ``{"seq": 12, "type": "fill", "at": 1700000000.1, …}``. ``seq`` counts from 1 without gaps, so that
a reader of the pub/sub channel, which is told everything at most once, can see what it missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from opentelemetry.trace import Tracer

from strategy_agent.metrics import Metrics
from strategy_agent.orderbook import BookStore

Value = str | float | int | bool | None


class EventSink(Protocol):
    """Where events go. ``publish`` returns at once and never raises."""

    def publish(self, kind: str, **fields: Value) -> None:
        """Hand an event over."""


class NoEvents:
    """Goes nowhere: the agent runs without Redis."""

    def publish(self, kind: str, **fields: Value) -> None:
        """Forget the event."""


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where the agent reports to. ``store`` is the shared order-book store, if there is one."""

    metrics: Metrics
    events: EventSink
    tracer: Tracer
    store: BookStore | None = None
