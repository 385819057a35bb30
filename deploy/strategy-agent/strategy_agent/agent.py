"""The agent proper: everything between the brokers' sockets and its own reports. It owns no socket and no task."""

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
from strategy_agent.gauges import Gauges
from strategy_agent.killswitch import KillSwitch
from strategy_agent.model import Fill, Tick
from strategy_agent.orderbook import OrderBookCache
from strategy_agent.outlets import Outlets
from strategy_agent.router import StrategyRouter
from strategy_agent.trader import Trader

HEARTBEAT = 1.0
FEED_PATIENCE = 3.0
"""Seconds without a tick after which the feed counts as lost."""

log = get_logger(__name__)


class Agent:
    """Trades on the brokers given as name → URL; :meth:`jobs` are its moving parts, :meth:`close` its end."""

    def __init__(
        self, session: aiohttp.ClientSession, brokers: Mapping[str, str], outlets: Outlets, switch: KillSwitch
    ) -> None:
        self._session = session
        self._out = outlets
        self._registry = BrokerRegistry()
        for name, url in brokers.items():
            self._registry.register(Broker(name, url, session))
        self._account = Account()
        self._books = OrderBookCache(
            lambda symbol: self._registry.select().book(symbol),
            store=outlets.store,
            note=lambda source: outlets.metrics.book_lookups.labels(source).inc(),
        )
        self._desk = OrderDesk(self._registry, self._account, outlets)
        router = StrategyRouter(failed=self._bot_failed)
        for bot in (MomentumBot(), MeanReversionBot()):
            router.register_bot(bot)
        self._trader = Trader(router, self._account, self._books, self._desk, outlets, switch)
        self.gauges = Gauges(outlets.metrics, self._trader, self._books)
        self._switch = switch
        self._stalled_until = 0.0
        self._fed = True
        self._failing_bots: set[str] = set()

    def jobs(self) -> list[Coroutine[None, None, None]]:
        """Return what must run for as long as the agent lives."""
        # The feed moves to another broker when its own is away; all venues print the same tape, so that its
        # position remains valid. A broker's fills are on no other.
        ticks = Stream("ticks", Tick, self._registry.select, self._on_tick, self._session, self._out.metrics)
        if self._switch.trip is not None:
            self._trader.halted()
        return [
            ticks.run(),
            *(self._fills(broker).run() for broker in self._registry.values()),
            every(HEARTBEAT, self._heartbeat),
            every(HEARTBEAT, self._sync_clocks),
            every(self.gauges.LAG_EVERY, self.gauges.measure_lag),
        ]

    def stall(self, seconds: float) -> None:
        """Handle no tick for so long."""
        self._stalled_until = time.monotonic() + seconds

    async def close(self) -> None:
        """Withdraw the orders in flight, accounting for each."""
        await self._desk.close()

    def describe(self) -> dict[str, object]:
        """Return what ``/health`` says."""
        brokers = {broker.name: broker.up for broker in self._registry.values()}
        trip = self._switch.trip and structs.asdict(self._switch.trip)
        figures = {"mode": self.gauges.mode, "kill_switch": trip, "feed_age": round(self.gauges.feed_age, 3)}
        return {**structs.asdict(self._trader.vitals), **figures, **self.gauges.money(), "brokers": brokers}

    def summary(self) -> dict[str, float | None]:
        """Return the figures of a heartbeat."""
        vitals = self._trader.vitals
        return {
            "ticks": vitals.ticks,
            "tick_age": None if vitals.last_tick_at is None else round(time.time() - vitals.last_tick_at, 3),
            **self.gauges.money(),
            "orders_in_flight": self._desk.in_flight,
        }

    def _fills(self, broker: Broker) -> Stream[Fill]:
        return Stream("fills", Fill, lambda: broker, self._desk.on_fill, self._session, self._out.metrics)

    async def _on_tick(self, broker: str, tick: Tick) -> None:
        if (left := self._stalled_until - time.monotonic()) > 0:
            await asyncio.sleep(left)
        await self._trader.on_tick(tick, time.time() + self._registry[broker].offset - tick.sent_at)

    def _bot_failed(self, bot: str, error: Exception) -> None:
        self._out.metrics.bot_errors.labels(bot).inc()
        if bot not in self._failing_bots:  # it will fail at each tick: one line says it
            self._failing_bots.add(bot)
            log.error("bot_failed", bot=bot, exc_info=error)

    async def _heartbeat(self) -> None:
        self._watch()
        summary = self.summary()
        log.info("heartbeat", **summary)
        self._out.events.publish("heartbeat", **summary)

    def _watch(self) -> None:
        """Notice what happens without a tick: that there is none, and what a person did to the kill switch."""
        fed = self.gauges.feed_age <= FEED_PATIENCE
        if fed is not self._fed:
            self._fed = fed
            (log.info if fed else log.error)("feed_back" if fed else "feed_lost", age=round(self.gauges.feed_age, 3))
        if self._switch.refresh():
            (self._trader.halted if self._switch.trip else self._account.forget_peak)()

    async def _sync_clocks(self) -> None:
        for broker in self._registry.values():
            # Also what lets a broker that failed, and is avoided or taken to be away, prove itself again.
            try:
                offset = await broker.sync_clock()
            except BrokerError:
                broker.report(ok=False)
            else:
                broker.report(ok=True, up=True)
                self._out.metrics.clock_offset.labels(broker.name).set(offset)
