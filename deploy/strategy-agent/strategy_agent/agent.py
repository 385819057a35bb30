"""The agent proper: everything between the brokers' sockets and its own reports. It owns no socket and no task."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from functools import partial

import aiohttp
from opentelemetry.trace import Tracer

from strategy_agent.account import Account
from strategy_agent.bots import MeanReversionBot, MomentumBot
from strategy_agent.brokers.client import BrokerClient, BrokerError
from strategy_agent.brokers.registry import BrokerRegistry
from strategy_agent.brokers.stream import Stream, Subscription
from strategy_agent.desk import OrderDesk
from strategy_agent.events import EventSink
from strategy_agent.feed import StreamNotes, every
from strategy_agent.gate import Gate
from strategy_agent.logs import get_logger
from strategy_agent.metrics import Metrics
from strategy_agent.model import Book, Fill, Tick
from strategy_agent.orderbook import BookStore, OrderBookCache
from strategy_agent.router import StrategyRouter
from strategy_agent.trader import Trader
from strategy_agent.wire import Json, decode_fill, decode_tick

HEARTBEAT = 1.0
CLOCK_SYNC = 5.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where the agent reports to. ``store`` is the shared order-book store, if there is one."""

    metrics: Metrics
    events: EventSink
    tracer: Tracer
    store: BookStore | None = None


class Agent:
    """Trades on the brokers given as name → URL; :meth:`jobs` are its moving parts, :meth:`close` its end."""

    def __init__(self, session: aiohttp.ClientSession, brokers: Mapping[str, str], outlets: Outlets) -> None:
        self.gate = Gate()
        self._session = session
        self._outlets = outlets
        self._metrics = outlets.metrics
        self._registry: BrokerRegistry[BrokerClient] = BrokerRegistry()
        for name, url in brokers.items():
            self._registry.register(name, BrokerClient(name, url, session))
        self._account = Account()
        self._books = OrderBookCache(self._fetch_book, store=outlets.store)
        self._desk = OrderDesk(self._registry, self._account, self._metrics, outlets.events, outlets.tracer)
        self._trader = Trader(_make_router(), self._account, self._books, self._desk, self._metrics, outlets.events)
        self._clock_offset = 0.0

    def jobs(self) -> list[Coroutine[None, None, None]]:
        """Return what must run for as long as the agent lives."""
        fills = [self._fill_stream(record.name).run() for record in self._registry.records()]
        return [
            self._tick_stream().run(),
            *fills,
            every(HEARTBEAT, self._heartbeat),
            every(CLOCK_SYNC, self._sync_clocks),
        ]

    async def close(self) -> None:
        """Abandon orders under way, accounting for each."""
        await self._desk.close()

    def describe(self) -> Json:
        """Return what ``/health`` says."""
        vitals = self._trader.vitals
        return {
            "last_tick_at": vitals.last_tick_at,
            "last_decision_at": vitals.last_decision_at,
            "ticks": vitals.ticks,
            "decisions": vitals.decisions,
            "regime": {symbol: decision.regime.value for symbol, decision in vitals.last.items()},
            "kill_switch": self._trader.kill_switch.reason,
            "brokers": {record.name: record.up for record in self._registry.records()},
        }

    def refresh(self) -> None:
        """Bring the gauges up to date that nothing else sets."""
        for record in self._registry.records():
            self._metrics.broker_up.labels(record.name).set(record.up)
        for symbol in self._trader.vitals.last:
            if (age := self._books.age(symbol)) is not None:
                self._metrics.book_age.labels(self._metrics.symbol(symbol)).set(age)
        self._metrics.cache_hit_ratio.set(self._books.counts.hit_rate)
        self._metrics.equity.set(self._account.equity)
        self._metrics.drawdown.set(self._account.standing.drawdown)
        self._metrics.kill_switch.set(self._trader.kill_switch.on)
        self._metrics.in_flight.set(self._desk.in_flight)

    def summary(self) -> dict[str, str | float | None]:
        """Return the figures of a heartbeat."""
        vitals = self._trader.vitals
        tick_age = None if vitals.last_tick_at is None else round(time.time() - vitals.last_tick_at, 3)
        return {
            "ticks": vitals.ticks,
            "decisions": vitals.decisions,
            "tick_age": tick_age,
            "equity": round(self._account.equity, 2),
            "drawdown": round(self._account.standing.drawdown, 5),
            "orders_in_flight": self._desk.in_flight,
            "cache_hit_rate": round(self._books.counts.hit_rate, 3),
        }

    def _tick_stream(self) -> Stream[Tick]:
        # Asked before every connection: the feed moves to another broker when its own is away. All venues print
        # the same tape, so the position remains valid.
        subscription = Subscription(
            lambda: self._registry.select().handle.stream_url("ticks"), decode_tick, self._on_tick
        )
        return Stream(self._session, subscription, StreamNotes("ticks", self._registry, self._metrics))

    def _fill_stream(self, broker: str) -> Stream[Fill]:
        url = self._registry[broker].handle.stream_url("fills")
        subscription = Subscription(lambda: url, decode_fill, partial(self._on_fill, broker))
        return Stream(self._session, subscription, StreamNotes("fills", self._registry, self._metrics))

    async def _on_tick(self, _: int, tick: Tick) -> None:
        await self.gate.passage()
        await self._trader.on_tick(tick)

    async def _on_fill(self, broker: str, _: int, fill: Fill) -> None:
        self._desk.on_fill(broker, fill)

    async def _fetch_book(self, symbol: str) -> Book:
        return await self._registry.select().handle.book(symbol)

    async def _heartbeat(self, lateness: float) -> None:
        self._metrics.loop_lag.set(lateness)
        self._desk.expire(time.monotonic())
        self.refresh()
        log.info("heartbeat", **self.summary())
        self._outlets.events.publish("heartbeat", **self.summary())

    async def _sync_clocks(self, _: float) -> None:
        for record in self._registry.records():
            # Also what lets a broker that failed, and is avoided or taken to be away, prove itself again.
            try:
                offset = await record.handle.clock_offset()
            except BrokerError:
                self._registry.report(record.name, ok=False)
                continue
            self._registry.report(record.name, ok=True, up=True)
            self._metrics.clock_offset.labels(record.name).set(offset)


def _make_router() -> StrategyRouter:
    router = StrategyRouter()
    router.register_bot(MomentumBot())
    router.register_bot(MeanReversionBot())
    return router
