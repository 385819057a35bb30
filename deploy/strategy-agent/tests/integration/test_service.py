"""The whole service in this process: health, metrics, orders, faults, and a clean end."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from strategy_agent import agent, service
from strategy_agent.aio import PortError
from strategy_agent.brokers.behaviour import Behaviour
from strategy_agent.cli import check_health
from strategy_agent.config import ServiceConfig
from strategy_agent.events import STREAM, connect
from strategy_agent.faults import InjectedCrashError, parse_fault
from strategy_agent.service import run_service
from tests.support import RedisServer, events_on, eventually

CONFIG = ServiceConfig(rate=500.0, port=0)
Logs = list[MutableMapping[str, object]]


@pytest.fixture(autouse=True)
def quick_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what the agent does once a second come ten times as often, so that a test need not wait for it."""
    monkeypatch.setattr(agent, "HEARTBEAT", 0.1)
    monkeypatch.setattr(agent, "HEARTBEAT", 0.1)


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
    """Between two looks ticks and the times of tick and decision have moved on."""
    async with running(CONFIG) as url:
        await eventually(lambda: having(logs, "order_filled"), "an order")
        first = json.loads(await get(session, f"{url}/health"))
        await asyncio.sleep(0.1)
        second = json.loads(await get(session, f"{url}/health"))
    assert first["status"] == second["status"] == "ok"
    assert first["brokers"] == {"alpha": True, "beta": True}
    assert first["kill_switch"] is None
    for key in ("ticks", "last_tick_at", "last_decision_at"):
        assert first[key] < second[key], key


def samples(text: str) -> dict[str, float]:
    """Return the largest value of every sample name on a page of metrics."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = max(sample.value, found.get(sample.name, sample.value))
    return found


async def test_metrics_tell_what_matters(session: aiohttp.ClientSession, logs: Logs) -> None:
    """After the first fill the latency chain has been measured, and the state is all there."""
    async with running(CONFIG) as url:
        await eventually(lambda: having(logs, "order_filled") and having(logs, "heartbeat"), "an order and a heartbeat")
        found: dict[str, float] = {}
        # Clocks are compared now and then, and the first order of a symbol never finds its book in the cache.
        while "strategy_clock_offset_seconds" not in found or "strategy_book_lookups_total" not in found:
            found = samples(await get(session, f"{url}/metrics"))
    for name in (
        *("tick_to_signal_seconds_count", "signal_to_order_seconds_count", "submit_to_ack_seconds_count"),
        *("ack_to_fill_seconds_count", "tick_age_seconds_count", "tick_age_seconds_sum"),
        *("regime", "allocation_scalar", "router_quality", "book_age_seconds"),
        *("book_lookups_total", "clock_offset_seconds", "ticks_total", "orders_total", "fills_total"),
        *("equity", "last_tick_timestamp_seconds", "last_decision_timestamp_seconds", "event_loop_lag_seconds_count"),
        *("mode", "build_info"),
    ):
        assert found[f"strategy_{name}"] > 0, name
    for name in (
        "risk_tier",
        "drawdown_ratio",
        "kill_switch",
    ):
        assert f"strategy_{name}" in found, name


async def test_chaos_is_counted_by_reason(
    session: aiohttp.ClientSession, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused orders, gaps, ends of connections and a lost broker each show with their reason."""
    monkeypatch.setattr(service, "CHAOS", Behaviour(reject_ratio=0.5, gap_ratio=0.02))
    async with running(replace(CONFIG, faults=(parse_fault("broker-down@200ms:300ms"),))) as url:
        for event in ("order_rejected", "sequence_gap", "broker_unreachable", "broker_reachable"):
            await eventually(lambda event=event: having(logs, event), event)  # type: ignore[misc]
        refused = {line["reason"] for line in logs if line["event"] == "order_rejected"}
        text = await get(session, f"{url}/metrics")
    assert refused
    for reason in refused:
        assert re.search(rf'^strategy_rejects_total\{{broker="\w+",reason="{reason}"\}} [1-9]', text, re.MULTILINE)
    assert re.search(r'^strategy_sequence_gaps_total\{broker="\w+",topic="\w+"\} [1-9]', text, re.MULTILINE)
    for reason in ("gap", "refused"):
        assert re.search(rf'^strategy_reconnects_total\{{.*reason="{reason}".*\}} [1-9]', text, re.MULTILINE)


