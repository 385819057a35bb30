"""The figures that nothing sets as it happens: read off the parts at each scrape, and for ``/health``."""

import time
from typing import Final

from strategy_agent.orderbook import OrderBookCache
from strategy_agent.outlets import Metrics
from strategy_agent.trader import Trader


class Gauges:
    """What the agent is doing and what it is worth."""

    LAG_EVERY: Final = 0.1
    """Seconds between two measurements of the event loop's lag."""

    def __init__(self, metrics: Metrics, trader: Trader, books: OrderBookCache) -> None:
        self._metrics = metrics
        self._trader = trader
        self._books = books
        self._started = time.time()
        self._due = time.monotonic() + self.LAG_EVERY
        self._initial = trader.account.equity

    @property
    def mode(self) -> str:
        """What the agent does: ``trading``, or ``halted`` by the kill switch."""
        return "trading" if self._trader.switch.trip is None else "halted"

    @property
    def feed_age(self) -> float:
        """Seconds since the last tick, or since the start if there was none."""
        return time.time() - (self._trader.vitals.last_tick_at or self._started)

    def money(self) -> dict[str, float]:
        """Return equity, profit or loss, and drawdown."""
        account = self._trader.account
        equity, drawdown = account.equity, account.standing.drawdown
        return {"equity": round(equity, 2), "pnl": round(equity - self._initial, 2), "drawdown": round(drawdown, 5)}

    def refresh(self) -> None:
        """Set every gauge that is read off the parts."""
        metrics, vitals = self._metrics, self._trader.vitals
        for name, gauge in (("equity", metrics.equity), ("pnl", metrics.pnl), ("drawdown", metrics.drawdown)):
            gauge.set(self.money()[name])
        metrics.feed_age.set(self.feed_age)
        metrics.in_flight.set(self._trader.desk.in_flight)
        metrics.last_tick.set(vitals.last_tick_at or 0)
        metrics.last_decision.set(vitals.last_decision_at or 0)
        for mode in ("trading", "halted"):
            metrics.mode.labels(mode).set(mode == self.mode)
        trip = self._trader.switch.trip
        metrics.kill_switch.clear()
        metrics.kill_switch.labels(*((trip.by, trip.reason) if trip else ("", ""))).set(trip is not None)
        self._refresh_symbols()

    def _refresh_symbols(self) -> None:
        metrics, account = self._metrics, self._trader.account
        metrics.gross.set(self._trader.desk.gross / account.equity if account.equity > 0 else 1.0)
        for symbol in self._trader.vitals.regime:
            label = metrics.symbol(symbol)
            if (age := self._books.age(symbol)) is not None:
                metrics.book_age.labels(label).set(age)
            metrics.position.labels(label).set(account.position(symbol))
            metrics.exposure.labels(label).set(account.exposure(symbol))

    async def measure_lag(self) -> None:
        """Note how much later than due this is called; call it every ``LAG_EVERY`` seconds."""
        now = time.monotonic()
        self._metrics.loop_lag.observe(max(0.0, now - self._due))
        self._due = now + self.LAG_EVERY
