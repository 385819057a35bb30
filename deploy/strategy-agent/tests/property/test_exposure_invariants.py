"""Exposure stays bounded whatever the market, the venue and the process do: trader and order desk as they are.

The law is checked at the venue, from what it was sent and what it has filled: nothing that the agent believes counts.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import cast
from unittest.mock import patch

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import NoOpTracer

from strategy_agent.bots import MarketData
from strategy_agent.brokers.client import Broker, BrokerError, BrokerRegistry
from strategy_agent.desk import Account, OrderDesk
from strategy_agent.killswitch import KillSwitch
from strategy_agent.model import Ack, Book, Fill, Order, Side, Tick
from strategy_agent.orderbook import OrderBookCache
from strategy_agent.outlets import Events, Metrics, Outlets
from strategy_agent.risk import MAX_TICK_AGE
from strategy_agent.router import StrategyRouter
from strategy_agent.sizing import LOT, MAX_GROSS, MAX_POSITION
from strategy_agent.trader import Trader
from tests.support import make_book

SYMBOLS = ("BTC-USD", "ETH-USD")
CASH = 100_000.0
ROUNDING = 1 + 1e-9


class Whim:
    """A bot that changes its mind as it is asked to."""

    name = "whim"
    signal = 1.0

    def get_signal(self, _: MarketData) -> float:
        """Return what was set last."""
        return self.signal


class Venue(Broker):
    """Keeps orders until they are filled or cancelled by hand, and holds each order that comes to the law."""

    def __init__(self) -> None:
        super().__init__("alpha", "http://nowhere", cast(aiohttp.ClientSession, None))
        self.orders: dict[str, Order] = {}
        self.held: defaultdict[str, float] = defaultdict(float)
        self.marks: dict[str, float] = dict.fromkeys(SYMBOLS, 100.0)
        self.equity = CASH
        self.age = 0.0
        """Of the tick that the agent has in hand."""
        self.killed = False
        self.mute = False
        """Takes orders and does not say so."""
        self.broken: list[str] = []
        """What orders did against the law: the desk would take an exception here for its own."""

    async def submit(self, order: Order) -> Ack:
        """Take an order on, and hold it to the law."""
        self.broken += self.breaches(order)
        self.orders[order.client_order_id] = order
        if self.mute:
            raise BrokerError(self.name, "timeout")
        return Ack(order.client_order_id, "alpha-1")

    async def cancel(self, client_order_id: str) -> bool:
        """Cancel an order, unless it is filled."""
        if self.mute:
            raise BrokerError(self.name, "timeout")
        return self.orders.pop(client_order_id, None) is not None

    def fill(self, which: int) -> Fill | None:
        """Fill one of the orders at the last price."""
        if not self.orders:
            return None
        order = self.orders.pop(sorted(self.orders)[which % len(self.orders)])
        self.held[order.symbol] += order.side.sign * order.quantity
        return Fill(order.client_order_id, order.symbol, order.side, order.quantity, self.marks[order.symbol])

    def range(self, symbol: str) -> tuple[float, float]:
        """Return what the position can become, at least and at most, whichever orders are filled."""
        mine = [order for order in self.orders.values() if order.symbol == symbol]
        buying, selling = (sum(one.quantity for one in mine if one.side is side) for side in (Side.BUY, Side.SELL))
        return self.held[symbol] - selling, self.held[symbol] + buying

    def breaches(self, order: Order) -> list[str]:
        """An order comes of a fresh tick; it stays within the limits, or only goes nearer to zero."""
        worst = {symbol: max(abs(end) for end in self.range(symbol)) * self.marks[symbol] for symbol in SYMBOLS}
        lowest, highest = self.range(order.symbol)
        ahead = (highest if order.side is Side.BUY else -lowest) + order.quantity
        value = ahead * self.marks[order.symbol]
        worst[order.symbol] = max(worst[order.symbol], value)
        reduces = self.held[order.symbol] * order.side.sign < 0
        limit = self.equity * ROUNDING
        broken = {
            "an order against the kill switch": self.killed,
            "an order on a stale tick": self.age > MAX_TICK_AGE,
            "a reducing order crosses zero": reduces and ahead > LOT,
            "beyond MAX_POSITION": not reduces and value > MAX_POSITION * limit,
            "beyond MAX_GROSS": not reduces and sum(worst.values()) > MAX_GROSS * limit,
        }
        return [law for law, is_broken in broken.items() if is_broken]


class World:
    """A venue with its clock, and an agent on it that can be started anew."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.venue = Venue()
        self.fills: list[Fill] = []
        self.start()

    def start(self) -> None:
        """Begin a process: it is given the fills of before, and knows nothing of orders."""
        self.account, self.bot, self.switch = Account(CASH), Whim(), KillSwitch()
        for fill in self.fills:
            self.account.book(fill)
        router, registry = StrategyRouter(target_volatility=1.0), BrokerRegistry()
        router.register_bot(self.bot)
        registry.register(self.venue)
        out = Outlets(Metrics(SYMBOLS), Events(), NoOpTracer())
        self.desk = OrderDesk(registry, self.account, out)
        self.trader = Trader(router, self.account, OrderBookCache(self.book), self.desk, out, self.switch)
        self.venue.killed = self.doubtful = False  # whether the venue was mute: then a cancellation is tried again

    async def book(self, symbol: str) -> Book:
        """Return a narrow book."""
        price = self.venue.marks[symbol]
        return make_book(symbol, self.now, price * 0.9999, price * 1.0001)

    async def tick(self, symbol: str, price: float, signal: float, age: float) -> None:
        """Let time pass and print a trade; what it leads to is at the venue then."""
        self.now += 0.3
        self.bot.signal, self.venue.age = signal, age
        self.account.mark(symbol, self.venue.marks[symbol])
        self.venue.equity = self.account.equity
        await self.trader.on_tick(Tick(symbol, price, self.now - age), age)
        self.venue.killed = self.switch.trip is not None
        await settle()

    async def fill(self, which: int) -> None:
        """Let the venue fill an order and say so."""
        if fill := self.venue.fill(which):
            self.fills.append(fill)
            await self.desk.on_fill("alpha", fill)
            await settle()

    async def restart(self) -> None:
        """End the process in order, and begin another."""
        self.venue.mute = False
        await self.desk.close()
        self.start()


