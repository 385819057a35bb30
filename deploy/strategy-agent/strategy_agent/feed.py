"""The moving parts between brokers and trader: the market driver, the streams, and what is noted about them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count

from strategy_agent.brokers.client import BrokerClient
from strategy_agent.brokers.paper import Market
from strategy_agent.brokers.registry import BrokerRegistry
from strategy_agent.logs import get_logger
from strategy_agent.market import Scenario, market
from strategy_agent.metrics import Metrics
from strategy_agent.model import Tick

MAX_LAG = 1.0
"""Seconds behind schedule after which the driver forgets the past instead of flooding."""

log = get_logger(__name__)


async def drive_market(target: Market, scenario: Scenario, seed: int, symbols: tuple[str, ...], rate: float) -> None:
    """Print the scenario's trades at ``rate`` per second, without drift, until cancelled."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    phase = ""
    for step, point in zip(count(), market(scenario, seed, symbols), strict=False):
        ahead = start + step / rate - loop.time()
        if ahead > 0:
            await asyncio.sleep(ahead)
        elif ahead < -MAX_LAG:
            start -= ahead
        if point.phase != phase:
            phase = point.phase
            log.debug("market_phase", phase=phase)
        if point.price is not None:
            target.publish(Tick(point.symbol, point.price, time.time()))


class StreamNotes:
    """Notes what happens to one topic's streams: logs, metrics, and the registry's opinion of the broker."""

    def __init__(self, topic: str, registry: BrokerRegistry[BrokerClient], metrics: Metrics) -> None:
        self._topic = topic
        self._registry = registry
        self._metrics = metrics
        self._brokers = {record.handle.stream_url(topic): record.name for record in registry.records()}
        self._connected: set[str] = set()

    def connected(self, url: str) -> None:
        """A connection stands."""
        broker = self._brokers[url]
        if not self._registry[broker].up:
            log.info("broker_reachable", broker=broker)
        self._registry.report(broker, ok=True, up=True)
        self._connected.add(url)
        log.info("stream_connected", broker=broker, topic=self._topic)

    def disconnected(self, url: str, reason: str) -> None:
        """A connection ended or did not come about."""
        broker = self._brokers[url]
        refused = reason == "refused"
        if refused and self._registry[broker].up:
            log.error("broker_unreachable", broker=broker, topic=self._topic)
        self._registry.report(broker, ok=False, up=False if refused else None)
        self._metrics.reconnects.labels(broker, self._topic, reason).inc()
        if url in self._connected:
            self._connected.discard(url)
            log.warning("stream_disconnected", broker=broker, topic=self._topic, reason=reason)

    def gap(self, url: str, missing: int) -> None:
        """Frames were skipped and are asked for again."""
        broker = self._brokers[url]
        self._metrics.gaps.labels(broker, self._topic).inc(missing)
        log.warning("sequence_gap", broker=broker, topic=self._topic, missing=missing)

    def lost(self, url: str, count: int) -> None:
        """Frames are gone for good."""
        broker = self._brokers[url]
        self._metrics.lost.labels(broker, self._topic).inc(count)
        log.error("frames_lost", broker=broker, topic=self._topic, count=count)


async def every(seconds: float, action: Callable[[float], Awaitable[None]]) -> None:
    """Call ``action(lateness)`` every ``seconds`` until cancelled; lateness is how long the loop kept us waiting."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = max(due + seconds, loop.time())
        await asyncio.sleep(due - loop.time())
        await action(max(0.0, loop.time() - due))
