"""The service as its users run it: a process with a command line, output, a port and signals."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import defaultdict
from itertools import islice
from pathlib import Path
from typing import cast

import pytest

from strategy_agent.market import SCENARIOS, market
from strategy_agent.regime import RegimeDetector
from strategy_agent.stats import PrintFilter
from tests.support import AgentProcess, command, events_of

QUICK = ("--rate", "500")


def test_a_run_from_start_to_sigterm() -> None:
    """It starts, trades, answers, and ends with code 0 and nothing on standard error."""
    with AgentProcess(*QUICK) as agent:
        agent.wait_for("order_filled")
        assert agent.health()["status"] == "ok"
        assert "strategy_ack_to_fill_seconds_count" in agent.get("/metrics")
        code, errors = agent.terminate()
        stopped = agent.lines[-1]
    assert (code, errors) == (0, "")
    assert stopped["event"] == "service_stopped"


def test_ctrl_c_is_a_clean_end_too() -> None:
    """SIGINT ends it like SIGTERM, without a traceback."""
    with AgentProcess(*QUICK) as agent:
        os.kill(agent.pid, signal.SIGINT)
        assert agent.end() == (0, "")


def test_every_line_of_output_is_a_log_line(tmp_path: Path) -> None:
    """Standard output is JSON throughout, with the fields that every line has, and the log file is its copy."""
    path = tmp_path / "agent.log"
    with AgentProcess(*QUICK, "--log-file", str(path)) as agent:
        agent.wait_for("order_filled")
        assert agent.terminate()[0] == 0
        lines = agent.lines
    assert all({"timestamp", "level", "event", "logger"} <= line.keys() for line in lines)
    assert [json.loads(text) for text in path.read_text().splitlines()] == lines


def test_the_lines_of_an_order_share_a_trace() -> None:
    """Submission, acknowledgement and fill can be joined by their trace id, which no other order has."""
    with AgentProcess(*QUICK) as agent:
        filled = agent.wait_for("order_filled")
        own = [line for line in agent.lines if line.get("client_order_id") == filled["client_order_id"]]
    assert len({line["trace_id"] for line in own}) == 1
    assert {"order_submitted", "order_acknowledged", "order_filled"} <= {line["event"] for line in own}


def test_the_health_check_command() -> None:
    """Exit code 0 and one word for a healthy agent, 1 and the reason for one that makes no progress."""
    with AgentProcess(*QUICK, "--fault", "stall@500ms") as agent:
        agent.wait_for("order_filled")
        healthy = command("-m", "strategy_agent", "healthcheck", "--url", f"{agent.url}/health")
        agent.wait_for("fault_injected")
        time.sleep(0.1)
        stalled = command(
            *("-m", "strategy_agent", "healthcheck", "--url", f"{agent.url}/health", "--max-tick-age", "1ms")
        )
    assert (healthy.returncode, healthy.stdout) == (0, "healthy\n")
    assert stalled.returncode == 1
    assert "more than 0.001 s" in stalled.stderr


def offline_course(scenario: str, seed: int, steps: int) -> list[tuple[str, str, float]]:
    """Return the changes of regime that the seed implies: (symbol, regime, price)."""
    detectors: dict[str, RegimeDetector] = {}
    prints = defaultdict[str, PrintFilter](PrintFilter)
    changes = []
    for point in islice(market(SCENARIOS[scenario], seed, ("BTC-USD", "ETH-USD")), steps):
        assert point.price is not None
        if not prints[point.symbol].accepts(point.price):
            continue
        known = point.symbol in detectors
        detector = detectors.setdefault(point.symbol, RegimeDetector())
        before = detector.regime
        if detector.update(point.price) is not before and known:
            changes.append((point.symbol, detector.regime.value, round(point.price, 4)))
    return changes


def test_a_run_takes_the_course_of_its_seed() -> None:
    """Regimes change in the order and at the prices that the seed implies, whatever the sockets did."""
    with AgentProcess("--rate", "1500", "--scenario", "flash-crash", "--seed", "11") as agent:
        agent.wait_for("regime_changed", regime="crash")
        changes = events_of(agent.lines, "regime_changed")
    course = offline_course("flash-crash", 11, 4000)
    assert len(changes) >= 4
    seen = [(one["symbol"], one["regime"], round(cast(float, one["price"]), 4)) for one in changes]
    assert seen == course[: len(seen)]


@pytest.mark.timeout(90)
def test_the_demonstration() -> None:
    """Flash crash, a broker failure and one caught exception: all of it is seen, and the agent lives on.

    The same as the README's demonstration, at twenty times the rate.
    """
    arguments = ("--scenario", "flash-crash", "--seed", "7", "--rate", "4000")
    with AgentProcess(*arguments, "--fault", "broker-down@500ms:500ms", "--fault", "error-burst@1s:1") as agent:
        agent.wait_for("broker_unreachable", broker="alpha")
        agent.wait_for("regime_changed", regime="crash")
        caught = agent.wait_for("reconciliation_failed")
        agent.wait_for("broker_reachable", broker="alpha")
        agent.wait_for("regime_changed", previous="crash")
        code, errors = agent.terminate()
    assert (code, errors) == (0, "")
    assert isinstance(caught["exception"], list)
    assert [each["exc_type"] for each in caught["exception"]] == ["PositionMismatchError", "ValueError"]
