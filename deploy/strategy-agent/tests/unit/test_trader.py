"""The tick path, with a desk that only takes note."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from opentelemetry.trace import NoOpTracer

from strategy_agent.bots import TestBot
from strategy_agent.brokers.client import BrokerError
from strategy_agent.desk import Account, OrderDesk
from strategy_agent.killswitch import KillSwitch
from strategy_agent.model import Book, Fill, Level, Order, Regime, Side, Tick
from strategy_agent.orderbook import OrderBookCache
from strategy_agent.outlets import Metrics, Outlets
from strategy_agent.risk import RiskTier, Veto
from strategy_agent.router import StrategyRouter, is_price
from strategy_agent.sizing import Holding
from strategy_agent.stats import CONFIRMATIONS
from strategy_agent.trader import COOLDOWN, Trader, _Lane, spread
from tests.support import FakeClock, RecordingEvents, make_book

Logs = list[MutableMapping[str, object]]


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
    """Takes orders and holds what the account holds; nothing is ever in flight."""

    account: Account
    orders: list[Order] = field(default_factory=list)
    recalled: list[str] = field(default_factory=list)
    gross: float = 0.0

    def submit(self, order: Order) -> None:
        """Take note."""
        self.orders.append(order)

    def holding(self, symbol: str) -> Holding:
        """Return the position."""
        return Holding(self.account.position(symbol))

    def recall(self, reason: str, symbol: str = "all") -> None:
        """Take note."""
        self.recalled.append(f"{reason} {symbol}")


class Rig:
    """A trader with a constant bot, a fixed book and a fake desk."""

    def __init__(self, signal: float = 1.0, book: Book | None = None) -> None:
        self.book: Book | None = book or make_book()
        self.account = Account(100_000.0)
        self.desk = FakeDesk(self.account)
        self.now = time.time()
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
        """Send ticks, a hundredth of a second apart by the venue's clock, in a market that was there before."""
        if is_price(prices[0]) and symbol not in self.trader._lanes:
            for _ in range(CONFIRMATIONS):
                self.trader._lanes[symbol].prints.accepts(prices[0])
        for price in prices:
            self.now += 0.01
            await self.trader.on_tick(Tick(symbol, price, self.now), age)


def falling(begin: float, end: float) -> list[float]:
    """Return prices from one to the other in steps that no filter doubts."""
    steps = range(1, 9)
    return [begin * (end / begin) ** (step / len(steps)) for step in steps]


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
    """Within the cooldown there is one order, after it the next, by the venue's clock."""
    rig = Rig()
    await rig.ticks(*[100.0] * round(COOLDOWN / 0.01))
    assert len(rig.desk.orders) == 1
    await rig.ticks(100.0)
    assert [order.client_order_id for order in rig.desk.orders] == ["BTC-USD-1", "BTC-USD-2"]


async def test_vitals_follow_every_tick() -> None:
    """Ticks and decisions are counted and timed."""
    rig = Rig()
    before = time.time()
    await rig.ticks(100.0, 100.1)
    vitals = rig.trader.vitals
    assert vitals.ticks == 2
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
    await rig.ticks(100.0, *falling(100.0, 85.0))
    assert rig.trader.switch.trip is not None
    assert (rig.trader.switch.trip.by, rig.trader.switch.trip.reason) == ("risk", "drawdown")
    assert ("kill_switch", {"by": "risk", "reason": "drawdown"}) in rig.events.published
    assert rig.desk.recalled[-1] == "kill_switch all"
    before = list(rig.desk.orders)
    await rig.ticks(*[100.0] * 100, 98.0)
    assert rig.desk.orders == before
    assert rig.events.kinds().count("kill_switch") == 1
    assert vetoes(logs)[-1] == Veto.KILL_SWITCH
    assert (rig.metrics.registry.get_sample_value("strategy_vetoes_total", {"reason": "kill_switch"}) or 0) >= 3


async def test_a_high_tier_lets_no_position_grow(logs: Logs) -> None:
    """After a loss of 6 % nothing new is bought, the tier is shown, and the switch has not tripped."""
    rig = Rig()
    rig.account.book(Fill("x", "ETH-USD", Side.BUY, 600.0, 100.0))
    rig.account.book(Fill("y", "ETH-USD", Side.SELL, 600.0, 90.0))
    await rig.ticks(100.0)
    assert (rig.desk.orders, vetoes(logs)) == ([], [Veto.RISK_TIER])
    assert rig.metrics.registry.get_sample_value("strategy_risk_tier", {"symbol": "BTC-USD"}) == RiskTier.HIGH
    assert rig.trader.switch.trip is None


