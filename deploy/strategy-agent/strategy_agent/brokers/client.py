"""Brokers as the agent sees them: endpoints and streams, how each broker has been doing, which one to use now.

A request that fails is a :class:`BrokerError` with a reason. A stream survives drops, gaps and a broker that is away:

    waiting ──connect behind the last item──▶ live ──cut, closed, nonsense, a frame missing──▶ waiting

There is one way to recover, whatever went wrong: connect again and resume behind the last item. So every item is
handed on once and in the order of its number. What the venue no longer has is counted as lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import aiohttp
from structlog.stdlib import get_logger

from strategy_agent.aio import backoff
from strategy_agent.brokers.behaviour import RejectReason
from strategy_agent.model import Ack, Book, Clock, Frame, Order, Refusal, WireError, decode, encode
from strategy_agent.outlets import Metrics
from strategy_agent.stats import ExponentialMean

T = TypeVar("T")

TIMEOUT = aiohttp.ClientTimeout(total=2.0)
ABNORMAL_CLOSURE = 1006

log = get_logger(__name__)


class BrokerError(Exception):
    """The broker refused or could not be reached. ``reason`` is a short, fixed word, fit for a metric label."""

    def __init__(self, broker: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{broker}: {reason}" + (f" ({detail})" if detail else ""))
        self.reason = reason


class Broker:
    """Talks to one broker over a shared session, which the caller owns; ``up`` says whether it can be reached."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self.name = name
        self.up = True
        self._url = url
        self._session = session
        self.failures = ExponentialMean(half_life=20)

    def report(self, *, ok: bool, up: bool | None = None) -> None:
        """Note the outcome of one exchange.

        That the broker is away (``up=False``) is for its streams to say: they keep trying, and so also notice when
        it is back. That it is there may be said by whoever had an answer on a regular errand. Changes are logged.
        """
        self.failures.update(0.0 if ok else 1.0)
        if up is not None and up is not self.up:
            self.up = up
            (log.info if up else log.error)("broker_reachable" if up else "broker_unreachable", broker=self.name)

    def stream_url(self, topic: str) -> str:
        """Return the WebSocket address of a topic."""
        return f"{self._url}/v1/stream/{topic}"

    async def submit(self, order: Order) -> Ack:
        """Submit an order."""
        return await self._call("POST", "/v1/orders", Ack, encode(order))

    async def book(self, symbol: str) -> Book:
        """Fetch the order book of a symbol."""
        return await self._call("GET", f"/v1/book/{symbol}", Book)

    async def clock_offset(self) -> float:
        """Return the seconds that the broker's clock is ahead of ours, halving the round trip."""
        before = time.time()
        clock = await self._call("GET", "/v1/time", Clock)
        return clock.now - (before + time.time()) / 2

    async def _call(self, method: str, path: str, kind: type[T], body: str | None = None) -> T:
        try:
            async with self._session.request(method, self._url + path, data=body, timeout=TIMEOUT) as response:
                answer = await response.read()
            if response.status >= 400:
                raise BrokerError(self.name, _reason(response.status, answer))
            return decode(answer, kind)
        except TimeoutError as error:
            raise BrokerError(self.name, "timeout") from error
        except WireError as error:
            raise BrokerError(self.name, "protocol", str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise BrokerError(self.name, "unreachable", str(error)) from error


class BrokerRegistry(dict[str, Broker]):
    """Brokers by name, in the order of registration. Choosing looks at every broker once."""

    def register(self, broker: Broker) -> None:
        """Add a broker; raises ``ValueError`` if its name is taken."""
        if broker.name in self:
            raise ValueError(f"a broker named {broker.name!r} is registered already")
        self[broker.name] = broker

    def select(self) -> Broker:
        """Return the broker to use now: up if one is, then by fewest failures in tenths, then by registration."""
        if not self:
            raise LookupError("no broker is registered")
        return min(self.values(), key=lambda broker: (not broker.up, round(broker.failures.value, 1)))


class GapError(Exception):
    """A frame is missing."""


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


def _reason(status: int, answer: bytes) -> str:
    """Return the venue's word if it is one that we know, else the status: a peer must not make up metric labels."""
    try:
        return RejectReason(decode(answer, Refusal).reason).value
    except ValueError:
        return f"http_{status}"
