"""How a paper venue treats what it is sent."""

from __future__ import annotations

import pytest

from strategy_agent.brokers import behaviour as rules
from strategy_agent.brokers.behaviour import CALM, Behaviour, RejectReason
from strategy_agent.model import Book, Fill, Level, Order, Side

NAME = "7:alpha"
BOOK = Book("X", 0.0, (Level(99.0, 1.0), Level(98.0, 1.0)), (Level(101.0, 1.0), Level(102.0, 1.0)))


def order(number: int = 1, quantity: float = 1.0, side: Side = Side.BUY) -> Order:
    """Return an order."""
    return Order(f"BTC-USD-{number}", "BTC-USD", side, quantity)


def reasons(behaviour: Behaviour, count: int = 2000) -> list[RejectReason | None]:
    """Return the verdict on so many orders."""
    return [rules.refusal(behaviour, NAME, order(number), 100.0) for number in range(count)]


def test_a_calm_venue_takes_every_sound_order() -> None:
    """Without chaos nothing sound is refused."""
    assert set(reasons(CALM)) == {None}


def test_rejects_come_as_often_as_asked_with_both_reasons() -> None:
    """A tenth of the orders is refused, for margin or for the price band."""
    found = reasons(Behaviour(reject_ratio=0.1))
    refused = [reason for reason in found if reason is not None]
    assert len(refused) / len(found) == pytest.approx(0.1, abs=0.03)
    assert set(refused) == {RejectReason.INSUFFICIENT_MARGIN, RejectReason.PRICE_BAND}


def test_the_rate_limit_comes_as_often_as_asked() -> None:
    """Half of the orders meet a limit of one half, and nothing else stands in their way."""
    found = reasons(Behaviour(rate_limit_ratio=0.5))
    assert set(found) == {None, RejectReason.RATE_LIMITED}
    assert found.count(RejectReason.RATE_LIMITED) / len(found) == pytest.approx(0.5, abs=0.05)


def test_verdicts_depend_on_the_seed_and_on_nothing_else() -> None:
    """The same venue decides the same whatever came before; another seed decides otherwise."""
    behaviour = Behaviour(reject_ratio=0.5)
    first = [rules.refusal(behaviour, NAME, order(n), 100.0) for n in range(50)]
    backwards = [rules.refusal(behaviour, NAME, order(n), 100.0) for n in reversed(range(50))][::-1]
    other = [rules.refusal(behaviour, "8:alpha", order(n), 100.0) for n in range(50)]
    assert first == backwards
    assert first != other


def test_a_symbol_without_a_trade_is_refused_always() -> None:
    """What has no price is refused by the calmest venue."""
    assert rules.refusal(CALM, NAME, order(), None) is RejectReason.UNKNOWN_SYMBOL


def test_latency_spreads_around_its_median() -> None:
    """Half of the acknowledgements take longer than the configured median."""
    latencies = [rules.ack_latency(CALM, NAME, f"BTC-USD-{n}") for n in range(1000)]
    assert all(latency > 0 for latency in latencies)
    assert sum(latency > CALM.ack_latency for latency in latencies) / 1000 == pytest.approx(0.5, abs=0.06)


def test_fills_take_their_own_time() -> None:
    """The time until a fill has its own median, and is drawn apart from that until the acknowledgement."""
    latencies = [rules.fill_latency(CALM, NAME, f"BTC-USD-{n}") for n in range(1000)]
    acks = [rules.ack_latency(Behaviour(ack_latency=CALM.fill_latency), NAME, f"BTC-USD-{n}") for n in range(1000)]
    assert sum(latency > CALM.fill_latency for latency in latencies) / 1000 == pytest.approx(0.5, abs=0.06)
    assert latencies != acks


def test_no_latency_means_none() -> None:
    """A median of 0 switches latency off."""
    silent = Behaviour(ack_latency=0, fill_latency=0)
    assert rules.ack_latency(silent, NAME, "BTC-USD-1") == rules.fill_latency(silent, NAME, "BTC-USD-1") == 0.0


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 101.0), (Side.SELL, 99.0)])
def test_an_order_is_filled_whole_at_the_best_price(side: Side, price: float) -> None:
    """Who buys pays the best ask, who sells gets the best bid, for all that was ordered."""
    assert rules.make_fill(order(3, 4.0, side), BOOK) == Fill("BTC-USD-3", "BTC-USD", side, 4.0, price)


def test_the_book_surrounds_the_last_trade() -> None:
    """Bids fall away below the price, asks rise above it."""
    book = rules.make_book(NAME, "BTC-USD", 100.0, 1, 5.0)
    bids, asks = [level.price for level in book.bids], [level.price for level in book.asks]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < 100.0 < asks[0]
    assert book.at == 5.0


def test_the_book_of_a_worthless_symbol_has_no_negative_price() -> None:
    """Near zero the bids stay at one tick."""
    book = rules.make_book(NAME, "X", 0.01, 1, 0.0)
    assert min(level.price for level in book.bids) == rules.TICK_SIZE


def test_gaps_and_cuts_are_drawn_per_frame() -> None:
    """Frames are dropped and connections cut at their ratios, independently of each other."""
    chaos = Behaviour(gap_ratio=0.1, disconnect_ratio=0.1)
    gaps = {seq for seq in range(2000) if rules.drops_frame(chaos, NAME, "ticks", seq)}
    cuts = {seq for seq in range(2000) if rules.cuts_connection(chaos, NAME, "ticks", seq)}
    assert len(gaps) == pytest.approx(200, abs=50)
    assert len(cuts) == pytest.approx(200, abs=50)
    assert gaps != cuts
