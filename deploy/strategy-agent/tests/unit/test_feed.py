"""The moving parts between brokers and trader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping

import aiohttp
import pytest

from strategy_agent import feed as module
from strategy_agent.brokers.client import BrokerClient
from strategy_agent.brokers.paper import Market
from strategy_agent.brokers.registry import BrokerRegistry
from strategy_agent.feed import StreamNotes, drive_market, every
from strategy_agent.market import SCENARIOS, Phase, Scenario
from strategy_agent.metrics import Metrics
from tests.support import eventually, reached

Line = MutableMapping[str, object]

URL = "http://alpha/v1/stream/ticks"


@pytest.fixture
async def noted(session: aiohttp.ClientSession) -> tuple[StreamNotes, BrokerRegistry[BrokerClient], Metrics]:
    """Return notes on one broker, with what they are written into."""
    registry: BrokerRegistry[BrokerClient] = BrokerRegistry()
    registry.register("alpha", BrokerClient("alpha", "http://alpha", session))
    metrics = Metrics(())
    return StreamNotes("ticks", registry, metrics), registry, metrics


Noted = tuple[StreamNotes, BrokerRegistry[BrokerClient], Metrics]


async def test_a_refusal_means_the_broker_is_away(noted: Noted, logs: list[Line]) -> None:
    """The first refusal is an error in the log, the following ones only count."""
    notes, registry, metrics = noted
    for _ in range(3):
        notes.disconnected(URL, "refused")
    assert not registry["alpha"].up
    assert [line["event"] for line in logs] == ["broker_unreachable"]
    labels = {"broker": "alpha", "topic": "ticks", "reason": "refused"}
    assert metrics.registry.get_sample_value("strategy_reconnects_total", labels) == 3


async def test_a_connection_means_the_broker_is_back(noted: Noted, logs: list[Line]) -> None:
    """The return is said once."""
    notes, registry, _ = noted
    notes.disconnected(URL, "refused")
    notes.connected(URL)
    assert registry["alpha"].up
    assert [line["event"] for line in logs] == ["broker_unreachable", "broker_reachable", "stream_connected"]


async def test_a_dropped_connection_is_no_proof_of_absence(noted: Noted) -> None:
    """A drop alone does not mark the broker as away."""
    notes, registry, _ = noted
    notes.connected(URL)
    notes.disconnected(URL, "dropped")
    assert registry["alpha"].up


async def test_gaps_and_losses_are_counted_in_frames(noted: Noted) -> None:
    """Both counters step by the number of frames."""
    notes, _, metrics = noted
    notes.gap(URL, 3)
    notes.lost(URL, 5)
    labels = {"broker": "alpha", "topic": "ticks"}
    assert metrics.registry.get_sample_value("strategy_sequence_gaps_total", labels) == 3
    assert metrics.registry.get_sample_value("strategy_frames_lost_total", labels) == 5


async def test_the_market_is_driven_at_its_rate() -> None:
    """At 1000 ticks a second, 50 ticks take about 50 ms and carry both symbols."""
    market = Market()
    loop = asyncio.get_running_loop()
    started = loop.time()
    driving = asyncio.create_task(drive_market(market, SCENARIOS["quiet"], 7, ("A", "B"), 1000.0))
    await reached(market.tape, 50)
    driving.cancel()
    assert 0.045 <= loop.time() - started < 2.0
    assert {market.tape[seq].symbol for seq in range(1, 51)} == {"A", "B"}


async def test_a_market_that_was_held_up_does_not_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is further behind than allowed, the driver forgets what it missed and keeps its rate."""
    monkeypatch.setattr(module, "MAX_LAG", 0.01)
    market = Market()
    driving = asyncio.create_task(drive_market(market, SCENARIOS["quiet"], 7, ("A",), 1000.0))
    await reached(market.tape, 5)
    before = market.tape.last
    time.sleep(0.2)  # noqa: ASYNC251 - the loop is held up for 200 ticks
    await reached(market.tape, before + 1)
    driving.cancel()
    assert market.tape.last - before < 100


async def test_a_silent_feed_publishes_nothing() -> None:
    """While the scenario is silent, time passes without ticks: after 1 tick, 99 steps of 1 ms."""
    market, loop = Market(), asyncio.get_running_loop()
    scenario = Scenario("x", (Phase("calm", 1), Phase("silence", 99, silent=True)))
    driving = asyncio.create_task(drive_market(market, scenario, 7, ("A",), 1000.0))
    await reached(market.tape, 1)
    started = loop.time()
    await reached(market.tape, 2)
    driving.cancel()
    assert loop.time() - started >= 0.09


async def test_regular_work_is_told_how_late_it_is() -> None:
    """An action is called again and again with its lateness in seconds."""
    calls: list[float] = []

    async def action(lateness: float) -> None:
        calls.append(lateness)

    work = asyncio.create_task(every(0.005, action))
    await eventually(lambda: len(calls) >= 3, "three calls")
    work.cancel()
    assert all(lateness >= 0 for lateness in calls)
