"""A WebSocket subscription that survives drops, gaps and a broker that is away.

    waiting ──connect──▶ live ──frame missing──▶ resuming ──it arrives──▶ live
       ▲                  │                          │
       └──── back-off ◀───┴──────── cut, closed ─────┘

Every item is handed on once and in the order of its number. What the venue no longer has is counted as lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

import aiohttp

from strategy_agent import wire

T = TypeVar("T")
OnItem = Callable[[int, T], Awaitable[None]]

ABNORMAL_CLOSURE = 1006


class Step(Enum):
    """What to do with a frame."""

    DELIVER = auto()
    IGNORE = auto()
    RESUME = auto()


def decide(last: int, seq: int, *, resuming: bool) -> Step:
    """Decide on frame ``seq`` when ``last`` was the last one handed on."""
    if seq == last + 1:
        return Step.DELIVER
    return Step.IGNORE if seq <= last or resuming else Step.RESUME


def backoff(attempt: int, *, base: float = 0.05, limit: float = 1.0) -> float:
    """Return the seconds to wait before attempt ``attempt`` (from 1): doubling up to ``limit``."""
    return min(limit, base * 2.0 ** min(attempt - 1, 16))


class StreamObserver(Protocol):
    """Is told what happens to a stream; must return at once."""

    def connected(self, url: str) -> None:
        """A connection stands."""

    def disconnected(self, url: str, reason: str) -> None:
        """A connection ended or did not come about: ``refused``, ``dropped``, ``closed`` or ``protocol``."""

    def gap(self, url: str, missing: int) -> None:
        """``missing`` frames were skipped and are asked for again."""

    def lost(self, url: str, count: int) -> None:
        """``count`` frames are gone for good."""


@dataclass(frozen=True, slots=True)
class Subscription(Generic[T]):
    """What to subscribe to: ``url`` is asked before every connection, so that a stream can move to another venue."""

    url: Callable[[], str]
    decode: Callable[[wire.Json], T]
    on_item: OnItem[T]


class Stream(Generic[T]):
    """Runs one subscription until cancelled. :attr:`last` is the only state that outlives a connection."""

    def __init__(self, session: aiohttp.ClientSession, subscription: Subscription[T], observer: StreamObserver) -> None:
        self._session = session
        self._subscription = subscription
        self._observer = observer
        self._resuming = False
        self._failures = 0
        self.last = 0

    async def run(self) -> None:
        """Connect, follow, reconnect; returns only by cancellation."""
        while True:
            url = self._subscription.url()
            reason = await self._follow(url)
            self._observer.disconnected(url, reason)
            self._failures += 1
            await asyncio.sleep(backoff(self._failures))

    async def _follow(self, url: str) -> str:
        failed = "refused"
        try:
            async with self._session.ws_connect(url, params={"after": self.last}, heartbeat=10.0) as socket:
                # From here on a failure is one of a connection that stood, also when it is ours to send.
                failed, self._resuming = "dropped", False
                self._observer.connected(url)
                async for message in socket:
                    await self._receive(url, socket, message)
                return "dropped" if socket.close_code == ABNORMAL_CLOSURE else "closed"
        except wire.WireError:
            return "protocol"
        except (aiohttp.ClientError, OSError):
            return failed

    async def _receive(self, url: str, socket: aiohttp.ClientWebSocketResponse, message: aiohttp.WSMessage) -> None:
        if message.type is not aiohttp.WSMsgType.TEXT:
            return
        frame = wire.parse(message.data)
        if frame.get("op") == "reset":
            self._skip_to(url, int(wire.number(frame, "oldest")))
            return
        seq = int(wire.number(frame, "seq"))
        step = decide(self.last, seq, resuming=self._resuming)
        if step is Step.DELIVER:
            await self._deliver(seq, frame)
        elif step is Step.RESUME:
            self._resuming = True
            self._observer.gap(url, seq - self.last - 1)
            await socket.send_json({"op": "resume", "after": self.last})

    async def _deliver(self, seq: int, frame: wire.Json) -> None:
        item = self._subscription.decode(wire.data(frame))
        self.last, self._resuming, self._failures = seq, False, 0
        await self._subscription.on_item(seq, item)

    def _skip_to(self, url: str, oldest: int) -> None:
        missing = oldest - 1 - self.last
        if missing > 0:
            self.last = oldest - 1
            self._observer.lost(url, missing)