async def test_the_health_check_follows_progress(logs: Logs) -> None:
    """Answering is enough for the plain check; with a limit, a stalled agent is unhealthy."""
    async with running(replace(CONFIG, faults=(parse_fault("stall@300ms"),))) as url:
        await eventually(lambda: having(logs, "fault_injected"), "the stall")
        await asyncio.sleep(0.3)
        plain = await asyncio.to_thread(check_health, f"{url}/health")
        strict = await asyncio.to_thread(check_health, f"{url}/health", max_tick_age=0.2)
    assert plain is None
    assert strict is not None
    assert strict.startswith("last tick 0.")


async def test_the_service_ends_when_told(logs: Logs) -> None:
    """After SIGTERM the end is logged, and signals mean again what they meant."""
    async with running(CONFIG):
        pass
    assert logs[-1]["event"] == "service_stopped"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


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


async def test_with_one_broker_only_its_loss_is_a_lost_feed(
    session: aiohttp.ClientSession, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another broker ticks stop for the time, and what was missed is caught up with afterwards."""
    monkeypatch.setattr(service, "VENUES", ("alpha",))

    async def ticks(url: str) -> int:
        return int(json.loads(await get(session, f"{url}/health"))["ticks"])

    async with running(replace(CONFIG, scenario="quiet", faults=(parse_fault("broker-down@300ms:500ms"),))) as url:
        await eventually(lambda: having(logs, "broker_unreachable"), "the loss")
        await asyncio.sleep(0.2)  # what had arrived before is still being handled
        first = await ticks(url)
        await asyncio.sleep(0.1)
        assert await ticks(url) == first
        await eventually(lambda: having(logs, "broker_reachable"), "the return")
        while await ticks(url) < first + 200:  # 0.5 s at 500 a second were missed
            pass
    assert not having(logs, "frames_lost")


async def test_with_redis_events_arrive_there(redis_server: RedisServer, logs: Logs) -> None:
    """Orders, fills and heartbeats are found on the stream, also those of the last moment."""
    async with running(replace(CONFIG, redis_url=redis_server.url)):
        await eventually(lambda: having(logs, "heartbeat") and having(logs, "order_filled"), "events")
    client = connect(redis_server.url)
    kinds = {event["type"] for event in await events_on(client, STREAM)}
    await client.aclose()
    assert {"order", "fill", "heartbeat"} <= kinds
    assert not having(logs, "events_off")


async def test_the_last_events_arrive_too(
    redis_server: RedisServer, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders that are abandoned at the end are accounted for, and what is published of them is still delivered."""
    monkeypatch.setattr(service, "CHAOS", Behaviour(fill_latency=60.0, latency_spread=0.0))
    async with running(replace(CONFIG, redis_url=redis_server.url)):
        await eventually(lambda: having(logs, "order_acknowledged"), "an order under way")
    client = connect(redis_server.url)
    found = await events_on(client, STREAM)
    await client.aclose()
    abandoned = [line["client_order_id"] for line in logs if line["event"] == "order_rejected"]
    assert abandoned
    assert [event["client_order_id"] for event in found if event.get("reason") == "shutdown"] == abandoned
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1))


async def test_without_redis_one_line_says_so(logs: Logs) -> None:
    """Events are off, with the reason, once."""
    async with running(CONFIG):
        pass
    assert [line["reason"] for line in logs if line["event"] == "events_off"] == ["no --redis-url"]
