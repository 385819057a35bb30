"""Events and order books on a real Redis."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import MutableMapping
from typing import Self, cast

import pytest

from strategy_agent import events as module
from strategy_agent.aio import Tasks
from strategy_agent.events import BOOK_KEY, CHANNEL, STREAM, RedisBooks, RedisEvents, connect
from strategy_agent.outlets import Metrics
from tests.support import RedisServer, events_on, eventually, make_book


class Sink:
    """An event sink with its client and what it counts; the block is its delivery."""

    def __init__(self, url: str) -> None:
        self.metrics = Metrics(())
        self.client = connect(url)
        self.events = RedisEvents(self.client, self.metrics)
        self._tasks = Tasks()

    async def __aenter__(self) -> Self:
        self._tasks.spawn(self.events.run(), "delivery")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()
        await self.client.aclose()

    @property
    def reachable(self) -> bool:
        """Whether Redis is said to be there."""
        return self.metrics.registry.get_sample_value("strategy_redis_up") == 1

    def dropped(self, reason: str) -> float | None:
        """Return how many events were lost for a reason."""
        return self.metrics.registry.get_sample_value("strategy_events_dropped_total", {"reason": reason})


async def test_events_are_on_the_stream_in_order(redis_server: RedisServer) -> None:
    """What is published is found with number, type, time and fields; numbers count over all types."""
    async with Sink(redis_server.url) as sink:
        sink.events.publish("order", client_order_id="BTC-USD-1", state="acknowledged")
        sink.events.publish("fill", client_order_id="BTC-USD-1", price=100.5)
        await sink.events.drain(5)
        found = await events_on(sink.client, STREAM)
        assert sink.reachable
    assert [(event["seq"], event["type"]) for event in found] == [(1, "order"), (2, "fill")]
    assert found[1]["price"] == 100.5
    assert abs(cast(float, found[1]["at"]) - time.time()) < 60


async def test_events_are_on_the_channel_too(redis_server: RedisServer) -> None:
    """A subscriber of the channel hears the same events at once."""
    async with Sink(redis_server.url) as sink, sink.client.pubsub() as subscriber:
        await subscriber.subscribe(CHANNEL)
        await subscriber.get_message(timeout=5)
        sink.events.publish("heartbeat", ticks=1)
        message = await subscriber.get_message(timeout=5)
    assert message is not None
    assert json.loads(message["data"])["type"] == "heartbeat"


async def test_events_wait_while_redis_is_away(redis_server: RedisServer) -> None:
    """What is published during an outage is delivered after it, in order; the gauge shows both changes."""
    async with Sink(redis_server.url) as sink:
        sink.events.publish("before")
        await sink.events.drain(5)
        redis_server.stop()
        for number in range(5):
            sink.events.publish("during", number=number)
        await eventually(lambda: not sink.reachable, "the loss of Redis")
        redis_server.start()
        await sink.events.drain(10)
        found = await events_on(sink.client, STREAM)
        assert sink.reachable
    assert [event.get("number") for event in found] == [0, 1, 2, 3, 4]
    assert sink.dropped("shutdown") is None


async def test_a_redis_that_goes_is_said_once(
    redis_server: RedisServer, logs: list[MutableMapping[str, object]]
) -> None:
    """When it goes, with the reason, and when it is back, however often delivery is tried meanwhile."""
    async with Sink(redis_server.url) as sink:
        sink.events.publish("heartbeat")
        await sink.events.drain(5)
        redis_server.stop()
        sink.events.publish("heartbeat")
        await eventually(lambda: not sink.reachable, "its end to be noticed")
        redis_server.start()
        await sink.events.drain(10)
    changes = [line for line in logs if line["event"] in ("redis_unreachable", "redis_reachable")]
    assert [line["event"] for line in changes] == ["redis_unreachable", "redis_reachable"]
    assert changes[0]["reason"]


async def test_what_does_not_fit_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue drops the newest event with a reason; the numbers show where."""
    monkeypatch.setattr(module, "QUEUE_LENGTH", 3)
    sink = Sink("redis://127.0.0.1:1")
    for _ in range(5):
        sink.events.publish("heartbeat")
    assert sink.dropped("queue_full") == 2
    await sink.client.aclose()


async def test_what_cannot_be_delivered_at_the_end_is_counted() -> None:
    """Stopping without Redis gives up after the time allowed, and says how many were lost."""
    async with Sink("redis://127.0.0.1:1") as sink:
        for _ in range(3):
            sink.events.publish("heartbeat")
        await sink.events.drain(0.1)
    assert sink.dropped("shutdown") == 3


async def test_books_are_shared(redis_server: RedisServer) -> None:
    """What one agent puts in, another gets; it goes away by itself."""
    client = connect(redis_server.url)
    book = make_book(at=12.5)
    await RedisBooks(client).put(book)
    assert await RedisBooks(client).get("BTC-USD") == book
    assert 0 < await client.pttl(BOOK_KEY + "BTC-USD") <= module.BOOK_TTL_MS
    assert await RedisBooks(client).get("ETH-USD") is None
    await client.aclose()


@pytest.mark.parametrize("rubbish", [b"rubbish", b"\xff\xfe\x00", b"{}"])
async def test_a_book_that_cannot_be_read_is_a_miss(redis_server: RedisServer, rubbish: bytes) -> None:
    """Rubbish under the key is not an error of the agent's."""
    client = connect(redis_server.url)
    await client.set(BOOK_KEY + "BTC-USD", rubbish)
    assert await RedisBooks(client).get("BTC-USD") is None
    await client.aclose()


async def test_a_redis_that_does_not_answer_holds_no_tick_up() -> None:
    """Where a server takes the connection and says nothing, the books are given up after a moment."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        await RedisBooks(client).put(make_book())
        assert await RedisBooks(client).get("BTC-USD") is None
        assert time.monotonic() - started < 0.5
        await client.aclose()


async def test_without_redis_books_are_only_slower() -> None:
    """Neither reading nor writing raises while Redis is away."""
    client = connect("redis://127.0.0.1:1")
    await RedisBooks(client).put(make_book())
    assert await RedisBooks(client).get("BTC-USD") is None
    await client.aclose()
