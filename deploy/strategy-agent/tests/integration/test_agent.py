"""The agent between venues and reports, without the process around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from math import inf

import aiohttp
import pytest
from opentelemetry.sdk.trace import TracerProvider

from strategy_agent import desk
from strategy_agent.agent import Agent
from strategy_agent.brokers.behaviour import Behaviour
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.model import Fill, Order, Side, Tick
from strategy_agent.outlets import Metrics, Outlets
from tests.support import RecordingEvents, eventually, free_port


def make_agent(session: aiohttp.ClientSession, brokers: dict[str, str]) -> tuple[Agent, Metrics, RecordingEvents]:
    """Return an agent on these brokers, with what it reports to."""
    metrics, events = Metrics(("BTC-USD",)), RecordingEvents()
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    return Agent(session, brokers, Outlets(metrics, events, tracer)), metrics, events


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
    agent, _, _ = make_agent(session, {"alpha": "http://nowhere"})
    agent.stall(0.15)
    handling = asyncio.create_task(agent._on_tick("alpha", Tick("BTC-USD", 100.0)))
    await asyncio.sleep(0.05)
    assert agent.summary()["ticks"] == 0
    await asyncio.wait_for(handling, 5)
    assert agent.summary()["ticks"] == 1
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
        await agent._on_tick("alpha", Tick("BTC-USD", 60.0, time.time()))
        await agent._books.get("BTC-USD")
        await agent._books.get("BTC-USD")
        agent.refresh()
        value = metrics.registry.get_sample_value
        assert value("strategy_drawdown_ratio") == pytest.approx(0.2)
        assert value("strategy_kill_switch") == 1
        assert value("strategy_book_cache_hit_ratio") == pytest.approx(agent._books.hit_rate)
        age = value("strategy_book_age_seconds", {"symbol": "BTC-USD"})
        assert age is not None
        assert 0 <= age < 5
        await agent.close()


async def test_an_order_without_a_fill_is_given_up(
    market: Market, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that was never filled does not stay under way for ever."""
    monkeypatch.setattr(desk, "FILL_DEADLINE", 0.05)
    async with PaperBroker("alpha", market) as venue:
        agent, metrics, _ = make_agent(session, {"alpha": venue.url})
        agent._desk.submit(Order("BTC-USD-1", "BTC-USD", Side.BUY, 1.0))
        await eventually(lambda: agent._desk.in_flight == 0, "the deadline")
        await agent.close()
    labels = {"broker": "alpha", "reason": "fill_timeout"}
    assert metrics.registry.get_sample_value("strategy_rejects_total", labels) == 1
