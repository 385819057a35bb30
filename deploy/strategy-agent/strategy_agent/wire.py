"""JSON for the values that cross a socket: the only place that knows both sides.

Every decoder takes any parsed JSON and raises :class:`WireError` on anything but the expected shape, so that
nothing a peer sends can surface as a ``KeyError`` somewhere else.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TypeVar

from strategy_agent.model import Ack, Book, Fill, Level, Order, Side, Tick

T = TypeVar("T")
Json = dict[str, object]
Message = Tick | Fill | Order | Ack | Book


class WireError(ValueError):
    """A peer sent something else than the protocol says."""


def encode(value: Message) -> Json:
    """Return the JSON object of a value."""
    return asdict(value)


def parse(text: str | bytes) -> Json:
    """Return the JSON object in ``text``."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from error
    return _object(document)


def decode_tick(document: Json) -> Tick:
    """Read a :class:`Tick`."""
    return Tick(_text(document, "symbol"), number(document, "price"), number(document, "sent_at"))


def decode_order(document: Json) -> Order:
    """Read an :class:`Order`."""
    side, quantity = _side(document), _positive(document, "quantity")
    return Order(_text(document, "client_order_id"), _text(document, "symbol"), side, quantity)


def decode_ack(document: Json) -> Ack:
    """Read an :class:`Ack`."""
    return Ack(_text(document, "client_order_id"), _text(document, "order_id"))


def decode_fill(document: Json) -> Fill:
    """Read a :class:`Fill`."""
    return Fill(
        client_order_id=_text(document, "client_order_id"),
        symbol=_text(document, "symbol"),
        side=_side(document),
        quantity=_positive(document, "quantity"),
        price=_positive(document, "price"),
        last=_expect(document, "last", bool),
    )


def decode_book(document: Json) -> Book:
    """Read a :class:`Book`."""
    return Book(
        symbol=_text(document, "symbol"),
        at=number(document, "at"),
        bids=_levels(document, "bids"),
        asks=_levels(document, "asks"),
    )


def number(document: Json, key: str) -> float:
    """Return the finite number under ``key``."""
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise WireError(f"{key}: expected a finite number, got {value!r:.40}")
    return float(value)


def data(frame: Json) -> Json:
    """Return the object that a stream frame carries."""
    return _object(frame.get("data"))


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise WireError(f"expected an object, got {type(value).__name__}")
    return value


def _expect(document: Json, key: str, kind: type[T]) -> T:
    value = document.get(key)
    if not isinstance(value, kind):
        raise WireError(f"{key}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def _text(document: Json, key: str) -> str:
    text = _expect(document, key, str)
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair is valid JSON and no valid text
        raise WireError(f"{key}: {error}") from error
    return text


def _positive(document: Json, key: str) -> float:
    value = number(document, key)
    if value <= 0:
        raise WireError(f"{key} must be above zero, not {value}")
    return value


def _side(document: Json) -> Side:
    try:
        return Side(_text(document, "side"))
    except ValueError as error:
        raise WireError(f"side: {error}") from error


def _levels(document: Json, key: str) -> tuple[Level, ...]:
    rows = [_object(row) for row in _expect(document, key, list)]
    return tuple(Level(_positive(row, "price"), _positive(row, "quantity")) for row in rows)
