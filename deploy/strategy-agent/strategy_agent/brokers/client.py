"""Brokers as the agent sees them: one method per endpoint, how each has been doing, and which one to use now.

Every failure becomes a :class:`BrokerError` with a reason.
"""

from __future__ import annotations

import time
from typing import TypeVar

import aiohttp

from strategy_agent.brokers.behaviour import RejectReason
from strategy_agent.logs import get_logger
from strategy_agent.model import Ack, Book, Order
from strategy_agent.stats import ExponentialMean
from strategy_agent.wire import Clock, Refusal, WireError, decode, encode

T = TypeVar("T")

TIMEOUT = aiohttp.ClientTimeout(total=2.0)

log = get_logger(__name__)


class BrokerError(Exception):
    """The broker refused or could not be reached. ``reason`` is a short, fixed word, fit for a metric label."""

    def __init__(self, broker: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{broker}: {reason}" + (f" ({detail})" if detail else ""))
        self.broker = broker
        self.reason = reason


class Broker:
    """Talks to one broker over a shared session, which the caller owns; ``up`` says whether it can be reached."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self.name = name
        self.up = True
        self._url = url
        self._session = session
        self._failures = ExponentialMean(half_life=20)

    @property
    def preference(self) -> tuple[bool, float]:
        """Sort key: reachable first, then the fewest failures in tenths."""
        return (not self.up, round(self._failures.value, 1))

    def report(self, *, ok: bool, up: bool | None = None) -> None:
        """Note the outcome of one exchange.

        That the broker is away (``up=False``) is for its streams to say: they keep trying, and so also notice when
        it is back. That it is there may be said by whoever had an answer on a regular errand. Changes are logged.
        """
        self._failures.update(0.0 if ok else 1.0)
        if up is not None and up is not self.up:
            self.up = up
            (log.info if up else log.error)("broker_reachable" if up else "broker_unreachable", broker=self.name)

    def stream_url(self, topic: str) -> str:
        """Return the WebSocket address of a topic."""
        return f"{self._url}/v1/stream/{topic}"

    async def submit(self, order: Order) -> Ack:
        """Submit an order. Submitting the same id again is harmless and gives the same acknowledgement."""
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
        """Return the broker to use now: the best one, of equals the first registered; down only if all are."""
        if not self:
            raise LookupError("no broker is registered")
        return min(self.values(), key=lambda broker: broker.preference)


def _reason(status: int, answer: bytes) -> str:
    """Return the venue's word if it is one that we know, else the status: a peer must not make up metric labels."""
    try:
        return RejectReason(decode(answer, Refusal).reason).value
    except ValueError:
        return f"http_{status}"
