"""Ten thousand equal errors while the agent is killed over and over: one issue, few events, and none of the ten thousand forgotten or reported twice."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from agent.testing.sentry_server import read_store
from tests.support.agent_process import AgentProcess, wait_until
from tests.support.sentry import SentryProcess

if TYPE_CHECKING:
    from pathlib import Path

STORM = 10_000
SECONDS = 6.0
KILLS = (1500, 4000, 6500)
"""Records stored, at which the agent is killed."""
TRACE = "Traceback (most recent call last):\n  File \"/app/router.py\", line 7, in route\n    venue = book[symbol]\nKeyError: 'XYZ'\n"

pytestmark = [pytest.mark.alone, pytest.mark.timeout(200)]


def write_storm(file: Path) -> None:
    """Log the errors, evenly."""
    began = time.monotonic()
    with file.open("a") as log:
        for number in range(STORM):
            line = {"event": "order failed", "level": "error", "order": number, "exception": TRACE, "timestamp": "2026-03-01T12:00:00Z"}
            log.write(json.dumps(line) + "\n")
            if number % 50 == 49:
                log.flush()
                time.sleep(max(0.0, began + number * SECONDS / STORM - time.monotonic()))


def accepted(agent: AgentProcess) -> int:
    """The number of errors that the agent has stored."""
    status = agent.status() or {}
    return sum(one["accepted"] for one in status["sources"])


def errors(agent: AgentProcess) -> int:
    """How many of the errors it has stored: all in all, less the events that it has made of them."""
    status = agent.status() or {}
    events = sum(one["sent"] + one["pending"] for one in status["destinations"] if one["signal"] == "sentry.error")
    return sum(one["accepted"] for one in status["sources"]) - events


def live_through(folder: Path, dsn: str) -> None:
    """Let an agent see the storm, kill it, start it again; end the last one cleanly."""
    more = {"OUTRIDER_LOG_FILES": str(folder / "app.log"), "SENTRY_DSN": dsn, "OTEL_SERVICE_NAME": "strategy"}
    writer = threading.Thread(target=write_storm, args=(folder / "app.log",))
    writer.start()
    for stored in KILLS:
        with AgentProcess(folder / "state", **more) as agent:
            wait_until(lambda agent=agent, stored=stored: accepted(agent) >= stored, f"{stored} records are stored")
            agent.process.kill()
            agent.process.wait()
    with AgentProcess(folder / "state", **more) as agent:
        writer.join()
        wait_until(lambda: errors(agent) == STORM, "each error is stored, once")
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(30) == 0


def check(server: SentryProcess) -> None:
    """One issue, few events, exact count; the report has the errors without an event of their own."""
    items = list(read_store(server.store))
    events = [json.loads(body) for kind, body in items if kind == "event"]
    assert len({event["logentry"]["message"] for event in events}) == 1
    assert len(events) <= 6
    assert len({event["event_id"] for event in events}) == len(events)
    assert sum(event["extra"]["occurrences"]["count"] for event in events) == STORM
    told: Counter[tuple[str, str]] = Counter()
    for one in (one for kind, body in items if kind == "client_report" for one in json.loads(body)["discarded_events"]):
        told[one["reason"], one["category"]] += one["quantity"]
    assert told == Counter({("sample_rate", "error"): STORM - len(events)})


def test_killed_in_the_storm(tmp_path):
    """With the server there, three kills in the middle of the storm change nothing in the count."""
    with SentryProcess(tmp_path / "taken.jsonl") as server:
        live_through(tmp_path, server.dsn)
        check(server)


def test_killed_in_the_storm_with_the_server_away(tmp_path):
    """With the server away all the time, the same: what waits in the spool is the exact count, and arrives when the server is back."""
    with SentryProcess(tmp_path / "taken.jsonl") as server:
        dsn, port = server.dsn, server.port
    live_through(tmp_path, dsn)
    with SentryProcess(tmp_path / "taken.jsonl", port) as server:
        assert list(read_store(server.store)) == []
        with AgentProcess(tmp_path / "state", SENTRY_DSN=dsn, OTEL_SERVICE_NAME="strategy") as agent:
            wait_until(lambda: pending(agent) == 0, "all is sent")
        check(server)


def pending(agent: AgentProcess) -> int:
    """The rows that wait for Sentry."""
    status = agent.status() or {}
    return sum(one["pending"] for one in status["destinations"] if one["signal"].startswith("sentry."))
