"""The agent between venues and reports, without the process around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from math import inf
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from opentelemetry.sdk.trace import TracerProvider

from strategy_agent import desk
from strategy_agent.agent import Agent
from strategy_agent.aio import Tasks
from strategy_agent.brokers.behaviour import Behaviour
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.killswitch import KillSwitch
from strategy_agent.model import AccountData, Fill, Order, Side, Tick
from strategy_agent.outlets import Metrics, Outlets
from tests.support import RecordingEvents, eventually, free_port


def make_agent(
    session: aiohttp.ClientSession, brokers: dict[str, str], switch: KillSwitch | None = None
) -> tuple[Agent, Metrics, RecordingEvents]:
    """Return an agent on these brokers, with what it reports to."""
    metrics, events = Metrics(("BTC-USD",)), RecordingEvents()
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    return Agent(session, brokers, Outlets(metrics, events, tracer), switch or KillSwitch()), metrics, events


async def test_clocks_are_compared_per_broker(market: Market, session: aiohttp.ClientSession) -> None:
    """The offset of every broker that answers is shown; one that does not is skipped."""
    async with PaperBroker("alpha", market, behaviour=Behaviour(clock_skew=1.5)) as venue:
        agent, metrics, _ = make_agent(session, {"alpha": venue.url, "beta": f"http://127.0.0.1:{free_port()}"})
        await agent._sync_clocks()
    value = metrics.registry.get_sample_value
    assert value("strategy_clock_offset_seconds", {"broker": "alpha"}) == pytest.approx(1.5, abs=0.2)
    assert value("strategy_clock_offset_seconds", {"broker": "beta"}) is None


async def test_a_failing_broker_proves_itself_again(market: Market, session: aiohttp.ClientSession) -> None:
    """After failures the other broker is preferred, until enough comparisons of clocks went well."""
    async with PaperBroker("alpha", market) as alpha, PaperBroker("beta", market) as beta:
        agent, _, _ = make_agent(session, {"alpha": alpha.url, "beta": beta.url})
        for _ in range(3):
            agent._registry["alpha"].report(ok=False)
        assert agent._registry.select().name == "beta"
        for _ in range(100):
            await agent._sync_clocks()
        assert agent._registry.select().name == "alpha"


async def test_a_broker_that_answers_is_not_away(
    market: Market, session: aiohttp.ClientSession, logs: list[MutableMapping[str, object]]
) -> None:
    """Whatever made a stream believe that the broker is away, an answer to the next errand corrects it, and says so."""
    async with PaperBroker("alpha", market) as venue:
        agent, _, _ = make_agent(session, {"alpha": venue.url})
        agent._registry["alpha"].report(ok=False, up=False)
        await agent._sync_clocks()
        assert agent.describe()["brokers"] == {"alpha": True}
    assert [line["event"] for line in logs] == ["broker_unreachable", "broker_reachable"]


async def test_a_heartbeat_is_a_line_and_an_event(
    market: Market, session: aiohttp.ClientSession, logs: list[MutableMapping[str, object]]
) -> None:
    """Both show what the agent stands at."""
    async with PaperBroker("alpha", market) as venue:
        agent, _, events = make_agent(session, {"alpha": venue.url})
        await agent._heartbeat()
    assert [line["event"] for line in logs] == ["heartbeat"]
    assert agent.summary().items() <= logs[0].items()
    assert events.published == [("heartbeat", agent.summary())]
    assert agent.summary()["tick_age"] is None


async def test_a_stall_holds_ticks_up_for_its_time(session: aiohttp.ClientSession) -> None:
    """No tick is handled while it lasts, whatever comes."""
    agent, metrics, _ = make_agent(session, {"alpha": "http://nowhere"})
    agent.stall(0.15)
    handling = asyncio.create_task(agent._on_tick("alpha", Tick("BTC-USD", 100.0)))
    await asyncio.sleep(0.05)
    assert metrics.registry.get_sample_value("strategy_ticks_total", {"symbol": "BTC-USD"}) is None
    await asyncio.wait_for(handling, 5)
    assert metrics.registry.get_sample_value("strategy_ticks_total", {"symbol": "BTC-USD"}) == 1
    await agent.close()


async def test_a_stall_for_ever_has_no_end(session: aiohttp.ClientSession) -> None:
    """Without a duration nothing moves any more, and waiting for ever is no error."""
    agent, _, _ = make_agent(session, {"alpha": "http://nowhere"})
    agent.stall(inf)
    handling = asyncio.create_task(agent._on_tick("alpha", Tick("BTC-USD", 100.0)))
    await asyncio.sleep(0.02)
    assert not handling.done()
    handling.cancel()


async def test_the_state_is_shown_before_every_look(market: Market, session: aiohttp.ClientSession) -> None:
    """Loss, kill switch and the books' use are gauges of what is now."""
    async with PaperBroker("alpha", market) as venue:
        agent, metrics, _ = make_agent(session, {"alpha": venue.url})
        agent._account.mark("BTC-USD", 100.0)
        agent._account.book(Fill("x", "BTC-USD", Side.BUY, 500.0, 100.0))
        for price in (60.0, 60.0, 60.0):  # one alone would be a bad print
            await agent._on_tick("alpha", Tick("BTC-USD", price, time.time()))
        await agent._books.get("BTC-USD")
        await agent._books.get("BTC-USD")
        agent.gauges.refresh()
        value = metrics.registry.get_sample_value
        assert value("strategy_drawdown_ratio") == pytest.approx(0.2)
        assert value("strategy_kill_switch", {"by": "risk", "reason": "drawdown"}) == 1
        assert value("strategy_equity") == pytest.approx(80_000.0)
        assert value("strategy_pnl") == pytest.approx(-20_000.0)
        assert value("strategy_position", {"symbol": "BTC-USD"}) == 500.0
        assert value("strategy_book_lookups_total", {"source": "memory"}) == 1
        age = value("strategy_book_age_seconds", {"symbol": "BTC-USD"})
        assert age is not None
        assert 0 <= age < 5
        await agent.close()


