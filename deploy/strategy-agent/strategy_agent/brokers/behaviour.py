"""How a paper venue treats what it is sent: pure decisions, all of them functions of the seed.

A sequential generator makes the outcome of an order depend on the arrival of all orders before it, and arrival over a
network is not repeatable. Here a draw depends on its seed and its name, never on who drew before; order ids and frame
numbers name the draws. So order 17 of seed 7 is rejected in every run, or in none, whatever its timing.
"""

from enum import StrEnum
from hashlib import blake2b
from math import exp, log
from statistics import NormalDist

from msgspec import Struct

from strategy_agent.model import Book, Fill, Level, Order, Side

TICK_SIZE = 0.01
DEPTH = 5

_STANDARD_NORMAL = NormalDist()
_STEPS = 2**52


class RejectReason(StrEnum):
    """Why a venue refuses an order."""

    RATE_LIMITED = "rate_limited"
    INSUFFICIENT_MARGIN = "insufficient_margin"
    PRICE_BAND = "price_band"
    UNKNOWN_SYMBOL = "unknown_symbol"
    MALFORMED = "malformed"
    CANCELLED = "cancelled"
    FILLED = "filled"


class Behaviour(Struct, frozen=True):
    """The venue's character. Ratios are probabilities per event; latencies are lognormal, medians in seconds."""

    reject_ratio: float = 0.0
    rate_limit_ratio: float = 0.0
    gap_ratio: float = 0.0
    disconnect_ratio: float = 0.0
    ack_latency: float = 0.002
    fill_latency: float = 0.01
    latency_spread: float = 0.5
    clock_skew: float = 0.012


CALM = Behaviour()
CHAOS = Behaviour(reject_ratio=0.05, rate_limit_ratio=0.05, gap_ratio=0.002, disconnect_ratio=0.0002)


def uniform(*name: object) -> float:
    """Return a number in (0, 1) that is a pure function of ``name``."""
    digest = blake2b("\x1f".join(map(str, name)).encode(), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 12) + 0.5) / _STEPS


def normal(*name: object) -> float:
    """Return a standard normal number that is a pure function of ``name``."""
    return _STANDARD_NORMAL.inv_cdf(uniform(*name))


def happens(ratio: float, *name: object) -> bool:
    """Say whether an event of probability ``ratio`` happens under ``name``."""
    return uniform(*name) < ratio


def ack_latency(behaviour: Behaviour, name: str, client_order_id: str) -> float:
    """Return the seconds until an order is answered. ``name`` names the draws, here as below."""
    return _lognormal(behaviour.ack_latency, behaviour.latency_spread, name, "ack", client_order_id)


def refusal(behaviour: Behaviour, name: str, order: Order, price: float | None) -> RejectReason | None:
    """Return why an order is refused, or None; ``price`` is that of the last trade, None if there was none."""
    if price is None:
        return RejectReason.UNKNOWN_SYMBOL
    if happens(behaviour.rate_limit_ratio, name, "429", order.client_order_id):
        return RejectReason.RATE_LIMITED
    if happens(behaviour.reject_ratio, name, "reject", order.client_order_id):
        margin = happens(0.5, name, "reason", order.client_order_id)
        return RejectReason.INSUFFICIENT_MARGIN if margin else RejectReason.PRICE_BAND
    return None


def fill_latency(behaviour: Behaviour, name: str, client_order_id: str) -> float:
    """Return the seconds from an order's acknowledgement until it is filled."""
    return _lognormal(behaviour.fill_latency, behaviour.latency_spread, name, "fill", client_order_id)


def make_fill(order: Order, book: Book) -> Fill:
    """Return the fill of the whole order, at the best price of the other side."""
    price = (book.asks if order.side is Side.BUY else book.bids)[0].price
    return Fill(order.client_order_id, order.symbol, order.side, order.quantity, price)


def make_book(name: str, symbol: str, price: float, seq: int, at: float) -> Book:
    """Return the book around the last trade, a function of the venue and the number of that trade."""

    def side(direction: int) -> tuple[Level, ...]:
        return tuple(
            Level(
                price=round(max(price + direction * TICK_SIZE * step, TICK_SIZE), 4),
                quantity=round(1 + 99 * uniform(name, symbol, seq, direction * step), 3),
            )
            for step in range(1, DEPTH + 1)
        )

    return Book(symbol, at, bids=side(-1), asks=side(1))


def drops_frame(behaviour: Behaviour, name: str, topic: str, seq: int) -> bool:
    """Say whether the venue forgets to send this frame, which the client sees as a sequence gap."""
    return happens(behaviour.gap_ratio, name, topic, "gap", seq)


def cuts_connection(behaviour: Behaviour, name: str, topic: str, seq: int) -> bool:
    """Say whether the venue drops the connection before this frame."""
    return happens(behaviour.disconnect_ratio, name, topic, "cut", seq)


def _lognormal(median: float, spread: float, *name: object) -> float:
    return exp(log(median) + spread * normal(*name)) if median > 0 else 0.0
