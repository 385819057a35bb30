"""A WebSocket subscription that survives drops, gaps and a broker that is away.

    waiting ──connect behind the last item──▶ live ──cut, closed, nonsense, a frame missing──▶ waiting

There is one way to recover, whatever went wrong: connect again and resume behind the last item. So every item is
handed on once and in the order of its number. What the venue no longer has is counted as lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import aiohttp

from strategy_agent.brokers.client import Broker
from strategy_agent.logs import get_logger
from strategy_agent.metrics import Metrics
from strategy_agent.wire import Frame, WireError, decode

T = TypeVar("T")

ABNORMAL_CLOSURE = 1006

log = get_logger(__name__)


class GapError(Exception):
    """A frame is missing."""


def backoff(attempt: int, *, base: float = 0.05, limit: float = 1.0) -> float:
    """Return the seconds to wait before attempt ``attempt`` (from 1): doubling up to ``limit``."""
    return min(limit, base * 2.0 ** min(attempt - 1, 16))


@dataclass(slots=True)
class Stream(Generic[T]):
    """Follows a topic until cancelled, and keeps the brokers' standing. :attr:`last` outlives every connection.

    ``choose`` is asked for a broker before every connection, so that a stream can move to another venue;
    ``on_item`` is given the broker's name and the item.
    """

    topic: str
    kind: type[Frame[T]]
    choose: Callable[[], Broker]
    on_item: Callable[[str, T], Awaitable[None]]
    session: aiohttp.ClientSession
    metrics: Metrics
    last: int = 0
    _failures: int = 0

    async def run(self) -> None:
        """Connect, follow, reconnect; returns only by cancellation."""
        while True:
            broker = self.choose()
            self._disconnected(broker, await self._follow(broker))
            self._failures += 1
            await asyncio.sleep(backoff(self._failures))

    async def _follow(self, broker: Broker) -> str:
        """Return why the connection ended: ``refused``, ``dropped``, ``closed``, ``gap`` or ``protocol``."""
        failed = "refused"
        url = broker.stream_url(self.topic)
        try:
            async with self.session.ws_connect(url, params={"after": self.last}, heartbeat=10.0) as socket:
                failed = "dropped"
                self._connected(broker)
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        await self._receive(broker, decode(message.data, self.kind))
                return "dropped" if socket.close_code == ABNORMAL_CLOSURE else "closed"
        except GapError:
            return "gap"
        except WireError:
            return "protocol"
        except (aiohttp.ClientError, OSError):
            return failed

    async def _receive(self, broker: Broker, frame: Frame[T]) -> None:
        if frame.data is None:
            self._skip_to(broker, frame.seq)
        elif frame.seq == self.last + 1:
            self.last, self._failures = frame.seq, 0
            await self.on_item(broker.name, frame.data)
        elif frame.seq > self.last:
            missing = frame.seq - self.last - 1
            self.metrics.gaps.labels(broker.name, self.topic).inc(missing)
            log.warning("sequence_gap", broker=broker.name, topic=self.topic, missing=missing)
            raise GapError

    def _skip_to(self, broker: Broker, seq: int) -> None:
        count = seq - self.last
        if count > 0:
            self.last = seq
            self.metrics.lost.labels(broker.name, self.topic).inc(count)
            log.error("frames_lost", broker=broker.name, topic=self.topic, count=count)

    def _connected(self, broker: Broker) -> None:
        broker.report(ok=True, up=True)
        log.info("stream_connected", broker=broker.name, topic=self.topic)

    def _disconnected(self, broker: Broker, reason: str) -> None:
        refused = reason == "refused"
        broker.report(ok=False, up=False if refused else None)
        self.metrics.reconnects.labels(broker.name, self.topic, reason).inc()
        if not refused:
            log.warning("stream_disconnected", broker=broker.name, topic=self.topic, reason=reason)
