"""The whole service in this process: health, metrics, orders, faults, and a clean end."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from msgspec.structs import replace

from strategy_agent.config import ServiceConfig
from strategy_agent.faults import InjectedCrashError, parse_fault
from strategy_agent.healthcheck import check_health
from strategy_agent.redis_io import STREAM, connect
from strategy_agent.service import PortError, run_service
from tests.support import RedisServer, events_on, eventually

CONFIG = ServiceConfig(rate=500.0, port=0)
Logs = list[MutableMapping[str, object]]


@asynccontextmanager
async def running(config: ServiceConfig) -> AsyncIterator[str]:
    """Yield the URL of a running service, and stop it as an operator does."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run_service(config, {}, ready=port.set_result))
    try:
        yield f"http://127.0.0.1:{await port}"
    finally:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(task, 10)


async def get(session: aiohttp.ClientSession, url: str) -> str:
    """Return a page."""
    async with session.get(url) as response:
        assert response.status == 200
        return await response.text()


def having(logs: Logs, event: str) -> bool:
    """Say whether an event was logged."""
    return any(line["event"] == event for line in logs)


async def test_orders_go_all_the_way(logs: Logs) -> None:
    """Within a second orders are submitted, acknowledged and filled."""
    async with running(CONFIG):
        for event in ("order_submitted", "order_acknowledged", "order_filled"):
            await eventually(lambda event=event: having(logs, event), event)  # type: ignore[misc]


async def test_health_shows_progress(session: aiohttp.ClientSession, logs: Logs) -> None:
    """Between two looks ticks, decisions and their times have moved on."""
    async with running(CONFIG) as url:
        await eventually(lambda: having(logs, "order_filled"), "an order")
        first = json.loads(await get(session, f"{url}/health"))
        await asyncio.sleep(0.1)
        second = json.loads(await get(session, f"{url}/health"))
    assert first["status"] == second["status"] == "ok"
    assert first["brokers"] == {"alpha": True, "beta": True}
    assert first["kill_switch"] is None
    for key in ("ticks", "decisions", "last_tick_at", "last_decision_at", "uptime_s"):
        assert first[key] < second[key], key


async def test_metrics_tell_what_matters(session: aiohttp.ClientSession, logs: Logs) -> None:
    """The latency chain, flow, connectivity and state are all there."""
    async with running(CONFIG) as url:
        await eventually(lambda: having(logs, "order_filled"), "an order")
        text = await get(session, f"{url}/metrics")
    for name in (
        *("tick_to_signal_seconds_bucket", "signal_to_order_seconds_count", "submit_to_ack_seconds_sum"),
        *("ack_to_fill_seconds_count", "tick_age_seconds_bucket", "book_age_seconds", "book_cache_hit_ratio"),
        *("ticks_total", "orders_total", "fills_total", "broker_up", "regime", "allocation_scalar", "router_quality"),
        *("risk_tier", "drawdown_ratio", "kill_switch", "last_tick_timestamp_seconds", "event_loop_lag_seconds"),
    ):
        assert f"\nstrategy_{name}" in text, name


async def test_the_health_check_follows_progress(logs: Logs) -> None:
    """Answering is enough for the plain check; with a limit, a stalled agent is unhealthy."""
    async with running(replace(CONFIG, faults=(parse_fault("stall@300ms"),))) as url:
        await eventually(lambda: having(logs, "fault_injected"), "the stall")
        await asyncio.sleep(0.3)
        plain = await asyncio.to_thread(check_health, f"{url}/health", timeout=2.0)
        strict = await asyncio.to_thread(check_health, f"{url}/health", timeout=2.0, max_tick_age=0.2)
    assert plain is None
    assert strict is not None
    assert strict.startswith("last tick 0.")


async def test_the_service_ends_by_itself_after_its_duration(logs: Logs) -> None:
    """With a duration no signal is needed, and the end is logged."""
    await asyncio.wait_for(run_service(replace(CONFIG, duration=0.3), {}), 10)
    assert having(logs, "duration_over")
    assert logs[-1]["event"] == "service_stopped"


async def test_a_crash_comes_out_as_itself() -> None:
    """The exception is not wrapped in groups, and everything is closed behind it."""
    with pytest.raises(InjectedCrashError):
        await run_service(replace(CONFIG, faults=(parse_fault("crash@100ms"),)), {})


async def test_a_taken_port_is_an_error_of_its_own() -> None:
    """The message names address and reason."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(PortError, match=f"cannot listen on 127.0.0.1:{port}: .*in use"):
            await run_service(replace(CONFIG, port=port), {})


async def test_a_lost_broker_is_replaced_and_returns(session: aiohttp.ClientSession, logs: Logs) -> None:
    """While the first broker is away ticks go on over the second; then both are up again."""
    async with running(replace(CONFIG, scenario="quiet", faults=(parse_fault("broker-down@300ms:500ms"),))) as url:
        await eventually(lambda: having(logs, "broker_unreachable"), "the loss")
        during = json.loads(await get(session, f"{url}/health"))
        await eventually(lambda: having(logs, "broker_reachable"), "the return")
        after = json.loads(await get(session, f"{url}/health"))
    assert during["brokers"] == {"alpha": False, "beta": True}
    assert after["brokers"] == {"alpha": True, "beta": True}
    assert after["ticks"] > during["ticks"]


async def test_with_redis_events_arrive_there(redis_server: RedisServer, logs: Logs) -> None:
    """Orders, fills and heartbeats are found on the stream, also those of the last moment."""
    async with running(replace(CONFIG, redis_url=redis_server.url)):
        await eventually(lambda: having(logs, "heartbeat") and having(logs, "order_filled"), "events")
    client = connect(redis_server.url)
    kinds = {event["type"] for event in await events_on(client, STREAM)}
    await client.aclose()
    assert {"order", "fill", "heartbeat"} <= kinds
    assert not having(logs, "events_off")


async def test_without_redis_one_line_says_so(logs: Logs) -> None:
    """Events are off, with the reason, once."""
    await run_service(replace(CONFIG, duration=0.2), {})
    assert [line["reason"] for line in logs if line["event"] == "events_off"] == ["no --redis-url"]
