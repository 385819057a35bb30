"""The values that the parts exchange, frozen and without behaviour beyond arithmetic; and their JSON.

Prices are quoted in the account's currency, quantities in units of the symbol, instants in Unix seconds. Whatever a
peer sends becomes a value of the expected type, bounds included, or a :class:`WireError` that names the field. Numbers
are finite and text is Unicode: neither NaN nor half a surrogate pair is JSON to msgspec.
"""

from enum import StrEnum
from math import isfinite
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

T = TypeVar("T")
Positive = Annotated[float, Meta(gt=0)]


class Regime(StrEnum):
    """What the market is doing, as far as the ticks up to now tell."""

    RANGE = "range"
    TREND = "trend"
    VOLATILE = "volatile"
    CRASH = "crash"


class Side(StrEnum):
    """The direction of an order."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a purchase, -1 for a sale."""
        return 1 if self is Side.BUY else -1


class Tick(Struct, frozen=True):
    """One trade print; ``sent_at`` is the venue's clock. Whether ``price`` can be one is for the router to say."""

    symbol: str
    price: float
    sent_at: float = 0.0


class AccountData(Struct, frozen=True):
    """What the router may know of the account: money only, so that it cannot come to depend on orders."""

    equity: float = 100_000.0
    peak_equity: float = 100_000.0

    @property
    def drawdown(self) -> float:
        """Loss since the peak as a fraction in [0, 1]; 1 when the figures make no sense."""
        if not (isfinite(self.equity) and isfinite(self.peak_equity)) or self.peak_equity <= 0:
            return 1.0
        return min(1.0, max(0.0, 1.0 - self.equity / self.peak_equity))


class Decision(Struct, frozen=True):
    """The router's answer to one tick.

    ``signal`` is in [-1, 1] (short to long), ``quality`` and ``allocation_scalar`` are in [0, 1], ``volatility`` is
    per tick, in log returns.
    """

    symbol: str
    price: float
    signal: float
    quality: float
    allocation_scalar: float
    regime: Regime
    volatility: float = 0.0


class Order(Struct, frozen=True):
    """A market order. The id is the client's."""

    client_order_id: str
    symbol: str
    side: Side
    quantity: Positive


class Ack(Struct, frozen=True):
    """The broker has taken the order on."""

    client_order_id: str
    order_id: str


class Fill(Struct, frozen=True):
    """An order was traded, the whole of it."""

    client_order_id: str
    symbol: str
    side: Side
    quantity: Positive
    price: Positive


class Level(Struct, frozen=True):
    """A price and the quantity on offer at it."""

    price: Positive
    quantity: Positive


class Book(Struct, frozen=True):
    """An order book as of ``at``: bids from the highest price down, asks from the lowest up."""

    symbol: str
    at: float
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Clock(Struct, frozen=True):
    """A venue's time in Unix seconds."""

    now: float


class Refusal(Struct, frozen=True):
    """Why a venue does not do what it was asked: a fixed word, and what else there is to say."""

    reason: str
    detail: str = ""


class Frame(Struct, Generic[T], frozen=True):
    """Item ``seq`` of a stream. Without ``data`` it says that everything up to ``seq`` is gone for good."""

    seq: int
    data: T | None = None


class RawFrame(Struct, frozen=True):
    """A frame whose data is not read yet."""

    seq: int
    data: msgspec.Raw = msgspec.Raw(b"null")


class WireError(ValueError):
    """A peer sent something else than the protocol says."""


def encode(value: Struct) -> str:
    """Return the JSON text of a value."""
    return msgspec.json.encode(value).decode()


def decode(text: str | bytes | msgspec.Raw, kind: type[T]) -> T:
    """Return the value of type ``kind`` in ``text``; fields that the type does not have are ignored."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise WireError(str(error)) from error
