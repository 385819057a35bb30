"""What the agent reports to: its own metrics for Prometheus, events for other programs, and the tracer."""

from dataclasses import dataclass
from functools import partial

from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from strategy_agent import __version__
from strategy_agent.model import Decision, Regime
from strategy_agent.orderbook import BookStore

LATENCY_BUCKETS = (5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
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

        self.ticks = counter("ticks", "Ticks received", ["symbol"])
        self.bad_ticks = counter("bad_ticks", "Ticks that are no price, or that no others confirm", ["symbol"])
        self.orders = counter("orders", "Orders submitted", ["broker", "side"])
        self.fills = counter("fills", "Orders filled", ["broker", "side"])
        self.rejects = counter("rejects", "Orders that ended without a fill", ["broker", "reason"])
        self.vetoes = counter("vetoes", "Orders that were wanted and not sent", ["reason"])
        self.bot_errors = counter("bot_errors", "Signals that a bot failed to give", ["bot"])
        self.events_dropped = counter("events_dropped", "Events lost before Redis", ["reason"])
        self.log_lines_dropped = counter("log_lines_dropped", "Lines that standard output did not take in time")

        self.reconnects = counter("reconnects", "Stream connections ended", ["broker", "topic", "reason"])
        self.gaps = counter("sequence_gaps", "Stream frames skipped and asked for again", ["broker", "topic"])
        self.lost = counter("frames_lost", "Stream frames gone for good", ["broker", "topic", "reason"])
        self.feed_age = gauge("feed_age_seconds", "Since the last tick; since the start before the first")
        self.loop_lag = histogram("event_loop_lag_seconds", "How late the event loop runs what is due")
        self.clock_offset = gauge("clock_offset_seconds", "Broker clock ahead of ours", ["broker"])
        self.book_lookups = counter("book_lookups", "Order-book lookups by who answered", ["source"])
        self.book_age = gauge("book_age_seconds", "Age of the order book in use", ["symbol"])

        self.regime = gauge("regime", "1 for the regime the market is in", ["symbol", "regime"])
        self.allocation_scalar = gauge("allocation_scalar", "Share of capital allowed", ["symbol"])
        self.router_quality = gauge("router_quality", "How right the bots have been", ["symbol"])
        self.risk_tier = gauge("risk_tier", "0 low, 1 elevated, 2 high, 3 halted", ["symbol"])
        self.equity = gauge("equity", "Cash and positions, in the account's currency")
        self.pnl = gauge("pnl", "Equity less what the account began with")
        self.drawdown = gauge("drawdown_ratio", "Loss since the equity's peak")
        self.position = gauge("position", "Signed quantity held", ["symbol"])
        self.exposure = gauge("exposure_ratio", "Value of the position against the equity", ["symbol"])
        self.gross = gauge("gross_exposure_ratio", "All positions and orders in flight, worst case, against the equity")
        self.in_flight = gauge("orders_in_flight", "Orders neither filled nor ended otherwise")
        self.last_tick = gauge("last_tick_timestamp_seconds", "When the last tick was handled")
        self.last_decision = gauge("last_decision_timestamp_seconds", "When the last decision was made")
        self.mode = gauge("mode", "1 for what the agent does", ["mode"])
        self.kill_switch = gauge("kill_switch", "1 while all trading is stopped", ["by", "reason"])
        gauge("build_info", "1; the version is a label", ["version"]).labels(__version__).set(1)

    def add_redis(self) -> Gauge:
        """Return the instrument that exists only where Redis is configured."""
        return Gauge("redis_up", "1 while Redis takes events", namespace="strategy", registry=self.registry)

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
