"""Exposure stays bounded whatever the market, the venues and the process do: the whole tick path in simulated time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import NoOpTracer

from strategy_agent.bots import MarketData
from strategy_agent.brokers.client import BrokerRegistry
from strategy_agent.desk import Account, OrderDesk
from strategy_agent.model import Book, Fill, Order, Side, Tick
from strategy_agent.orderbook import OrderBookCache
from strategy_agent.outlets import Events, Metrics, Outlets
from strategy_agent.router import StrategyRouter
from strategy_agent.sizing import LOT, MAX_GROSS, MAX_POSITION, Holding
from strategy_agent.trader import Trader
from tests.support import make_book

SYMBOLS = ("BTC-USD", "ETH-USD")
CASH = 100_000.0


class Whim:
    """A bot that changes its mind as told."""

    name = "whim"
    signal = 1.0

    def get_signal(self, _: MarketData) -> float:
        """Return what was told last."""
        return self.signal


class Desk(OrderDesk):
    """Keeps orders in flight until they are filled or cancelled by hand."""

    def __init__(self, account: Account, out: Outlets, orders: dict[str, Order]) -> None:
        super().__init__(BrokerRegistry(), account, out)
        self.orders = orders

    def holding(self, symbol: str) -> Holding:
        """Return what is held and in flight."""
        mine = [order for order in self.orders.values() if order.symbol == symbol]
        buying, selling = (sum(one.quantity for one in mine if one.side is side) for side in (Side.BUY, Side.SELL))
        return Holding(self.account.position(symbol), buying, selling)

    @property
    def gross(self) -> float:
        """Return the worst case over all symbols."""
        return sum(self.account.worth(symbol, self.holding(symbol).worst) for symbol in SYMBOLS)

    def submit(self, order: Order) -> None:
        """Check the law at the moment that matters, then keep the order."""
        self.check(order)
        self.orders[order.client_order_id] = order

    def check(self, order: Order) -> None:
        """Whatever is filled of what is in flight: within the limits, or only nearer to zero."""
        before, equity = self.holding(order.symbol), self.account.equity
        signed = order.side.sign * order.quantity
        price = self.account.worth(order.symbol, 1.0)
        if before.position * signed < 0:
            assert order.quantity <= abs(before.position) + LOT, "a reducing order crosses zero"
            assert order.quantity <= abs(before.position) - (before.buying if signed > 0 else before.selling) + LOT, (
                "all filled"
            )
            return
        ahead = before.position + (before.buying if signed > 0 else -before.selling) + signed
        assert abs(ahead) * price <= MAX_POSITION * equity * (1 + 1e-9)
        assert self.gross + order.quantity * price <= MAX_GROSS * equity * (1 + 1e-9)

    def recall(self, reason: str, symbol: str | None = None) -> None:  # noqa: ARG002 - the real one's signature
        """Cancel."""
        for name in [name for name, one in self.orders.items() if symbol in (None, one.symbol)]:
            del self.orders[name]


@dataclass
class World:
    """The venue's clock, its prices, and the orders that it has; an agent that can be started anew."""

    now: float = 1000.0
    prices: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, 100.0))
    orders: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin a process: the fills of before are replayed, so that it knows what it holds."""
        self.account, self.bot = Account(CASH), Whim()
        for fill in self.fills:
            self.account.book(fill)
        router = StrategyRouter(target_volatility=1.0)
        router.register_bot(self.bot)
        out = Outlets(Metrics(SYMBOLS), Events(), NoOpTracer())
        self.desk = Desk(self.account, out, self.orders)
        self.trader = Trader(router, self.account, OrderBookCache(self.book), cast(OrderDesk, self.desk), out)
        self.trader._lanes  # noqa: B018 - exists from the start

    async def book(self, symbol: str) -> Book:
        """Return a narrow book."""
        return make_book(symbol, self.now, self.prices[symbol] * 0.9999, self.prices[symbol] * 1.0001)

    async def tick(self, symbol: str, price: float, signal: float, age: float) -> None:
        """Let time pass and print a trade."""
        self.now += 0.3
        self.bot.signal = signal
        await self.trader.on_tick(Tick(symbol, price, self.now - age), age)

    def fill(self, which: int) -> None:
        """Fill one of the orders in flight at the last price."""
        if self.orders:
            name = sorted(self.orders)[which % len(self.orders)]
            order = self.orders.pop(name)
            fill = Fill(name, order.symbol, order.side, order.quantity, self.prices[order.symbol])
            self.fills.append(fill)
            self.account.book(fill)


moves = st.tuples(
    st.just("tick"),
    st.sampled_from(SYMBOLS),
    st.floats(0.97, 1.03),
    st.floats(-1, 1),
    st.sampled_from([0.0, 0.1, 20.0]),
)
steps = st.one_of(
    moves,
    st.tuples(st.just("bad print"), st.sampled_from(SYMBOLS), st.sampled_from([3.0, 10.0, 0.1])),
    st.tuples(st.just("fill"), st.integers(0, 50)),
    st.tuples(st.just("restart")),
)


@given(st.lists(steps, max_size=150))
@settings(max_examples=150)
def test_position_and_orders_in_flight_stay_within_the_limits(plan: list[tuple[object, ...]]) -> None:
    """Whatever latency, stall, restart, late join and bad print: no order can break a limit or cross zero."""

    async def play() -> None:
        world = World()
        for what, *rest in plan:
            if what == "tick":
                symbol, move, signal, age = cast(tuple[str, float, float, float], tuple(rest))
                world.prices[symbol] *= move
                await world.tick(symbol, world.prices[symbol], signal, age)
            elif what == "bad print":
                symbol, factor = cast(tuple[str, float], tuple(rest))
                await world.tick(symbol, world.prices[symbol] * factor, 1.0, 0.0)
            elif what == "fill":
                world.fill(cast(int, rest[0]))
            else:
                world.start()

    asyncio.run(play())


def test_the_simulation_trades() -> None:
    """The law is not kept by doing nothing: a convinced bot reaches its limit on both symbols together."""

    async def play() -> World:
        world = World()
        for number in range(40):
            await world.tick(SYMBOLS[number % 2], 100.0, 1.0, 0.0)
            world.fill(0)
        return world

    world = asyncio.run(play())
    assert sum(world.account.exposure(symbol) for symbol in SYMBOLS) == pytest.approx(MAX_GROSS, abs=0.03)
