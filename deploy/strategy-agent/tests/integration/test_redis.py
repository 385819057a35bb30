"""Events and order books on a real Redis."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from strategy_agent import redis_io
from strategy_agent.redis_io import BOOK_KEY, CHANNEL, STREAM, RedisBooks, RedisEvents, connect
from tests.support import RedisServer, events_on, eventually, make_book


class Notes:
    """Keeps what the sink reports."""

    def __init__(self) -> None:
        self.drops: list[str] = []
        self.states: list[bool] = []


@asynccontextmanager
async def sink(url: str) -> AsyncIterator[tuple[RedisEvents, Redis, Notes]]:
    """Yield a running event sink, its client, and what it reports."""
    client, notes = connect(url), Notes()
    events = RedisEvents(client, notes.drops.append, notes.states.append)
    delivery = asyncio.create_task(events.run())
    try:
        yield events, client, notes
    finally:
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)
        await client.aclose()


async def test_events_are_on_the_stream_in_order(redis_server: RedisServer) -> None:
    """What is published is found with number, type and fields."""
    async with sink(redis_server.url) as (events, client, notes):
        events.publish("order", client_order_id="BTC-USD-1", state="acknowledged")
        events.publish("fill", client_order_id="BTC-USD-1", price=100.5)
        await events.drain(5)
        found = await events_on(client, STREAM)
    assert [(event["seq"], event["type"]) for event in found] == [(1, "order"), (2, "fill")]
    assert found[1]["price"] == 100.5
    assert (notes.states, notes.drops) == ([True], [])


async def test_events_are_on_the_channel_too(redis_server: RedisServer) -> None:
    """A subscriber of the channel hears the same events at once."""
    async with sink(redis_server.url) as (events, client, _), client.pubsub() as subscriber:
        await subscriber.subscribe(CHANNEL)
        await subscriber.get_message(timeout=5)
        events.publish("heartbeat", ticks=1)
        message = await subscriber.get_message(timeout=5)
    assert message is not None
    assert json.loads(message["data"])["type"] == "heartbeat"


async def test_events_wait_while_redis_is_away(redis_server: RedisServer) -> None:
    """What is published during an outage is delivered after it, in order, and both changes are reported."""
    async with sink(redis_server.url) as (events, client, notes):
        events.publish("before")
        await events.drain(5)
        redis_server.stop()
        for number in range(5):
            events.publish("during", number=number)
        await eventually(lambda: notes.states == [True, False], "the loss of Redis")
        redis_server.start()
        await events.drain(10)
        found = await events_on(client, STREAM)
    assert [event.get("number") for event in found] == [0, 1, 2, 3, 4]
    assert notes.states == [True, False, True]


async def test_what_does_not_fit_is_dropped_and_counted(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full queue drops the newest event with a reason; the numbers show where."""
    monkeypatch.setattr(redis_io, "QUEUE_LENGTH", 3)
    client, notes = connect(redis_server.url), Notes()
    events = RedisEvents(client, notes.drops.append, notes.states.append)
    for _ in range(5):
        events.publish("heartbeat")
    assert notes.drops == ["queue_full"] * 2
    await client.aclose()


async def test_what_cannot_be_delivered_at_the_end_is_counted() -> None:
    """Stopping without Redis gives up after the time allowed, and says how many were lost."""
    async with sink("redis://127.0.0.1:1") as (events, _, notes):
        for _ in range(3):
            events.publish("heartbeat")
        await events.drain(0.1)
    assert notes.drops == ["shutdown"] * 3


async def test_books_are_shared(redis_server: RedisServer) -> None:
    """What one agent puts in, another gets; it goes away by itself."""
    client = connect(redis_server.url)
    book = make_book(at=12.5)
    await RedisBooks(client).put(book)
    assert await RedisBooks(client).get("BTC-USD") == book
    assert 0 < await client.pttl(BOOK_KEY + "BTC-USD") <= redis_io.BOOK_TTL_MS
    assert await RedisBooks(client).get("ETH-USD") is None
    await client.aclose()


async def test_a_book_that_cannot_be_read_is_a_miss(redis_server: RedisServer) -> None:
    """Rubbish under the key is not an error of the agent's."""
    client = connect(redis_server.url)
    await client.set(BOOK_KEY + "BTC-USD", "rubbish")
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
