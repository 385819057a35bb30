"""Redis: events to a stream and a channel, order books to keys. Imported only when a URL is configured.

The stream is the durable copy (trimmed to about ``STREAM_LENGTH`` entries), the channel the quick one. While Redis
is away, events wait in a bounded queue; what does not fit is dropped and counted.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from redis.asyncio import Redis
from redis.exceptions import RedisError

from strategy_agent.brokers.stream import backoff
from strategy_agent.events import Value
from strategy_agent.metrics import Metrics
from strategy_agent.model import Book
from strategy_agent.wire import WireError, decode, encode

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


@dataclass(slots=True)
class RedisEvents:
    """An :class:`~strategy_agent.events.EventSink` on Redis; what is lost, and whether Redis is there, is a metric."""

    client: Redis
    metrics: Metrics
    _queue: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(QUEUE_LENGTH))
    _published: int = 0
    _undelivered: int = 0

    def publish(self, kind: str, **fields: Value) -> None:
        """Queue an event; a full queue drops it, and its number shows the gap."""
        self._published += 1
        event = {"seq": self._published, "type": kind, "at": round(time.time(), 6), **fields}
        try:
            self._queue.put_nowait(json.dumps(event))
        except asyncio.QueueFull:
            self.metrics.events_dropped.labels("queue_full").inc()
        else:
            self._undelivered += 1

    async def run(self) -> None:
        """Deliver in order, retrying each event until Redis takes it."""
        while True:
            event = await self._queue.get()
            for attempt in count(1):
                if await self._send(event):
                    break
                await asyncio.sleep(backoff(attempt))
            self._undelivered -= 1
            self._queue.task_done()

    async def drain(self, timeout: float) -> None:
        """Wait until everything is delivered, at most ``timeout`` seconds; count what is left as lost."""
        try:
            await asyncio.wait_for(self._queue.join(), timeout)
        except TimeoutError:
            self.metrics.events_dropped.labels("shutdown").inc(self._undelivered)

    async def _send(self, event: str) -> bool:
        try:
            async with self.client.pipeline(transaction=False) as pipeline:
                pipeline.xadd(STREAM, {"payload": event}, maxlen=STREAM_LENGTH, approximate=True)
                pipeline.publish(CHANNEL, event)
                await pipeline.execute()
        except FAILURES:
            self.metrics.redis_up.set(0)
            return False
        self.metrics.redis_up.set(1)
        return True


@dataclass(slots=True)
class RedisBooks:
    """A :class:`~strategy_agent.orderbook.BookStore` on Redis; answers None while Redis is away."""

    client: Redis

    async def get(self, symbol: str) -> Book | None:
        """Return the stored book, or None if there is none, none readable, or no Redis."""
        try:
            async with asyncio.timeout(BOOK_PATIENCE):
                text = await self.client.get(BOOK_KEY + symbol)
            return None if text is None else decode(text, Book)
        except (*FAILURES, WireError):
            return None

    async def put(self, book: Book) -> None:
        """Store a book for a few seconds; a cache that cannot be written is only a slower cache."""
        with suppress(*FAILURES):
            async with asyncio.timeout(BOOK_PATIENCE):
                await self.client.set(BOOK_KEY + book.symbol, encode(book), px=BOOK_TTL_MS)
