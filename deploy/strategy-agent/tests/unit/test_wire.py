"""JSON on the sockets."""

from __future__ import annotations

import json

import pytest
from msgspec import Struct, to_builtins

from strategy_agent.model import Ack, Book, Fill, Frame, Order, Side, Tick, WireError, decode, encode
from tests.support import make_book

TICK = Tick("BTC-USD", 100.5, 12.0)
ORDER = Order("BTC-USD-1", "BTC-USD", Side.BUY, 2.5)
ACK = Ack("BTC-USD-1", "alpha-1")
FILL = Fill("BTC-USD-1", "BTC-USD", Side.SELL, 2.5, 100.0)


@pytest.mark.parametrize("value", [TICK, ORDER, ACK, FILL, make_book()], ids=lambda value: type(value).__name__)
def test_every_message_survives_the_wire(value: Struct) -> None:
    """Decoding what was encoded gives the same value."""
    assert decode(encode(value), type(value)) == value


def test_a_frame_carries_its_kind_or_nothing() -> None:
    """A frame is read with what it carries; without data it stands for what is gone."""
    assert decode(encode(Frame(3, TICK)), Frame[Tick]) == Frame(3, TICK)
    assert decode('{"seq": 3}', Frame[Tick]).data is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        '"x"',
        "[" * 100_000,
        '{"x": ' + "[" * 100_000,
        b"\xff\xfe\x00",
        b'{"symbol": "\xff"}',
    ],
)
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    """Anything that is not a JSON object is a wire error, however it fails to be one."""
    with pytest.raises(WireError):
        decode(text, Order)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": 0}, r"`float` > 0.0 - at `\$.quantity`"),
        ({"quantity": -1.0}, r"`float` > 0.0 - at `\$.quantity`"),
        ({"quantity": "2"}, r"Expected `float`, got `str` - at `\$.quantity`"),
        ({"quantity": True}, r"Expected `float`, got `bool` - at `\$.quantity`"),
        ({"quantity": float("nan")}, "not JSON|malformed"),
        ({"quantity": float("inf")}, "not JSON|malformed"),
        ({"quantity": 10**400}, r"Number out of range - at `\$.quantity`"),
        ({"symbol": "\ud800"}, "malformed: .*surrogate"),
        ({"side": "hold"}, r"Invalid enum value 'hold' - at `\$.side`"),
        ({"side": 1}, r"Expected `str`, got `int` - at `\$.side`"),
        ({"symbol": None}, r"Expected `str`, got `null` - at `\$.symbol`"),
    ],
)
def test_a_wrong_order_is_refused_by_name(change: dict[str, object], message: str) -> None:
    """The error says which field is wrong and how."""
    with pytest.raises(WireError, match=message):
        decode(json.dumps({**to_builtins(ORDER), **change}), Order)


@pytest.mark.parametrize(
    "levels", [None, 1, [1], [{"price": 1}], [{"price": 1, "quantity": "x"}], [{"price": 0, "quantity": 1}]]
)
def test_a_wrong_book_is_refused(levels: object) -> None:
    """Levels must be a list of objects with price and quantity."""
    with pytest.raises(WireError):
        decode(json.dumps({"symbol": "BTC-USD", "at": 1.0, "bids": levels, "asks": []}), Book)
