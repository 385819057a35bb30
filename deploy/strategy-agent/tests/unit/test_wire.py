"""JSON on the sockets."""

from __future__ import annotations

import json

import pytest

from strategy_agent import wire
from strategy_agent.model import Ack, Fill, Order, Side, Tick
from tests.support import make_book

TICK = Tick("BTC-USD", 100.5, 12.0)
ORDER = Order("BTC-USD-1", "BTC-USD", Side.BUY, 2.5)
ACK = Ack("BTC-USD-1", "alpha-1")
FILL = Fill("BTC-USD-1", "BTC-USD", Side.SELL, 2.5, 100.0, last=True)


def through_json(value: wire.Message) -> wire.Json:
    """Return what the other side parses."""
    return wire.parse(json.dumps(wire.encode(value)))


def test_every_message_survives_the_wire() -> None:
    """Decoding what was encoded gives the same value."""
    book = make_book()
    assert wire.decode_tick(through_json(TICK)) == TICK
    assert wire.decode_order(through_json(ORDER)) == ORDER
    assert wire.decode_ack(through_json(ACK)) == ACK
    assert wire.decode_fill(through_json(FILL)) == FILL
    assert wire.decode_book(through_json(book)) == book


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", '"x"', "[" * 100_000, b"\xff\xfe\x00"])
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    """Anything that is not a JSON object is a wire error, however it fails to be one."""
    with pytest.raises(wire.WireError):
        wire.parse(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": 0}, "quantity must be above zero"),
        ({"quantity": -1.0}, "quantity must be above zero"),
        ({"quantity": "2"}, "quantity: expected a finite number"),
        ({"quantity": True}, "quantity: expected a finite number"),
        ({"quantity": float("nan")}, "quantity: expected a finite number"),
        ({"quantity": float("inf")}, "quantity: expected a finite number"),
        ({"quantity": 10**400}, "quantity: expected a finite number, got 10000"),
        ({"symbol": "\ud800"}, "symbol: .* surrogates not allowed"),
        ({"side": "hold"}, "side: 'hold' is not a valid Side"),
        ({"side": 1}, "side: expected str, got int"),
        ({"symbol": None}, "symbol: expected str, got NoneType"),
    ],
)
def test_a_wrong_order_is_refused_by_name(change: wire.Json, message: str) -> None:
    """The error says which field is wrong and how."""
    with pytest.raises(wire.WireError, match=message):
        wire.decode_order({**wire.encode(ORDER), **change})


@pytest.mark.parametrize(
    "levels", [None, 1, [1], [{"price": 1}], [{"price": 1, "quantity": "x"}], [{"price": 0, "quantity": 1}]]
)
def test_a_wrong_book_is_refused(levels: object) -> None:
    """Levels must be a list of objects with price and quantity."""
    with pytest.raises(wire.WireError):
        wire.decode_book({"symbol": "BTC-USD", "at": 1.0, "bids": levels, "asks": []})


def test_a_frame_without_data_is_refused() -> None:
    """A stream frame must carry an object."""
    with pytest.raises(wire.WireError, match="expected an object"):
        wire.data({"seq": 1})


def test_last_must_be_a_boolean() -> None:
    """A number does not pass for the flag that closes an order."""
    with pytest.raises(wire.WireError, match="last: expected bool, got int"):
        wire.decode_fill({**wire.encode(FILL), "last": 1})
