"""The tick path: tick → regime and decision → wanted position → risk → order."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from msgspec import Struct, structs
from structlog.stdlib import get_logger

from strategy_agent.brokers.client import BrokerError
from strategy_agent.desk import Account, OrderDesk
from strategy_agent.model import AccountData, Book, Decision, Order, Regime, Side, Tick
from strategy_agent.orderbook import OrderBookCache
from strategy_agent.outlets import Outlets
from strategy_agent.risk import KILL_DRAWDOWN, MAX_SPREAD, RiskInputs, RiskTier, Veto, next_tier, veto
from strategy_agent.router import StrategyRouter, is_price

log = get_logger(__name__)


MAX_POSITION = 0.2
MIN_TRADE = 0.01
MAX_TRADE = 0.05
"""Sizes as fractions of the equity."""

COOLDOWN = 25
"""Ticks of a symbol between two of its orders."""


class Vitals(Struct):
    """What ``/health`` shows: whether the agent gets anywhere, and why not if the kill switch stopped all trading."""

    last_tick_at: float | None = None
    last_decision_at: float | None = None
    ticks: int = 0
    decisions: int = 0
    regime: dict[str, Regime] = {}
    kill_switch: str | None = None


@dataclass(slots=True)
class _Lane:
    """Per symbol: the risk tier, how many orders there were, and how many ticks must pass before the next."""

    tier: RiskTier = RiskTier.LOW
    orders: int = 0
    cooldown: int = 0


def spread(book: Book) -> float:
    """Return the distance of best ask and best bid as a fraction of the ask; 1 for a one-sided book."""
    return 1.0 - book.bids[0].price / book.asks[0].price if book.bids and book.asks else 1.0


def plan_trade(decision: Decision, position: float, equity: float) -> float:
    """Return the signed quantity to trade so that the position approaches the wanted one; 0 for nothing."""
    if equity <= 0 or decision.price <= 0:
        return 0.0
    wanted = decision.signal * decision.allocation_scalar * MAX_POSITION * equity
    missing = wanted - position * decision.price
    if abs(missing) < MIN_TRADE * equity:
        return 0.0
    limit = MAX_TRADE * equity
    return round(max(-limit, min(limit, missing)) / decision.price, 6)


@dataclass(slots=True)
class Trader:
    """Handles one tick at a time; orders live on by themselves at the desk."""

    router: StrategyRouter
    account: Account
    books: OrderBookCache
    desk: OrderDesk
    out: Outlets
    vitals: Vitals = field(default_factory=Vitals)
    _lanes: defaultdict[str, _Lane] = field(default_factory=lambda: defaultdict(_Lane))

    async def on_tick(self, tick: Tick) -> None:
        """Take one tick in, to the point where an order is on its way or will not be."""
        metrics = self.out.metrics
        if not is_price(tick.price):
            metrics.bad_ticks.labels(metrics.symbol(tick.symbol)).inc()
            return
        with metrics.tick_to_signal.time():
            self._arrive(tick)
            account = self.account.mark(tick.symbol, tick.price)
            decision = self.router.process_tick(tick.symbol, tick.price, account)
        self._decided(decision)
        self._assess(decision, account)
        await self._trade(decision, account)

    def _arrive(self, tick: Tick) -> None:
        now = time.time()
        self.vitals.ticks += 1
        self.vitals.last_tick_at = now
        self.out.metrics.tick_age.observe(max(0.0, now - tick.sent_at))

    def _decided(self, decision: Decision) -> None:
        before = self.vitals.regime.get(decision.symbol, decision.regime)
        self.vitals.regime[decision.symbol] = decision.regime
        self.vitals.decisions += 1
        self.vitals.last_decision_at = time.time()
        self.out.metrics.note_decision(decision)
        if before is not decision.regime:
            level = log.warning if decision.regime is Regime.CRASH else log.info
            level("regime_changed", previous=before, **_rounded(decision))
            self.out.events.publish("regime", symbol=decision.symbol, previous=before, regime=decision.regime)

    def _assess(self, decision: Decision, account: AccountData) -> None:
        symbol, lane = decision.symbol, self._lanes[decision.symbol]
        inputs = RiskInputs(self.account.exposure(symbol), account.drawdown, decision.volatility)
        tier = next_tier(lane.tier, inputs)
        if tier is not lane.tier:
            log.info("risk_tier_changed", symbol=symbol, previous=lane.tier.name, tier=tier.name)
            lane.tier = tier
        self.out.metrics.risk_tier.labels(self.out.metrics.symbol(symbol)).set(tier)
        if account.drawdown >= KILL_DRAWDOWN and self.vitals.kill_switch is None:
            self.vitals.kill_switch = "drawdown"
            log.error("kill_switch_on", reason="drawdown", drawdown=round(account.drawdown, 4))
            self.out.events.publish("kill_switch", reason="drawdown")

    async def _trade(self, decision: Decision, account: AccountData) -> None:
        lane, position = self._lanes[decision.symbol], self.account.position(decision.symbol)
        quantity = plan_trade(decision, position, account.equity)
        lane.cooldown -= 1
        if quantity == 0.0 or lane.cooldown > 0:
            return
        lane.cooldown = COOLDOWN
        reduces = abs(position + quantity) < abs(position)
        reason = veto(lane.tier, killed=self.vitals.kill_switch is not None, reduces=reduces)
        if reason := reason or await self._order(decision, quantity, lane):
            log.info("order_vetoed", symbol=decision.symbol, quantity=quantity, reason=reason.value)

    async def _order(self, decision: Decision, quantity: float, lane: _Lane) -> Veto | None:
        started = time.perf_counter()
        try:
            book = await self.books.get(decision.symbol)
        except BrokerError:
            return Veto.NO_BOOK
        if spread(book) > MAX_SPREAD:
            return Veto.WIDE_SPREAD
        lane.orders += 1
        side = Side.BUY if quantity > 0 else Side.SELL
        self.desk.submit(Order(f"{decision.symbol}-{lane.orders}", decision.symbol, side, abs(quantity)))
        self.out.metrics.signal_to_order.observe(time.perf_counter() - started)
        return None


def _rounded(decision: Decision) -> dict[str, str | float]:
    fields = structs.asdict(decision).items()
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in fields}
