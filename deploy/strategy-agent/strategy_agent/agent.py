"""The agent proper: everything between the brokers' sockets and its own reports. It owns no socket and no task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping

import aiohttp
from msgspec import structs
from structlog.stdlib import get_logger

from strategy_agent.aio import every
from strategy_agent.bots import MeanReversionBot, MomentumBot
from strategy_agent.brokers.client import Broker, BrokerError, BrokerRegistry, Stream
from strategy_agent.desk import Account, OrderDesk
from strategy_agent.model import Fill, Frame, Tick
from strategy_agent.orderbook import OrderBookCache
from strategy_agent.outlets import Outlets
from strategy_agent.router import StrategyRouter
from strategy_agent.trader import Trader

HEARTBEAT = 1.0
CLOCK_SYNC = 1.0

log = get_logger(__name__)


class Agent:
    """Trades on the brokers given as name → URL; :meth:`jobs` are its moving parts, :meth:`close` its end."""

    def __init__(self, session: aiohttp.ClientSession, brokers: Mapping[str, str], outlets: Outlets) -> None:
        self._session = session
        self._out = outlets
        router = StrategyRouter()
        for bot in (MomentumBot(), MeanReversionBot()):
            router.register_bot(bot)
        self._registry = BrokerRegistry()
        for name, url in brokers.items():
            self._registry.register(Broker(name, url, session))
        self._account = Account()
        self._books = OrderBookCache(lambda symbol: self._registry.select().book(symbol), store=outlets.store)
        self._desk = OrderDesk(self._registry, self._account, outlets)
        self._trader = Trader(router, self._account, self._books, self._desk, outlets)
        self._stalled_until = 0.0

    def jobs(self) -> list[Coroutine[None, None, None]]:
        """Return what must run for as long as the agent lives."""
        # The feed moves to another broker when its own is away; all venues print the same tape, so that its
        # position remains valid. A broker's fills are on no other.
        ticks = Stream("ticks", Frame[Tick], self._registry.select, self._on_tick, self._session, self._out.metrics)
        return [
            ticks.run(),
            *(self._fill_stream(broker).run() for broker in self._registry.values()),
            every(HEARTBEAT, self._heartbeat),
            every(CLOCK_SYNC, self._sync_clocks),
        ]

    def stall(self, seconds: float) -> None:
        """Handle no tick for so long."""
        self._stalled_until = time.monotonic() + seconds

    async def close(self) -> None:
        """Abandon orders under way, accounting for each."""
        await self._desk.close()

    def describe(self) -> dict[str, object]:
        """Return what ``/health`` says."""
        brokers = {broker.name: broker.up for broker in self._registry.values()}
        return {**structs.asdict(self._trader.vitals), "brokers": brokers}

    def refresh(self) -> None:
        """Bring the gauges up to date that nothing else sets."""
        for symbol in self._trader.vitals.regime:
            if (age := self._books.age(symbol)) is not None:
                self._out.metrics.book_age.labels(self._out.metrics.symbol(symbol)).set(age)
        self._out.metrics.cache_hit_ratio.set(self._books.hit_rate)
        self._out.metrics.drawdown.set(self._account.standing.drawdown)
        self._out.metrics.kill_switch.set(self._trader.vitals.kill_switch is not None)

    def summary(self) -> dict[str, float | None]:
        """Return the figures of a heartbeat."""
        vitals = self._trader.vitals
        return {
            "ticks": vitals.ticks,
            "decisions": vitals.decisions,
            "tick_age": None if vitals.last_tick_at is None else round(time.time() - vitals.last_tick_at, 3),
            "equity": round(self._account.equity, 2),
            "drawdown": round(self._account.standing.drawdown, 5),
            "orders_in_flight": self._desk.in_flight,
            "cache_hit_rate": round(self._books.hit_rate, 3),
        }

    def _fill_stream(self, broker: Broker) -> Stream[Fill]:
        return Stream("fills", Frame[Fill], lambda: broker, self._desk.on_fill, self._session, self._out.metrics)

    async def _on_tick(self, _: str, tick: Tick) -> None:
        if (left := self._stalled_until - time.monotonic()) > 0:
            await asyncio.sleep(left)
        await self._trader.on_tick(tick)

    async def _heartbeat(self) -> None:
        summary = self.summary()
        log.info("heartbeat", **summary)
        self._out.events.publish("heartbeat", **summary)

    async def _sync_clocks(self) -> None:
        for broker in self._registry.values():
            # Also what lets a broker that failed, and is avoided or taken to be away, prove itself again.
            try:
                offset = await broker.clock_offset()
            except BrokerError:
                broker.report(ok=False)
            else:
                broker.report(ok=True, up=True)
                self._out.metrics.clock_offset.labels(broker.name).set(offset)
