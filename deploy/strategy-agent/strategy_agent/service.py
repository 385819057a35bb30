"""The long-running process: builds the parts, starts them in order, stops them in the opposite one.

The exit stack is the order: what others report through is at its bottom, then the venues, then the agent, and last
the jobs that make things happen. SIGTERM and SIGINT end the jobs; the rest then finishes what it holds.

``/health`` is honest in what it says, not in its status: it answers 200 for as long as the event loop turns, as most
services do. Whether the agent gets anywhere is in ``last_tick_at`` and ``last_decision_at``, for those who look.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack

import aiohttp
from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from structlog.stdlib import get_logger

from strategy_agent.agent import Agent
from strategy_agent.aio import Tasks, listen, port_of
from strategy_agent.brokers.behaviour import CALM, CHAOS
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.config import ServiceConfig
from strategy_agent.faults import Target, run_fault
from strategy_agent.killswitch import KillSwitch
from strategy_agent.logs import QueuedOutput
from strategy_agent.market import SCENARIOS, drive_market
from strategy_agent.outlets import Events, Metrics, Outlets
from strategy_agent.tracing import make_tracer_provider

SYMBOLS = ("BTC-USD", "ETH-USD")
VENUES = ("alpha", "beta")

log = get_logger(__name__)


async def run_service(
    config: ServiceConfig, environ: Mapping[str, str], *, ready: Callable[[int], None] = lambda _: None
) -> None:
    """Run until a signal or a fault ends it; ``ready`` is called with the HTTP port.

    Raises :class:`PortError`, and whatever a crash fault raises.
    """
    async with AsyncExitStack() as stack:
        stop = _stop_on_signal(stack)
        outlets = await _open_outlets(stack, config, environ)
        market, scenario = Market(), SCENARIOS[config.scenario]
        behaviour = CHAOS if scenario.venue_chaos else CALM
        venues = [PaperBroker(name, market, seed=config.seed, behaviour=behaviour) for name in VENUES]
        for venue in venues:
            await stack.enter_async_context(venue)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        brokers = {venue.name: venue.url for venue in venues}
        agent = Agent(session, brokers, outlets, KillSwitch(config.kill_switch))
        stack.push_async_callback(agent.close)
        server = await listen(health_routes(agent, outlets.metrics), config.host, config.port, patience=0.5)
        stack.push_async_callback(server.cleanup)
        port = port_of(server)
        run = {"scenario": config.scenario, "seed": config.seed, "rate": config.rate, "symbols": SYMBOLS}
        log.info("service_started", **run, brokers=VENUES, url=f"http://{config.host}:{port}")
        ready(port)
        target = Target(venues[0].outage, agent.stall)
        driving = drive_market(market.publish, scenario, config.seed, SYMBOLS, config.rate)
        await _work([*agent.jobs(), driving, *(run_fault(fault, target) for fault in config.faults)], stop)
    log.info("service_stopped", **agent.summary())


def health_routes(agent: Agent, metrics: Metrics) -> list[web.RouteDef]:
    """Return the routes of ``/health`` and ``/metrics``."""

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok", **agent.describe()})

    async def exposition(_: web.Request) -> web.Response:
        agent.gauges.refresh()
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return [web.get("/health", health), web.get("/metrics", exposition)]


def _stop_on_signal(stack: AsyncExitStack) -> asyncio.Event:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
        stack.callback(loop.remove_signal_handler, number)
    return stop


async def _open_outlets(stack: AsyncExitStack, config: ServiceConfig, environ: Mapping[str, str]) -> Outlets:
    metrics = Metrics(SYMBOLS)
    QueuedOutput.on_drop = metrics.log_lines_dropped.inc
    provider = make_tracer_provider(environ)
    stack.callback(provider.shutdown)
    tracer = provider.get_tracer("strategy_agent")
    if config.redis_url is None:
        log.info("events_off", reason="no --redis-url")
        return Outlets(metrics, Events(), tracer)
    from strategy_agent.events import RedisBooks, RedisEvents, connect  # noqa: PLC0415 - slow, seldom wanted

    client = connect(config.redis_url)
    stack.push_async_callback(client.aclose)
    events = RedisEvents(client, metrics)
    delivery = await stack.enter_async_context(Tasks())
    delivery.spawn(events.run(), name="events")
    stack.push_async_callback(events.drain, 2.0)
    return Outlets(metrics, events, tracer, RedisBooks(client))


async def _work(jobs: list[Coroutine[None, None, None]], stop: asyncio.Event) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
            await stop.wait()
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) > 1:
            raise
        raise failures.exceptions[0] from None  # a single cause reads better as what it is