async def test_a_regime_change_is_announced() -> None:
    """Falling by a tenth leads to a crash regime and an event that says from what to what."""
    rig = Rig()
    await rig.ticks(100.0, *falling(100.0, 90.0))
    regimes = [fields["regime"] for kind, fields in rig.events.published if kind == "regime"]
    assert regimes[-1] == "crash"
    assert {fields["symbol"] for _, fields in rig.events.published} == {"BTC-USD"}


@pytest.mark.parametrize("age", [15.0, -15.0])
async def test_a_stale_tick_is_no_ground_for_an_order(logs: Logs, age: float) -> None:
    """What piled up during a stall is looked at and not traded on; the log says so once."""
    rig = Rig()
    await rig.ticks(*[100.0] * 500, age=age)
    assert (rig.desk.orders, vetoes(logs)) == ([], [Veto.STALE_TICK])
    assert rig.trader.vitals.ticks == 500
    await rig.ticks(100.0, *[100.0] * 30)
    assert rig.desk.orders


async def test_a_switch_that_is_tripped_while_the_book_is_fetched_stops_the_order(logs: Logs) -> None:
    """What was true before the broker was asked is asked again behind it."""
    rig = Rig()

    async def trip(_: str) -> Book:
        rig.trader.halt("ann", "maintenance")
        return make_book()

    rig.trader.books.fetch = trip
    await rig.ticks(100.0)
    assert (rig.desk.orders, vetoes(logs)) == ([], [Veto.KILL_SWITCH])


async def test_a_tick_that_grows_old_while_the_book_is_fetched_is_stale(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that takes its time with the book does not make an old tick new."""
    rig = Rig()
    clock = FakeClock()
    monkeypatch.setattr("strategy_agent.trader.time.perf_counter", clock)

    async def slow(_: str) -> Book:
        clock.now += 1.5
        return make_book()

    rig.trader.books.fetch = slow
    await rig.ticks(100.0)
    assert (rig.desk.orders, vetoes(logs)) == ([], [Veto.STALE_TICK])


@pytest.mark.parametrize("factor", [3.0, 10.0, 0.1])
async def test_one_bad_print_changes_nothing(factor: float) -> None:
    """A single price far from all others trips no switch, makes no crash and no peak; it is counted."""
    rig = Rig()
    rig.account.book(Fill("x", "BTC-USD", Side.BUY, 100.0, 100.0))
    await rig.ticks(*[100.0] * 20, 100.0 * factor, *[100.0] * 20)
    assert rig.trader.switch.trip is None
    assert rig.trader.vitals.regime["BTC-USD"] is Regime.RANGE
    assert rig.account.standing.peak_equity == 100_000.0
    assert rig.metrics.registry.get_sample_value("strategy_bad_ticks_total", {"symbol": "BTC-USD"}) == 1


@pytest.mark.parametrize("factor", [3.0, 10.0, 0.1])
async def test_the_first_print_is_not_believed_alone(factor: float) -> None:
    """A bad one that comes before all others sizes no order and makes no crash."""
    rig = Rig()
    rig.trader._lanes["BTC-USD"] = _Lane()
    await rig.ticks(100.0 * factor, *[100.0] * 20)
    assert [order.quantity for order in rig.desk.orders] == [50.0]
    assert rig.trader.vitals.regime["BTC-USD"] is Regime.RANGE


async def test_a_market_that_has_moved_is_believed() -> None:
    """A few prints in a row near one another are no mistake."""
    rig = Rig(signal=0.0)
    await rig.ticks(100.0, 150.0, 150.1, 149.9, 150.0)
    assert rig.trader.vitals.ticks == 3
    assert rig.trader.vitals.last_tick_at is not None


async def test_halted_recalls_the_orders_of_the_symbol() -> None:
    """From HALTED on nothing of the symbol is in flight."""
    rig = Rig()
    rig.account.book(Fill("x", "BTC-USD", Side.BUY, 700.0, 100.0))
    await rig.ticks(100.0)
    assert rig.desk.recalled == ["halted BTC-USD"]


async def test_a_switch_that_cannot_be_kept_is_tripped_all_the_same(logs: Logs, tmp_path: Path) -> None:
    """The log says that a restart will not know of it."""
    rig = Rig()
    rig.trader.switch = KillSwitch(tmp_path / "missing" / "state.json")
    rig.trader.halt("operator", "test")
    assert rig.trader.switch.trip is not None
    assert {line["event"] for line in logs} == {"kill_switch_not_kept", "kill_switch_on"}
