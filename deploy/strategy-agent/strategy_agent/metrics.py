"""The agent's own metrics, for Prometheus. One registry per agent, so that tests can have several."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from strategy_agent.model import Decision, Regime

LATENCY_BUCKETS = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
OTHER = "other"


class Metrics:
    """Every instrument of the agent. ``symbols`` is the allow-list: all other symbols share one label."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self.registry = CollectorRegistry()
        self._symbols = frozenset(symbols)
        self._make_latencies()
        self._make_flow()
        self._make_connectivity()
        self._make_state()

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

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"strategy_{name}", text, registry=self.registry, buckets=LATENCY_BUCKETS)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"strategy_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"strategy_{name}", text, labels, registry=self.registry)

    def _make_latencies(self) -> None:
        self.tick_to_signal = self._histogram("tick_to_signal_seconds", "Tick received to decision made")
        self.signal_to_order = self._histogram("signal_to_order_seconds", "Decision made to order submitted")
        self.submit_to_ack = self._histogram("submit_to_ack_seconds", "Order submitted to acknowledged")
        self.ack_to_fill = self._histogram("ack_to_fill_seconds", "Order acknowledged to completely filled")
        self.tick_age = self._histogram("tick_age_seconds", "Age of ticks on arrival, by the agent's clock")

    def _make_flow(self) -> None:
        self.ticks = self._counter("ticks", "Ticks received", "symbol")
        self.bad_ticks = self._counter("bad_ticks", "Ticks whose price cannot be one", "symbol")
        self.decisions = self._counter("decisions", "Decisions made", "symbol")
        self.orders = self._counter("orders", "Orders submitted", "symbol", "side")
        self.fills = self._counter("fills", "Fills received", "symbol")
        self.rejects = self._counter("rejects", "Orders that ended without a fill", "broker", "reason")
        self.vetoes = self._counter("vetoes", "Orders not sent", "reason")
        self.retries = self._counter("retries", "Submissions repeated", "broker", "reason")
        self.events_dropped = self._counter("events_dropped", "Events lost before Redis", "reason")

    def _make_connectivity(self) -> None:
        self.broker_up = self._gauge("broker_up", "1 while the broker can be reached", "broker")
        self.reconnects = self._counter("reconnects", "Stream connections ended", "broker", "topic", "reason")
        self.gaps = self._counter("sequence_gaps", "Stream frames skipped and asked for again", "broker", "topic")
        self.lost = self._counter("frames_lost", "Stream frames gone for good", "broker", "topic")
        self.clock_offset = self._gauge("clock_offset_seconds", "Broker clock ahead of ours", "broker")
        self.cache_hit_ratio = self._gauge("book_cache_hit_ratio", "Order-book lookups that spared the broker")
        self.book_age = self._gauge("book_age_seconds", "Age of the order book in use", "symbol")
        self.redis_up = self._gauge("redis_up", "1 while Redis takes events")

    def _make_state(self) -> None:
        self.last_tick = self._gauge("last_tick_timestamp_seconds", "When the last tick arrived", "symbol")
        self.regime = self._gauge("regime", "1 for the regime the market is in", "symbol", "regime")
        self.allocation_scalar = self._gauge("allocation_scalar", "Share of capital allowed", "symbol")
        self.router_quality = self._gauge("router_quality", "How right the bots have been", "symbol")
        self.risk_tier = self._gauge("risk_tier", "0 low, 1 elevated, 2 high, 3 halted", "symbol")
        self.equity = self._gauge("equity", "Account value")
        self.drawdown = self._gauge("drawdown_ratio", "Loss since the equity's peak")
        self.kill_switch = self._gauge("kill_switch", "1 while all trading is stopped")
        self.in_flight = self._gauge("orders_in_flight", "Orders submitted and not finished")
        self.loop_lag = self._gauge("event_loop_lag_seconds", "How late the event loop ran the last heartbeat")
