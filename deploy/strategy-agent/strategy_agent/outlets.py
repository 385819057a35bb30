"""What the agent reports to: its own metrics for Prometheus, events for other programs, and the tracer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from strategy_agent.model import Decision, Regime
from strategy_agent.orderbook import BookStore

LATENCY_BUCKETS = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
OTHER = "other"

Value = str | float | int | bool | None


class Metrics:
    """Every instrument, in a registry of its own. ``symbols`` is the allow-list: all others share one label."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self._symbols = frozenset(symbols)
        self.registry = CollectorRegistry()
        histogram = partial(Histogram, namespace="strategy", registry=self.registry, buckets=LATENCY_BUCKETS)
        counter = partial(Counter, namespace="strategy", registry=self.registry)
        gauge = partial(Gauge, namespace="strategy", registry=self.registry)

        self.tick_to_signal = histogram("tick_to_signal_seconds", "Tick received to decision made")
        self.signal_to_order = histogram("signal_to_order_seconds", "Decision made to order submitted")
        self.submit_to_ack = histogram("submit_to_ack_seconds", "Order submitted to acknowledged")
        self.ack_to_fill = histogram("ack_to_fill_seconds", "Order acknowledged to filled")
        self.tick_age = histogram("tick_age_seconds", "Age of ticks on arrival, by the agent's clock")

        self.bad_ticks = counter("bad_ticks", "Ticks whose price cannot be one", ["symbol"])
        self.rejects = counter("rejects", "Orders that ended without a fill", ["broker", "reason"])
        self.events_dropped = counter("events_dropped", "Events lost before Redis", ["reason"])

        self.reconnects = counter("reconnects", "Stream connections ended", ["broker", "topic", "reason"])
        self.gaps = counter("sequence_gaps", "Stream frames skipped and asked for again", ["broker", "topic"])
        self.lost = counter("frames_lost", "Stream frames gone for good", ["broker", "topic"])
        self.clock_offset = gauge("clock_offset_seconds", "Broker clock ahead of ours", ["broker"])
        self.cache_hit_ratio = gauge("book_cache_hit_ratio", "Order-book lookups that spared the broker")
        self.book_age = gauge("book_age_seconds", "Age of the order book in use", ["symbol"])
        self.redis_up = gauge("redis_up", "1 while Redis takes events")

        self.regime = gauge("regime", "1 for the regime the market is in", ["symbol", "regime"])
        self.allocation_scalar = gauge("allocation_scalar", "Share of capital allowed", ["symbol"])
        self.router_quality = gauge("router_quality", "How right the bots have been", ["symbol"])
        self.risk_tier = gauge("risk_tier", "0 low, 1 elevated, 2 high, 3 halted", ["symbol"])
        self.drawdown = gauge("drawdown_ratio", "Loss since the equity's peak")
        self.kill_switch = gauge("kill_switch", "1 while all trading is stopped")

    def symbol(self, symbol: str) -> str:
        """Return the label for a symbol."""
        return symbol if symbol in self._symbols else OTHER

    def note_decision(self, decision: Decision) -> None:
        """Show a decision."""
        symbol = self.symbol(decision.symbol)
        self.allocation_scalar.labels(symbol).set(decision.allocation_scalar)
        self.router_quality.labels(symbol).set(decision.quality)
        for regime in Regime:
            self.regime.labels(symbol, regime.value).set(regime is decision.regime)


class Events:
    """Where events go. These go nowhere: the agent runs without Redis."""

    def publish(self, kind: str, **fields: Value) -> None:
        """Hand an event over; returns at once and never raises."""


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where the agent reports to. ``store`` is the shared order-book store, if there is one."""

    metrics: Metrics
    events: Events
    tracer: Tracer
    store: BookStore | None = None
