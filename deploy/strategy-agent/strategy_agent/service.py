"""The long-running process: builds the parts, starts them in order, stops them in the opposite one.

Nesting is the order: what others report through stands outermost, then the venues, then the agent, and innermost the
jobs that make things happen. SIGTERM and SIGINT end the innermost; everything around it then finishes what it holds.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import aiohttp
from opentelemetry.trace import Tracer

from strategy_agent.agent import Agent, Outlets
from strategy_agent.brokers.behaviour import CALM, CHAOS
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.config import ServiceConfig
from strategy_agent.events import EventSink, NoEvents
from strategy_agent.faults import Target, run_faults
from strategy_agent.feed import drive_market
from strategy_agent.health import HealthServer
from strategy_agent.logs import get_logger
from strategy_agent.market import SCENARIOS
from strategy_agent.metrics import Metrics
from strategy_agent.orderbook import BookStore
from strategy_agent.tracing import make_tracer_provider

DRAIN = 2.0
VENUE_NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")

log = get_logger(__name__)


class PortError(Exception):
    """The HTTP port cannot be had."""


async def run_service(
    config: ServiceConfig, environ: Mapping[str, str], *, ready: Callable[[int], None] = lambda _: None
) -> None:
    """Run until a signal, until ``duration`` is over, or until a fault ends it; ``ready`` is told the HTTP port.

    Raises :class:`PortError`, and whatever a crash fault raises.
    """
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(_stop_on_signal())
        metrics = Metrics(config.symbols)
        tracer = stack.enter_context(_tracing(environ))
        events, store = await stack.enter_async_context(_redis(config.redis_url, metrics))
        market = Market()
        venues = [await stack.enter_async_context(venue) for venue in _make_venues(config, market)]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        agent = Agent(session, {venue.name: venue.url for venue in venues}, Outlets(metrics, events, tracer, store))
        stack.push_async_callback(agent.close)
        port = await _serve_http(stack, config, agent, metrics)
        _announce(config, port)
        ready(port)
        target = Target(venues[0], agent.gate, config.oom_limit_mb)
        jobs = [*agent.jobs(), _drive(config, market), run_faults(config.faults, target)]
        await _work(jobs, stop, config.duration)
    log.info("service_stopped", **agent.summary())


async def _work(jobs: list[Coroutine[None, None, None]], stop: asyncio.Event, duration: float | None) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
            await _wait(stop, duration)
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as failures:
        raise _single_cause(failures) from None


async def _wait(stop: asyncio.Event, duration: float | None) -> None:
    try:
        await asyncio.wait_for(stop.wait(), duration)
    except TimeoutError:
        log.info("duration_over", seconds=duration)


def _single_cause(failure: BaseException) -> BaseException:
    """Unwrap groups of one: a single cause reads better as what it is."""
    while isinstance(failure, BaseExceptionGroup) and len(failure.exceptions) == 1:
        failure = failure.exceptions[0]
    return failure


@contextmanager
def _stop_on_signal() -> Iterator[asyncio.Event]:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def _tracing(environ: Mapping[str, str]) -> Iterator[Tracer]:
    provider = make_tracer_provider(environ)
    try:
        yield provider.get_tracer("strategy_agent")
    finally:
        provider.shutdown()


@asynccontextmanager
async def _redis(url: str | None, metrics: Metrics) -> AsyncIterator[tuple[EventSink, BookStore | None]]:
    if url is None:
        log.info("events_off", reason="no --redis-url")
        yield NoEvents(), None
        return
    from strategy_agent.redis_io import RedisBooks, RedisEvents, connect  # noqa: PLC0415 - an extra

    client = connect(url)
    events = RedisEvents(client, lambda reason: metrics.events_dropped.labels(reason).inc(), metrics.redis_up.set)
    delivery = asyncio.create_task(events.run(), name="events")
    try:
        yield events, RedisBooks(client)
    finally:
        await events.drain(DRAIN)
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)
        await client.aclose()


def _make_venues(config: ServiceConfig, market: Market) -> list[PaperBroker]:
    behaviour = CHAOS if SCENARIOS[config.scenario].venue_chaos else CALM
    return [PaperBroker(name, market, seed=config.seed, behaviour=behaviour) for name in VENUE_NAMES[: config.brokers]]


def _drive(config: ServiceConfig, market: Market) -> Coroutine[None, None, None]:
    return drive_market(market, SCENARIOS[config.scenario], config.seed, config.symbols, config.rate)


async def _serve_http(stack: AsyncExitStack, config: ServiceConfig, agent: Agent, metrics: Metrics) -> int:
    server = HealthServer(metrics.registry, agent.describe, agent.refresh)
    stack.push_async_callback(server.stop)
    try:
        return await server.start(config.host, config.port)
    except OSError as error:
        raise PortError(f"cannot listen on {config.host}:{config.port}: {error.strerror}") from error


def _announce(config: ServiceConfig, port: int) -> None:
    log.info(
        "service_started",
        scenario=config.scenario,
        seed=config.seed,
        rate=config.rate,
        symbols=list(config.symbols),
        brokers=list(VENUE_NAMES[: config.brokers]),
        url=f"http://{config.host}:{port}",
    )
