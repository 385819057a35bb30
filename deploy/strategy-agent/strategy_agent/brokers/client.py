"""The REST side of a broker: one method per endpoint; every failure becomes a :class:`BrokerError` with a reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import aiohttp

from strategy_agent import wire
from strategy_agent.brokers.behaviour import RejectReason
from strategy_agent.model import Ack, Book, Order

T = TypeVar("T")

TIMEOUT = aiohttp.ClientTimeout(total=2.0)


class BrokerError(Exception):
    """The broker refused or could not be reached. ``reason`` is a short, fixed word, fit for a metric label."""

    def __init__(self, broker: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{broker}: {reason}" + (f" ({detail})" if detail else ""))
        self.broker = broker
        self.reason = reason


class BrokerClient:
    """Talks to one broker over a shared session, which the caller owns."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self.name = name
        self._url = url
        self._session = session

    def stream_url(self, topic: str) -> str:
        """Return the WebSocket address of a topic."""
        return f"{self._url}/v1/stream/{topic}"

    async def submit(self, order: Order) -> Ack:
        """Submit an order. Submitting the same id again is harmless and gives the same acknowledgement."""
        return await self._call("POST", "/v1/orders", wire.decode_ack, wire.encode(order))

    async def book(self, symbol: str) -> Book:
        """Fetch the order book of a symbol."""
        return await self._call("GET", f"/v1/book/{symbol}", wire.decode_book)

    async def clock_offset(self) -> float:
        """Return the seconds that the broker's clock is ahead of ours, halving the round trip."""
        before = time.time()
        now = await self._call("GET", "/v1/time", lambda document: wire.number(document, "now"))
        return now - (before + time.time()) / 2

    async def _call(self, method: str, path: str, decode: Callable[[wire.Json], T], body: wire.Json | None = None) -> T:
        try:
            async with self._session.request(method, self._url + path, json=body, timeout=TIMEOUT) as response:
                answer = await response.read()
            if response.status >= 400:
                raise BrokerError(self.name, _reason(response.status, answer))
            return decode(wire.parse(answer))
        except TimeoutError as error:
            raise BrokerError(self.name, "timeout") from error
        except wire.WireError as error:
            raise BrokerError(self.name, "protocol", str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise BrokerError(self.name, "unreachable", str(error)) from error


def _reason(status: int, answer: bytes) -> str:
    """Return the venue's word if it is one that we know, else the status: a peer must not make up metric labels."""
    try:
        return RejectReason(str(wire.parse(answer).get("reason"))).value
    except ValueError:
        return f"http_{status}"
