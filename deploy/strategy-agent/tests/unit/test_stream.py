"""A stream's decisions: what to do with a frame, how long to wait, what to say of a broker."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import NoReturn, Self, cast

import aiohttp
import pytest

from strategy_agent.aio import backoff
from strategy_agent.brokers.client import Broker, ResumeError
from strategy_agent.model import Tick
from tests.support import Follower, eventually, numbers, raw

Line = MutableMapping[str, object]


def test_backoff_doubles_up_to_its_limit() -> None:
    """Waiting starts small, doubles, and never exceeds the limit, however long the outage."""
    assert [backoff(attempt) for attempt in (1, 2, 3, 4, 5)] == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert {backoff(attempt) for attempt in (6, 100, 100_000)} == {1.0}


class BrokenSession:
    """A session whose connections break: on being made, or in use."""

    def __init__(self, *, in_use: bool) -> None:
        self.in_use = in_use

    def ws_connect(self, *_: object, **__: object) -> Self:
        """Stand in for the connection's context manager."""
        return self

    async def __aenter__(self) -> Self:
        if not self.in_use:
            raise aiohttp.ClientConnectionError
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> NoReturn:
        raise aiohttp.ClientConnectionResetError


@pytest.mark.parametrize(("in_use", "reason"), [(False, "refused"), (True, "dropped")])
async def test_only_a_connection_that_never_stood_was_refused(in_use: bool, reason: str) -> None:
    """What breaks in use, even while we send, was dropped: the venue may be well."""
    broker = Broker("alpha", "http://alpha", cast(aiohttp.ClientSession, BrokenSession(in_use=in_use)))
    async with Follower(broker._session, broker, "ticks", Tick) as follower:
        await eventually(lambda: sum(follower.reasons().values()) >= 2, "two attempts")
    assert set(follower.reasons()) == {reason}
    assert broker.up is in_use


@pytest.fixture
def stream(session: aiohttp.ClientSession) -> Follower[Tick]:
    """Return a stream that is given its frames by hand."""
    return Follower(session, Broker("alpha", "http://alpha", session), "ticks", Tick)


async def test_a_frame_is_delivered_in_order_once(stream: Follower[Tick]) -> None:
    """The next number is delivered, one that was there before is not."""
    for seq in (1, 2, 2, 3):
        await stream.stream._receive(stream.broker, raw(seq, Tick("BTC-USD", float(seq))))
    assert numbers(stream.seen) == [1, 2, 3]


async def test_a_number_from_before_is_asked_about_on_a_new_connection(stream: Follower[Tick]) -> None:
    """In the middle of a connection it may be a repetition: it is not delivered, and the position stays."""
    for seq in (1, 2, 3):
        await stream.stream._receive(stream.broker, raw(seq, Tick("BTC-USD", float(seq))))
    with pytest.raises(ResumeError, match="behind"):
        await stream.stream._receive(stream.broker, raw(1, Tick("BTC-USD", 1.0)))
    assert (numbers(stream.seen), stream.stream.last) == ([1, 2, 3], 3)


async def test_a_later_frame_is_a_gap(stream: Follower[Tick]) -> None:
    """It is not delivered, the missing ones are counted, and the position stays behind the last one delivered."""
    with pytest.raises(ResumeError, match="gap"):
        await stream.stream._receive(stream.broker, raw(4, Tick("BTC-USD", 4.0)))
    assert (stream.seen, stream.missing, stream.stream.last) == ([], 3, 0)


async def test_frames_that_are_gone_are_skipped_and_counted(stream: Follower[Tick]) -> None:
    """The position moves behind them; what is said twice counts once."""
    for _ in range(2):
        await stream.stream._receive(stream.broker, raw(7))
    assert (stream.stream.last, stream.gone) == (7, 7)


async def test_a_refusal_means_the_broker_is_away(stream: Follower[Tick], logs: list[Line]) -> None:
    """The first refusal is an error in the log, the following ones only count."""
    for _ in range(3):
        stream.stream._disconnected(stream.broker, "refused")
    assert not stream.broker.up
    assert [line["event"] for line in logs] == ["broker_unreachable"]
    assert stream.reasons() == {"refused": 3}


async def test_a_connection_means_the_broker_is_back(stream: Follower[Tick], logs: list[Line]) -> None:
    """The return is said once."""
    stream.stream._disconnected(stream.broker, "refused")
    stream.stream._connected(stream.broker)
    assert stream.broker.up
    assert [line["event"] for line in logs] == ["broker_unreachable", "broker_reachable", "stream_connected"]


async def test_a_dropped_connection_is_no_proof_of_absence(stream: Follower[Tick], logs: list[Line]) -> None:
    """A drop alone does not mark the broker as away."""
    stream.stream._connected(stream.broker)
    stream.stream._disconnected(stream.broker, "dropped")
    assert stream.broker.up
    assert [line["event"] for line in logs] == ["stream_connected", "stream_disconnected"]


async def test_a_venue_that_numbers_anew_is_followed_from_its_first_frame(
    stream: Follower[Tick], logs: list[Line]
) -> None:
    """A number from before, first on a new connection, is another life of the venue: all of that is asked for."""
    stream.stream.last = 400
    stream.stream._connected(stream.broker)
    with pytest.raises(ResumeError, match="reset"):
        await stream.stream._receive(stream.broker, raw(3, Tick("BTC-USD", 3.0)))
    assert stream.stream.last == 0
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["sequence_reset"]


@pytest.mark.parametrize("data", ['{"symbol": 5}', '"x"', "[]", '{"symbol": "X", "price": "much"}'])
async def test_an_item_that_cannot_be_read_is_lost_alone(stream: Follower[Tick], logs: list[Line], data: str) -> None:
    """It is counted and logged, and the next one is handed on."""
    await stream.stream._read(stream.broker, f'{{"seq": 1, "data": {data}}}')
    await stream.stream._receive(stream.broker, raw(2, Tick("BTC-USD", 2.0)))
    assert (numbers(stream.seen), stream.gone) == ([2], 1)
    assert [line["reason"] for line in logs if line["event"] == "frames_lost"] == ["unreadable"]


async def test_a_frame_without_a_number_is_lost_alone(stream: Follower[Tick]) -> None:
    """It counts as the next one, and the stream goes on."""
    await stream.stream._read(stream.broker, "no json")
    await stream.stream._receive(stream.broker, raw(2, Tick("BTC-USD", 2.0)))
    assert (numbers(stream.seen), stream.gone) == ([2], 1)
