"""The tick path: tick → regime and decision → wanted position → risk → order."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from math import inf

from msgspec import Struct, structs
from structlog.stdlib import get_logger

from strategy_agent.brokers.client import BrokerError
from strategy_agent.desk import Account, OrderDesk
from strategy_agent.killswitch import KillSwitch
from strategy_agent.model import AccountData, Book, Decision, Order, Regime, Side, Tick
from strategy_agent.orderbook import OrderBookCache
from strategy_agent.outlets import Outlets
from strategy_agent.risk import KILL_DRAWDOWN, MAX_SPREAD, RiskInputs, RiskTier, Veto, next_tier, veto
from strategy_agent.router import StrategyRouter, is_price
from strategy_agent.sizing import plan_trade
from strategy_agent.stats import PrintFilter

log = get_logger(__name__)


COOLDOWN = 0.25
"""Seconds by the venue's clock between two moments at which an order of a symbol is considered."""


class Vitals(Struct):
    """What ``/health`` shows of the tick path: whether the agent gets anywhere."""

    last_tick_at: float | None = None
    last_decision_at: float | None = None
    ticks: int = 0
    regime: dict[str, Regime] = {}


@dataclass(slots=True)
class _Lane:
    """Per symbol: what counts as a print, the risk tier, and the orders so far."""

    prints: PrintFilter = field(default_factory=PrintFilter)
    tier: RiskTier = RiskTier.LOW
    orders: int = 0
    tried_at: float = -inf
    """When an order was last considered, by the venue's clock."""
    veto: Veto | None = None
    """Why the last one was not sent, as it was logged."""


def spread(book: Book) -> float:
    """Return the distance of best ask and best bid as a fraction of the ask; 1 for a one-sided book."""
    return 1.0 - book.bids[0].price / book.asks[0].price if book.bids and book.asks else 1.0


@dataclass(slots=True)
class Trader:
    """Handles one tick at a time; orders live on by themselves at the desk."""

    router: StrategyRouter
    account: Account
    books: OrderBookCache
    desk: OrderDesk
    out: Outlets
    switch: KillSwitch = field(default_factory=KillSwitch)
    vitals: Vitals = field(default_factory=Vitals)
    _lanes: defaultdict[str, _Lane] = field(default_factory=lambda: defaultdict(_Lane))

    async def on_tick(self, tick: Tick, age: float) -> None:
        """Take one tick in, ``age`` seconds after it was sent, to the point where an order is on its way or not."""
        metrics = self.out.metrics
        symbol = metrics.symbol(tick.symbol)
        metrics.ticks.labels(symbol).inc()
        metrics.tick_age.observe(max(0.0, age))
        lane = self._lanes[tick.symbol]
        if not (is_price(tick.price) and lane.prints.accepts(tick.price)):
            metrics.bad_ticks.labels(symbol).inc()
            return
        with metrics.tick_to_signal.time():
            self.vitals.ticks += 1
            self.vitals.last_tick_at = time.time()
            account = self.account.mark(tick.symbol, tick.price)
            decision = self.router.process_tick(tick.symbol, tick.price, account)
        self._decided(decision)
        self._assess(lane, decision, account)
        await self._trade(lane, decision, tick.sent_at, age)

    def halt(self, by: str, reason: str) -> None:
        """Pull the kill switch, and withdraw what is in flight."""
        if not self.switch.pull(by, reason):
            log.error("kill_switch_not_kept")
        self.halted()

    def halted(self) -> None:
        """Do what follows from a kill switch that was tripped: positions are held."""
        if (trip := self.switch.trip) is not None:
            drawdown = round(self.account.standing.drawdown, 4)
            log.error("kill_switch_on", by=trip.by, reason=trip.reason, drawdown=drawdown)
            self.out.events.publish("kill_switch", by=trip.by, reason=trip.reason)
            self.desk.recall(Veto.KILL_SWITCH)

    def _decided(self, decision: Decision) -> None:
        before = self.vitals.regime.get(decision.symbol, decision.regime)
        self.vitals.regime[decision.symbol] = decision.regime
        self.vitals.last_decision_at = time.time()
        self.out.metrics.note_decision(decision)
        if before is not decision.regime:
            level = log.warning if decision.regime is Regime.CRASH else log.info
            level("regime_changed", previous=before, **structs.asdict(decision))
            self.out.events.publish("regime", symbol=decision.symbol, previous=before, regime=decision.regime)

    def _assess(self, lane: _Lane, decision: Decision, account: AccountData) -> None:
        symbol = decision.symbol
        inputs = RiskInputs(self.account.exposure(symbol), account.drawdown, decision.volatility)
        tier = next_tier(lane.tier, inputs)
        if tier is not lane.tier:
            log.info("risk_tier_changed", symbol=symbol, previous=lane.tier.name, tier=tier.name)
            lane.tier = tier
            if tier is RiskTier.HALTED:
                self.desk.recall(Veto.HALTED, symbol)
        self.out.metrics.risk_tier.labels(self.out.metrics.symbol(symbol)).set(tier)
        if account.drawdown >= KILL_DRAWDOWN and self.switch.trip is None:
            self.halt("risk", "drawdown")

    async def _trade(self, lane: _Lane, decision: Decision, sent_at: float, age: float) -> None:
        if 0.0 <= round(sent_at - lane.tried_at, 6) < COOLDOWN:
            return
        lane.tried_at = sent_at  # whatever comes of it: when orders are sent must not depend on when fills arrive
        holding = self.desk.holding(decision.symbol)
        if (quantity := plan_trade(decision, holding, self.account.equity, self.desk.gross)) == 0.0:
            return
        started = time.perf_counter()

        def refused() -> Veto | None:
            now, killed = age + time.perf_counter() - started, self.switch.trip is not None
            return veto(lane.tier, killed=killed, age=now, reduces=quantity * holding.position < 0)

        # Asked again behind the book: while it was fetched time has passed, and the switch may have been tripped.
        if (reason := refused() or await self._unquoted(decision.symbol) or refused()) is None:
            lane.orders += 1
            side = Side.BUY if quantity > 0 else Side.SELL
            self.desk.submit(Order(f"{decision.symbol}-{lane.orders}", decision.symbol, side, abs(quantity)))
            self.out.metrics.signal_to_order.observe(time.perf_counter() - started)
        else:
            self.out.metrics.vetoes.labels(reason.value).inc()
            if reason is not lane.veto:  # why nothing happens is said once
                log.info("order_vetoed", symbol=decision.symbol, quantity=quantity, reason=reason.value)
        lane.veto = reason

    async def _unquoted(self, symbol: str) -> Veto | None:
        """Return why the order book is no ground for an order, or None."""
        try:
            book = await self.books.get(symbol)
        except BrokerError:
            return Veto.NO_BOOK
        return Veto.WIDE_SPREAD if spread(book) > MAX_SPREAD else None
