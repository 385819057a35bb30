"""The tick path, with a desk that only takes note."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import cast

import pytest
from opentelemetry.trace import NoOpTracer

from strategy_agent.bots import TestBot
from strategy_agent.brokers.client import BrokerError
from strategy_agent.desk import Account, OrderDesk
from strategy_agent.model import Book, Decision, Fill, Level, Order, Regime, Side, Tick
from strategy_agent.orderbook import OrderBookCache
from strategy_agent.outlets import Metrics, Outlets
from strategy_agent.risk import RiskTier, Veto
from strategy_agent.router import StrategyRouter
from strategy_agent.trader import COOLDOWN, Trader, plan_trade, spread
from tests.support import RecordingEvents, make_book

Logs = list[MutableMapping[str, object]]


def decision(signal: float, scalar: float = 1.0, price: float = 100.0) -> Decision:
    """Return a decision for BTC-USD."""
    return Decision("BTC-USD", price, signal, 0.5, scalar, Regime.TREND)


@pytest.mark.parametrize(
    ("signal", "scalar", "position", "quantity"),
    [
        (1.0, 1.0, 0.0, 50.0),  # wants 200 units' worth, may trade 50 at once
        (-1.0, 1.0, 0.0, -50.0),
        (0.1, 1.0, 0.0, 20.0),
        (1.0, 0.1, 0.0, 20.0),
        (1.0, 1.0, 200.0, 0.0),  # is where it wants to be
        (1.0, 1.0, 195.0, 0.0),  # is near enough
        (0.0, 1.0, 30.0, -30.0),
        (1.0, 0.0, -30.0, 30.0),
    ],
)
def test_trades_approach_the_wanted_position(signal: float, scalar: float, position: float, quantity: float) -> None:
    """The trade is the missing part, cut to the limit per trade, and nothing if too small."""
    assert plan_trade(decision(signal, scalar), position, 100_000.0) == pytest.approx(quantity)


@pytest.mark.parametrize(("equity", "price"), [(0.0, 100.0), (-5.0, 100.0), (100_000.0, 0.0)])
def test_no_trade_without_money_or_price(equity: float, price: float) -> None:
    """An account without equity and a price of zero lead to no trade, not to a division by zero."""
    assert plan_trade(decision(1.0, price=price), 0.0, equity) == 0.0


@pytest.mark.parametrize(
    ("book", "expected"),
    [
        (make_book(bid=99.0, ask=100.0), 0.01),
        (Book("X", 0.0, (), (Level(1.0, 1.0),)), 1.0),
        (Book("X", 0.0, (Level(1.0, 1.0),), ()), 1.0),
    ],
)
def test_spread(book: Book, expected: float) -> None:
    """The spread is a fraction of the ask; a one-sided book has the widest."""
    assert spread(book) == pytest.approx(expected)


@dataclass(slots=True)
class FakeDesk:
    """Takes orders and fills them at the next tick if told."""

    orders: list[Order] = field(default_factory=list)

    def submit(self, order: Order) -> None:
        """Take note."""
        self.orders.append(order)


class Rig:
    """A trader with a constant bot, a fixed book and a fake desk."""

    def __init__(self, signal: float = 1.0, book: Book | None = None) -> None:
        self.book: Book | None = book or make_book()
        self.desk = FakeDesk()
        self.account = Account(100_000.0)
        self.metrics = Metrics(("BTC-USD",))
        self.events = RecordingEvents()
        router = StrategyRouter()
        router.register_bot(TestBot(signal))
        outlets = Outlets(self.metrics, self.events, NoOpTracer())
        books, desk = OrderBookCache(self._fetch), cast(OrderDesk, self.desk)
        self.trader = Trader(router, self.account, books, desk, outlets)

    async def _fetch(self, _: str) -> Book:
        if self.book is None:
            raise BrokerError("alpha", "unreachable")
        return self.book

    async def ticks(self, *prices: float, age: float = 0.0, symbol: str = "BTC-USD") -> None:
        """Send ticks."""
        for price in prices:
            await self.trader.on_tick(Tick(symbol, price, time.time() - age))


def vetoes(logs: Logs) -> list[object]:
    """Return why orders were not sent, as logged."""
    return [line["reason"] for line in logs if line["event"] == "order_vetoed"]


async def test_a_signal_becomes_an_order() -> None:
    """The first tick of a convinced bot leads to one order with the client's id."""
    rig = Rig()
    await rig.ticks(100.0)
    assert rig.desk.orders == [Order("BTC-USD-1", "BTC-USD", Side.BUY, 50.0)]