async def settle() -> None:
    """Let every order get as far as it gets without time passing."""
    for _ in range(8):
        await asyncio.sleep(0)


steps = st.one_of(
    st.tuples(
        st.just("tick"),
        st.sampled_from(SYMBOLS),
        st.floats(0.97, 1.03),
        st.floats(-1, 1),
        st.sampled_from([0.0, 0.1, 20.0]),
    ),
    st.tuples(st.just("conviction"), st.integers(4, 12), st.sampled_from([-1.0, 1.0])),
    st.tuples(st.just("bad print"), st.sampled_from(SYMBOLS), st.sampled_from([3.0, 10.0, 0.1])),
    st.tuples(st.just("fill"), st.integers(0, 50)),
    st.tuples(st.just("mute"), st.booleans()),
    st.tuples(st.just("kill")),
    st.tuples(st.just("restart")),
)


async def play(world: World, plan: list[tuple[object, ...]]) -> None:
    """Let it all happen in a world."""
    marks = world.venue.marks
    for symbol in SYMBOLS * 3:  # a market that is known
        await world.tick(symbol, marks[symbol], 0.0, 0.0)
    for what, *rest in plan:
        if what == "tick":
            symbol, move, signal, age = cast(tuple[str, float, float, float], tuple(rest))
            marks[symbol] *= move
            await world.tick(symbol, marks[symbol], signal, age)
        elif what == "conviction":  # as much as it may, on both symbols, while nothing is filled
            for number in range(cast(int, rest[0])):
                symbol = SYMBOLS[number % 2]
                await world.tick(symbol, marks[symbol], cast(float, rest[1]), 0.0)
        elif what == "bad print":
            symbol, factor = cast(tuple[str, float], tuple(rest))
            await world.tick(symbol, marks[symbol] * factor, 1.0, 0.0)
        elif what == "fill":
            await world.fill(cast(int, rest[0]))
        elif what == "mute":
            world.venue.mute = cast(bool, rest[0])
            world.doubtful |= world.venue.mute
        elif what == "kill":
            world.trader.halt("ann", "maintenance")
            world.venue.killed = True
            await settle()
            assert world.doubtful or not world.venue.orders, "the kill switch leaves orders in flight"
        else:
            await world.restart()
    await world.restart()


@given(st.lists(steps, min_size=12, max_size=60))
@settings(max_examples=200)
def test_position_and_orders_in_flight_stay_within_the_limits(plan: list[tuple[object, ...]]) -> None:
    """Whatever latency, stall, restart, bad print and silence of the venue: no order breaks a limit or crosses zero."""
    world = World()
    with patch("strategy_agent.desk.backoff", lambda _: 1e-4):
        asyncio.run(play(world, plan))
    assert world.venue.broken == []
    assert not world.venue.orders, "an orderly end leaves nothing in flight"


def test_the_simulation_trades() -> None:
    """The law is not kept by doing nothing: a convinced bot reaches its limit on both symbols together."""

    async def trade() -> World:
        world = World()
        for number in range(40):
            await world.tick(SYMBOLS[number % 2], 100.0, 1.0, 0.0)
            await world.fill(0)
        return world

    world = asyncio.run(trade())
    assert sum(world.account.exposure(symbol) for symbol in SYMBOLS) == pytest.approx(MAX_GROSS, abs=0.03)
