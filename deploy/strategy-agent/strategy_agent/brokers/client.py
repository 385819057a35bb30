"""Brokers as the agent sees them: endpoints and streams, how each broker has been doing, which one to use now.

A request that fails is a :class:`BrokerError` with a reason. A stream survives drops, gaps and a broker that is away:

    waiting ──connect behind the last item──▶ live ──cut, closed, nonsense, a frame missing──▶ waiting

There is one way to recover, whatever went wrong: connect again and resume behind the last item. So every item is
handed on once and in the order of its number. What the venue no longer has is counted as lost, and so is an item that
cannot be read, be it not JSON, not text or too long. A venue that begins its numbering anew, on a new connection or in
the middle of one, is followed from its first item on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from structlog.stdlib import get_logger

from strategy_agent.aio import backoff
from strategy_agent.brokers.behaviour import RejectReason
from strategy_agent.model import Ack, Book, Clock, Order, RawFrame, Refusal, WireError, decode, encode
from strategy_agent.outlets import Metrics
from strategy_agent.stats import ExponentialMean

T = TypeVar("T")

TIMEOUT = aiohttp.ClientTimeout(total=2.0)

log = get_logger(__name__)


class BrokerError(Exception):
    """The broker refused or could not be reached. ``reason`` is a short, fixed word, fit for a metric label."""

    def __init__(self, broker: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{broker}: {reason}" + (f" ({detail})" if detail else ""))
        self.reason = reason

    @property
    def certain(self) -> bool:
        """Whether the broker itself said no: otherwise it may have done what it was asked."""
        return self.reason in set(RejectReason) or self.reason.startswith("http_4")


class Broker:
    """Talks to one broker over a shared session, which the caller owns; ``up`` says whether it can be reached."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self.name = name
        self.up = True
        self.url = url
        self._session = session
        self.failures = ExponentialMean(half_life=20)
        self.offset = 0.0
        """Seconds that its clock is ahead of ours, as of the last :meth:`sync_clock`."""

    def report(self, *, ok: bool, up: bool | None = None) -> None:
        """Note the outcome of one exchange.

        That the broker is away (``up=False``) is for its streams to say: they keep trying, and so also notice when
        it is back. That it is there may be reported after any request that it answered. Changes are logged.
        """
        self.failures.update(0.0 if ok else 1.0)
        if up is not None and up is not self.up:
            self.up = up
            (log.info if up else log.error)("broker_reachable" if up else "broker_unreachable", broker=self.name)

    async def submit(self, order: Order) -> Ack:
        """Submit an order."""
        return await self._call("POST", "/v1/orders", Ack, encode(order))

    async def book(self, symbol: str) -> Book:
        """Fetch the order book of a symbol."""
        return await self._call("GET", f"/v1/book/{symbol}", Book)

    async def cancel(self, client_order_id: str) -> bool:
        """Cancel an order; False: it was filled already. An id the broker does not know is refused when it comes."""
        try:
            await self._call("DELETE", f"/v1/orders/{quote(client_order_id, safe='')}", Ack)
        except BrokerError as error:
            if error.reason == RejectReason.FILLED:
                return False
            raise
        return True

    async def sync_clock(self) -> float:
        """Return the seconds that the broker's clock is ahead of ours, halving the round trip."""
        before = time.time()
        clock = await self._call("GET", "/v1/time", Clock)
        self.offset = clock.now - (before + time.time()) / 2
        return self.offset

    async def _call(self, method: str, path: str, kind: type[T], body: str | None = None) -> T:
        try:
            async with self._session.request(method, self.url + path, data=body, timeout=TIMEOUT) as response:
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


class ResumeError(Exception):
    """The stream must connect again.

    A frame is missing (``gap``), one is from before (``behind``), or the venue numbers anew (``reset``).
    """


@dataclass(slots=True)
class Stream(Generic[T]):
    """Follows a topic until cancelled, and keeps the brokers' standing. :attr:`last` outlives every connection.

    ``choose`` is asked for a broker before every connection, so that a stream can move to another venue;
    ``on_item`` is given the broker's name and the item.
    """

    topic: str
    kind: type[T]
    choose: Callable[[], Broker]
    on_item: Callable[[str, T], Awaitable[None]]
    session: aiohttp.ClientSession
    metrics: Metrics
    last: int = 0
    _failures: int = 0
    _fresh: bool = False
    """Whether nothing has come on the present connection."""

    async def run(self) -> None:
        """Connect, follow, reconnect; returns only by cancellation."""
        while True:
            broker = self.choose()
            self._disconnected(broker, await self._follow(broker))
            self._failures += 1
            await asyncio.sleep(backoff(self._failures))

    async def _follow(self, broker: Broker) -> str:
        """Return why the connection ended: ``refused``, ``dropped``, ``closed``, or as in :class:`ResumeError`."""
        failed = "refused"
        url = f"{broker.url}/v1/stream/{self.topic}"
        try:
            async with self.session.ws_connect(url, params={"after": self.last}, heartbeat=10.0) as socket:
                failed = "dropped"
                self._connected(broker)
                async for message in socket:
                    # Other errors are of the connection, which is closed then, and say nothing of a frame.
                    if message.type is not aiohttp.WSMsgType.ERROR or isinstance(message.data, aiohttp.WebSocketError):
                        await self._read(broker, message.data if message.type is aiohttp.WSMsgType.TEXT else b"")
                return "dropped" if socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE else "closed"
        except ResumeError as error:
            return str(error)
        except (aiohttp.ClientError, OSError):
            return failed

    async def _read(self, broker: Broker, text: str | bytes) -> None:
        try:
            frame = decode(text, RawFrame)
        except WireError:  # asked for again it would be the same
            self._lose(broker, self.last + 1, "unreadable")
        else:
            await self._receive(broker, frame)

    async def _receive(self, broker: Broker, frame: RawFrame) -> None:
        fresh, self._fresh = self._fresh, False
        if fresh and 0 < frame.seq <= self.last:
            self.last = 0
            log.error("sequence_reset", broker=broker.name, topic=self.topic, seq=frame.seq)
            raise ResumeError("reset")
        if frame.seq < self.last:  # repeated, or numbered anew: what comes first on a new connection will tell
            raise ResumeError("behind")
        if bytes(frame.data) == b"null":
            self._lose(broker, frame.seq, "gone")
        elif frame.seq == self.last + 1:
            await self._hand_on(broker, frame.seq, frame.data)
        elif frame.seq > self.last:
            missing = frame.seq - self.last - 1
            self.metrics.gaps.labels(broker.name, self.topic).inc(missing)
            log.warning("sequence_gap", broker=broker.name, topic=self.topic, missing=missing)
            raise ResumeError("gap")

    async def _hand_on(self, broker: Broker, seq: int, data: msgspec.Raw) -> None:
        try:
            item = decode(data, self.kind)
        except WireError:
            self._lose(broker, seq, "unreadable")
            return
        self.last, self._failures = seq, 0
        await self.on_item(broker.name, item)

    def _lose(self, broker: Broker, seq: int, reason: str) -> None:
        """Count everything up to frame ``seq`` as lost, and go on behind it."""
        self._fresh = False
        if (count := seq - self.last) > 0:
            self.last = seq
            self.metrics.lost.labels(broker.name, self.topic, reason).inc(count)
            log.error("frames_lost", broker=broker.name, topic=self.topic, count=count, reason=reason)

    def _connected(self, broker: Broker) -> None:
        self._fresh = True
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
