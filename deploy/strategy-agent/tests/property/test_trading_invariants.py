"""What holds of books, fills, accounts, risk and the wire for any input."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentTypeError
from contextlib import suppress

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from strategy_agent.aio import backoff
from strategy_agent.brokers import behaviour as rules
from strategy_agent.brokers.behaviour import Behaviour
from strategy_agent.brokers.client import Broker, ResumeError, Stream
from strategy_agent.desk import Account
from strategy_agent.faults import parse_fault
from strategy_agent.model import (
    Ack,
    Book,
    Clock,
    Decision,
    Fill,
    Frame,
    Order,
    Refusal,
    Regime,
    Side,
    Tick,
    WireError,
    decode,
    encode,
)
from strategy_agent.outlets import Metrics
from strategy_agent.risk import RiskInputs, RiskTier, next_tier, risk_tier, veto
from strategy_agent.sizing import MAX_POSITION, MAX_TRADE, Holding, plan_trade
from tests.support import raw

names = st.text(min_size=1, max_size=20)
quantities = st.floats(1e-6, 1e6)
prices = st.floats(0.01, 1e6)
sides = st.sampled_from(Side)
orders = st.builds(Order, names, names, sides, quantities)
behaviours = st.builds(Behaviour, fill_latency=st.floats(0, 1))
fractions = st.floats(0, 2)


@given(behaviours, names, orders, prices)
def test_a_fill_is_the_whole_order_and_gains_nothing(
    behaviour: Behaviour, name: str, order: Order, price: float
) -> None:
    """For any order: its quantity, at a price above zero that is no better than the best, after no negative time."""
    book = rules.make_book(name, order.symbol, price, 1, 0.0)
    fill = rules.make_fill(order, book)
    assert fill.quantity == order.quantity
    assert fill.price >= book.asks[0].price if order.side is Side.BUY else 0 < fill.price <= book.bids[0].price
    assert rules.fill_latency(behaviour, name, order.client_order_id) >= 0


@given(st.lists(st.tuples(sides, st.floats(0.1, 100), st.floats(1, 1000)), max_size=30), st.floats(1, 1000))
def test_an_account_neither_makes_nor_loses_money_by_itself(
    trades: list[tuple[Side, float, float]], last: float
) -> None:
    """Equity is the start plus what every trade is worth at the last price, however they are ordered."""
    account = Account(1000.0)
    for side, quantity, price in trades:
        account.book(Fill("x", "X", side, quantity, price))
    account.mark("X", last)
    gained = sum(side.sign * quantity * (last - price) for side, quantity, price in trades)
    assert account.equity == pytest.approx(1000.0 + gained, abs=1e-6)


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(-1e4, 1e4), st.floats(-1e6, 1e6), prices)
def test_a_trade_is_bounded_and_goes_towards_the_wanted_position(
    signal: float, scalar: float, position: float, equity: float, price: float
) -> None:
    """No trade exceeds its limit, and none overshoots what is wanted, but for rounding."""
    decision = Decision("X", price, signal, 0.5, scalar, Regime.TREND)
    quantity = plan_trade(decision, Holding(position), equity, 0.0)
    assert abs(quantity) * price <= MAX_TRADE * abs(equity) + price * 1e-6
    wanted = signal * scalar * MAX_POSITION * equity / price
    if quantity:
        assert abs(wanted - position - quantity) <= abs(wanted - position) + 1e-6


@given(fractions, fractions, fractions, fractions)
def test_more_danger_is_never_a_lower_tier(exposure: float, drawdown: float, volatility: float, more: float) -> None:
    """Raising any one figure does not lower the tier."""
    tier = risk_tier(RiskInputs(exposure, drawdown, volatility))
    for worse in (
        RiskInputs(exposure + more, drawdown, volatility),
        RiskInputs(exposure, drawdown + more, volatility),
        RiskInputs(exposure, drawdown, volatility + more),
    ):
        assert risk_tier(worse) >= tier


@given(st.sampled_from(RiskTier), fractions, fractions, fractions)
def test_a_tier_is_never_below_what_the_figures_say(
    current: RiskTier, exposure: float, drawdown: float, volatility: float
) -> None:
    """And asked again about the same figures it stays: it does not flicker by itself."""
    inputs = RiskInputs(exposure, drawdown, volatility)
    tier = next_tier(current, inputs)
    assert risk_tier(inputs) <= tier
    assert next_tier(tier, inputs) is tier


@given(st.sampled_from(RiskTier), st.booleans(), st.floats())
def test_a_tripped_switch_lets_nothing_pass(tier: RiskTier, reduces: bool, age: float) -> None:
    """Whatever the intent, the kill switch vetoes it."""
    assert veto(tier, killed=True, age=age, reduces=reduces) is not None


@given(orders)
def test_orders_survive_the_wire(order: Order) -> None:
    """Any order is the same after a round trip through JSON text."""
    assert decode(encode(order), Order) == order


@given(names, prices, st.floats(0, 1e10))
def test_ticks_survive_the_wire(symbol: str, price: float, at: float) -> None:
    """Any tick is the same after a round trip through JSON text, alone and in a frame."""
    tick = Tick(symbol, price, at)
    assert decode(encode(tick), Tick) == tick
    assert decode(encode(Frame(1, tick)), Frame[Tick]).data == tick


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)
documents = st.dictionaries(
    st.sampled_from(["client_order_id", "symbol", "side", "quantity", "price", "sent_at", "bids", "asks", "at"]),
    json_values,
)


@given(documents | json_values)
def test_no_document_gets_more_than_a_wire_error_out_of_a_decoder(document: object) -> None:
    """Whatever a peer sends, a decoder returns a value of its kind or raises WireError, nothing else."""
    text = json.dumps(document)
    for kind in (Tick, Order, Ack, Fill, Book, Refusal, Clock):
        with suppress(WireError):
            assert type(decode(text, kind)) is kind


@given(st.binary() | st.text())
def test_no_text_gets_more_than_a_wire_error_out_of_a_decoder(text: str | bytes) -> None:
    """Whatever bytes arrive, also such that are no JSON, no Unicode, or not whole."""
    with suppress(WireError):
        assert type(decode(text, Order)) is Order


@given(st.text())
def test_no_text_gets_more_than_an_argument_error_out_of_the_fault_parser(text: str) -> None:
    """Whatever is written after --fault, it is read or refused in words."""
    with suppress(ArgumentTypeError):
        assert parse_fault(text).asked == text


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=200))
def test_frames_are_handed_on_in_order_without_repetition(arrivals: list[tuple[int, bool]]) -> None:
    """Whatever arrives, gaps and notices of loss included: what is handed on rises, and nothing is unaccounted for."""
    delivered: list[float] = []
    metrics = Metrics(())

    async def take(_: str, tick: Tick) -> None:
        delivered.append(tick.price)

    async def receive() -> int:
        async with ClientSession() as session:
            broker = Broker("alpha", "http://alpha", session)
            stream = Stream("ticks", Tick, lambda: broker, take, session, metrics)
            for seq, gone in arrivals:
                with suppress(ResumeError):
                    await stream._receive(broker, raw(seq, None if gone else Tick("X", float(seq))))
            return stream.last

    last = asyncio.run(receive())
    labels = {"broker": "alpha", "topic": "ticks", "reason": "gone"}
    lost = metrics.registry.get_sample_value("strategy_frames_lost_total", labels) or 0
    assert delivered == sorted(set(delivered))
    assert len(delivered) + lost == last


@given(st.integers(1, 10**9))
def test_waiting_is_bounded(attempt: int) -> None:
    """However long an outage lasts, the next attempt is at most a second away."""
    assert 0 < backoff(attempt) <= 1.0
