"""Redis: events for other programs, and the order books that agents share. Imported only when a URL is configured.

An event is JSON: ``{"seq": 12, "type": "fill", "at": 1700000000.1, …}``. ``seq`` counts from 1 without gaps, so that
a reader of the pub/sub channel, which receives everything at most once, can see what it missed. The stream is the
durable copy (trimmed to about ``STREAM_LENGTH`` entries). While Redis is away, events wait in a bounded queue; what
does not fit is dropped and counted.
"""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.stdlib import get_logger

from strategy_agent.aio import backoff
from strategy_agent.model import Book, decode, encode
from strategy_agent.outlets import Events, Metrics, Value

STREAM = "strategy-agent:stream"
CHANNEL = "strategy-agent:events"
BOOK_KEY = "strategy-agent:book:"
STREAM_LENGTH = 10_000
QUEUE_LENGTH = 1_000
BOOK_TTL_MS = 5_000
BOOK_PATIENCE = 0.05
"""Seconds that a tick waits for the shared books: the broker itself is not far away."""

FAILURES = (RedisError, OSError)

log = get_logger(__name__)


def connect(url: str) -> Redis:
    """Return a client that gives up soon: a trading loop cannot wait for its event log."""
    return Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0, decode_responses=True)


class RedisEvents(Events):
    """Events on Redis, delivered by :meth:`run`; what is lost, and whether Redis is there, is a metric."""

    def __init__(self, client: Redis, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics
        self._up = metrics.add_redis()
        self._well = True
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_LENGTH)
        self._published = 0

    def publish(self, kind: str, **fields: Value) -> None:
        """Queue an event; a full queue drops it, and its number shows the gap."""
        self._published += 1
        event = {"seq": self._published, "type": kind, "at": round(time.time(), 6), **fields}
        try:
            self._queue.put_nowait(json.dumps(event))
        except asyncio.QueueFull:
            self._metrics.events_dropped.labels("queue_full").inc()

    async def run(self) -> None:
        """Deliver in order, retrying each event until Redis takes it."""
        while True:
            event, attempt = await self._queue.get(), 0
            while not await self._send(event):
                attempt += 1
                await asyncio.sleep(backoff(attempt))
            self._queue.task_done()

    async def drain(self, timeout: float) -> None:
        """Wait until everything is delivered, at most ``timeout`` seconds; count what is left as lost."""
        try:
            await asyncio.wait_for(self._queue.join(), timeout)
        except TimeoutError:
            self._metrics.events_dropped.labels("shutdown").inc(self._queue.qsize() + 1)  # one is in delivery

    async def _send(self, event: str) -> bool:
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.xadd(STREAM, {"payload": event}, maxlen=STREAM_LENGTH, approximate=True)
                pipeline.publish(CHANNEL, event)
                await pipeline.execute()
        except FAILURES as error:
            self._note(well=False, reason=str(error) or type(error).__name__)
            return False
        self._note(well=True)
        return True

    def _note(self, *, well: bool, **details: str) -> None:
        """Show whether Redis takes events; a change is logged once."""
        self._up.set(well)
        if well is not self._well:
            self._well = well
            (log.info if well else log.error)("redis_reachable" if well else "redis_unreachable", **details)


@dataclass(frozen=True, slots=True)
class RedisBooks:
    """A :class:`~strategy_agent.orderbook.BookStore` on Redis; answers None while Redis is away."""

    client: Redis

    async def get(self, symbol: str) -> Book | None:
        """Return the stored book, or None if there is none, none readable, or no Redis."""
        try:
            async with asyncio.timeout(BOOK_PATIENCE):
                text = await self.client.get(BOOK_KEY + symbol)
            return None if text is None else decode(text, Book)
        except (*FAILURES, ValueError):
            return None

    async def put(self, book: Book) -> None:
        """Store a book for a few seconds; a cache that cannot be written is only a slower cache."""
        with suppress(*FAILURES):
            async with asyncio.timeout(BOOK_PATIENCE):
                await self.client.set(BOOK_KEY + book.symbol, encode(book), px=BOOK_TTL_MS)
