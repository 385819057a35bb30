"""Redis: events to a stream and a channel, order books to keys. Imported only when a URL is configured.

The stream is the durable copy (trimmed to about ``STREAM_LENGTH`` entries), the channel the quick one. While Redis
is away, events wait in a bounded queue; what does not fit is dropped and counted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from strategy_agent import wire
from strategy_agent.brokers.stream import backoff
from strategy_agent.events import EventNumbering, Value
from strategy_agent.model import Book

STREAM = "strategy-agent:stream"
CHANNEL = "strategy-agent:events"
BOOK_KEY = "strategy-agent:book:"
STREAM_LENGTH = 10_000
QUEUE_LENGTH = 1_000
BOOK_TTL_MS = 5_000
BOOK_PATIENCE = 0.05
"""Seconds that a tick waits for the shared books: the broker itself is not far away."""

FAILURES = (RedisError, OSError, TimeoutError)


def connect(url: str) -> Redis:
    """Return a client that gives up soon: a trading loop cannot wait for its event log."""
    return Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0, decode_responses=True)


class RedisEvents:
    """An :class:`~strategy_agent.events.EventSink` on Redis.

    ``on_drop(reason)`` is told of every event that is lost, ``on_state(reachable)`` of the first outcome and of
    every change.
    """

    def __init__(self, client: Redis, on_drop: Callable[[str], None], on_state: Callable[[bool], None]) -> None:
        self._client = client
        self._on_drop = on_drop
        self._on_state = on_state
        self._reachable: bool | None = None
        self._numbering = EventNumbering()
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_LENGTH)
        self._undelivered = 0

    def publish(self, kind: str, **fields: Value) -> None:
        """Queue an event; a full queue drops it, and its number shows the gap."""
        event = self._numbering.stamp(kind, fields)
        try:
            self._queue.put_nowait(json.dumps(event))
        except asyncio.QueueFull:
            self._on_drop("queue_full")
        else:
            self._undelivered += 1

    async def run(self) -> None:
        """Deliver in order, retrying each event until Redis takes it."""
        while True:
            await self._deliver(await self._queue.get())
            self._undelivered -= 1
            self._queue.task_done()

    async def drain(self, timeout: float) -> None:
        """Wait until everything is delivered, at most ``timeout`` seconds; count what is left as lost."""
        try:
            await asyncio.wait_for(self._queue.join(), timeout)
        except TimeoutError:
            for _ in range(self._undelivered):
                self._on_drop("shutdown")

    async def _deliver(self, event: str) -> None:
        attempt = 0
        while not await self._send(event):
            attempt += 1
            await asyncio.sleep(backoff(attempt))

    async def _send(self, event: str) -> bool:
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.xadd(STREAM, {"payload": event}, maxlen=STREAM_LENGTH, approximate=True)
                pipeline.publish(CHANNEL, event)
                await pipeline.execute()
        except FAILURES:
            self._note(reachable=False)
            return False
        self._note(reachable=True)
        return True

    def _note(self, *, reachable: bool) -> None:
        if reachable is not self._reachable:
            self._reachable = reachable
            self._on_state(reachable)


class RedisBooks:
    """A :class:`~strategy_agent.orderbook.BookStore` on Redis; answers None while Redis is away."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def get(self, symbol: str) -> Book | None:
        """Return the stored book, or None if there is none, none readable, or no Redis."""
        try:
            async with asyncio.timeout(BOOK_PATIENCE):
                text = await self._client.get(BOOK_KEY + symbol)
            return None if text is None else wire.decode_book(wire.parse(text))
        except (*FAILURES, wire.WireError):
            return None

    async def put(self, book: Book) -> None:
        """Store a book for a few seconds."""
        try:
            async with asyncio.timeout(BOOK_PATIENCE):
                await self._client.set(BOOK_KEY + book.symbol, json.dumps(wire.encode(book)), px=BOOK_TTL_MS)
        except FAILURES:
            return  # a cache that cannot be written is only a slower cache