async def test_the_way_of_a_tick_is_measured() -> None:
    """Its age, the time to a signal, and from there to an order are observed; the last only where an order came."""
    rig = Rig()
    await rig.ticks(100.0, 100.0, age=0.5)
    value = rig.metrics.registry.get_sample_value
    counts = [value(f"strategy_{name}_seconds_count") for name in ("tick_age", "tick_to_signal", "signal_to_order")]
    assert counts == [2, 2, 1]
    assert value("strategy_tick_age_seconds_sum") == pytest.approx(1.0, abs=0.4)


async def test_orders_of_a_symbol_keep_their_distance() -> None:
    """Within the cooldown there is one order, after it the next."""
    rig = Rig()
    await rig.ticks(*[100.0] * COOLDOWN)
    assert len(rig.desk.orders) == 1
    await rig.ticks(100.0)
    assert [order.client_order_id for order in rig.desk.orders] == ["BTC-USD-1", "BTC-USD-2"]


async def test_vitals_follow_every_tick() -> None:
    """Ticks and decisions are counted and timed."""
    rig = Rig()
    before = time.time()
    await rig.ticks(100.0, 100.1)
    vitals = rig.trader.vitals
    assert (vitals.ticks, vitals.decisions) == (2, 2)
    assert vitals.last_tick_at is not None
    assert vitals.last_decision_at is not None
    assert before <= vitals.last_tick_at <= vitals.last_decision_at


async def test_nonsense_prices_are_counted_and_change_nothing() -> None:
    """A price that cannot be one reaches neither account nor router."""
    rig = Rig()
    await rig.ticks(0.0, -1.0)
    assert rig.trader.vitals.ticks == 0
    assert rig.metrics.registry.get_sample_value("strategy_bad_ticks_total", {"symbol": "BTC-USD"}) == 2


async def test_unlisted_symbols_share_one_label() -> None:
    """A symbol that is not on the allow-list does not make a series of its own."""
    rig = Rig()
    await rig.ticks(100.0, symbol="DOGE-USD")
    value = rig.metrics.registry.get_sample_value
    assert value("strategy_allocation_scalar", {"symbol": "other"}) is not None
    assert value("strategy_allocation_scalar", {"symbol": "DOGE-USD"}) is None


async def test_without_a_book_there_is_no_order(logs: Logs) -> None:
    """If the broker gives no book, the order is vetoed, and the log says why."""
    rig = Rig()
    rig.book = None
    await rig.ticks(100.0)
    assert (rig.desk.orders, vetoes(logs)) == ([], [Veto.NO_BOOK])


async def test_a_wide_spread_is_not_crossed(logs: Logs) -> None:
    """A book with a spread above the limit vetoes the order."""
    rig = Rig(book=make_book(at=time.time(), bid=90.0, ask=110.0))
    await rig.ticks(100.0)
    assert (rig.desk.orders, vetoes(logs)) == ([], [Veto.WIDE_SPREAD])


async def test_a_great_loss_trips_the_kill_switch(logs: Logs) -> None:
    """From the drawdown limit on nothing is traded, and an event says why."""
    rig = Rig()
    rig.account.book(Fill("x", "BTC-USD", Side.BUY, 900.0, 100.0))
    await rig.ticks(100.0, 85.0)
    assert rig.trader.vitals.kill_switch == "drawdown"
    assert ("kill_switch", {"reason": "drawdown"}) in rig.events.published
    before = list(rig.desk.orders)
    await rig.ticks(*[100.0] * 100, 85.0)
    assert rig.desk.orders == before
    assert rig.events.kinds().count("kill_switch") == 1
    assert vetoes(logs).count(Veto.KILL_SWITCH) == 100 / COOLDOWN


async def test_a_high_tier_lets_no_position_grow(logs: Logs) -> None:
    """After a loss of 6 % nothing new is bought, the tier is shown, and the switch has not tripped."""
    rig = Rig()
    rig.account.book(Fill("x", "ETH-USD", Side.BUY, 600.0, 100.0))
    rig.account.book(Fill("y", "ETH-USD", Side.SELL, 600.0, 90.0))
    await rig.ticks(100.0)
    assert (rig.desk.orders, vetoes(logs)) == ([], [Veto.RISK_TIER])
    assert rig.metrics.registry.get_sample_value("strategy_risk_tier", {"symbol": "BTC-USD"}) == RiskTier.HIGH
    assert rig.trader.vitals.kill_switch is None


async def test_a_regime_change_is_announced() -> None:
    """Falling by a tenth leads to a crash regime and an event that says from what to what."""
    rig = Rig()
    await rig.ticks(100.0, 90.0)
    assert ("regime", {"symbol": "BTC-USD", "previous": "range", "regime": "crash"}) in rig.events.published