async def test_an_order_without_a_fill_is_given_up(
    market: Market, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that was never filled does not stay under way for ever."""
    monkeypatch.setattr(desk, "FILL_DEADLINE", 0.05)
    async with PaperBroker("alpha", market, behaviour=Behaviour(fill_latency=60.0)) as venue:
        agent, metrics, _ = make_agent(session, {"alpha": venue.url})
        agent._desk.submit(Order("BTC-USD-1", "BTC-USD", Side.BUY, 1.0))
        await eventually(lambda: agent._desk.in_flight == 0, "the deadline")
        await agent.close()
    labels = {"broker": "alpha", "reason": "fill_timeout"}
    assert metrics.registry.get_sample_value("strategy_rejects_total", labels) == 1


async def test_a_failing_bot_is_said_once(
    session: aiohttp.ClientSession, logs: list[MutableMapping[str, object]]
) -> None:
    """It fails at every tick: one line with its exception, and a counter."""
    agent, metrics, _ = make_agent(session, {})
    for _ in range(3):
        agent._bot_failed("momentum", ValueError("no"))
    assert [(line["event"], line["bot"]) for line in logs] == [("bot_failed", "momentum")]
    assert metrics.registry.get_sample_value("strategy_bot_errors_total", {"bot": "momentum"}) == 3


async def test_a_lost_feed_is_said_when_it_goes_and_when_it_is_back(
    session: aiohttp.ClientSession, logs: list[MutableMapping[str, object]]
) -> None:
    """One line each, however long it lasts; the age is a metric meanwhile."""
    agent, metrics, _ = make_agent(session, {})
    vitals = agent._trader.vitals
    for age in (0.0, 60.0, 61.0, 0.0):
        vitals.last_tick_at = time.time() - age
        agent._watch()
    agent._trader.vitals.last_tick_at = time.time() - 30
    agent.gauges.refresh()
    assert [line["event"] for line in logs] == ["feed_lost", "feed_back"]
    assert metrics.registry.get_sample_value("strategy_feed_age_seconds") == pytest.approx(30, abs=5)


async def test_a_person_stops_and_resumes_trading(
    session: aiohttp.ClientSession, logs: list[MutableMapping[str, object]], tmp_path: Path
) -> None:
    """Health, metrics and log say who and why; resumed, drawdown counts from the loss as it is."""
    agent, metrics, _ = make_agent(session, {}, KillSwitch(tmp_path / "state.json"))
    agent._account.standing = AccountData(80.0, 100.0)
    KillSwitch(tmp_path / "state.json").pull("operator", "maintenance")
    agent._watch()
    agent.gauges.refresh()
    labels = {"by": "operator", "reason": "maintenance"}
    assert metrics.registry.get_sample_value("strategy_kill_switch", labels) == 1
    assert metrics.registry.get_sample_value("strategy_mode", {"mode": "halted"}) == 1
    assert cast(dict[str, object], agent.describe()["kill_switch"])["reason"] == "maintenance"
    (tmp_path / "state.json").unlink()
    agent._watch()
    agent.gauges.refresh()
    assert metrics.registry.get_sample_value("strategy_kill_switch", {"by": "", "reason": ""}) == 0
    assert agent._account.standing.drawdown == 0.0
    assert [line["event"] for line in logs] == ["kill_switch_on", "kill_switch_off"]


async def test_a_late_joiner_does_not_trade_the_past(session: aiohttp.ClientSession) -> None:
    """Hours of ticks that wait on the tape are looked at; the first order comes with the present."""
    market = Market()
    for number in range(500):
        market.publish(Tick("BTC-USD", 100.0 + number / 50, time.time() - 3600 + number))
    async with PaperBroker("alpha", market) as venue:
        agent, metrics, _ = make_agent(session, {"alpha": venue.url})
        async with Tasks() as tasks:
            for job in agent.jobs():
                tasks.spawn(job, "job")
            await eventually(lambda: agent._trader.vitals.ticks == 498, "all ticks but two")
        assert metrics.registry.get_sample_value("strategy_orders_total", {"broker": "alpha", "side": "buy"}) is None
        assert (metrics.registry.get_sample_value("strategy_vetoes_total", {"reason": "stale_tick"}) or 0) > 0
        await agent.close()
