"""Ten thousand equal exceptions in ten seconds are one issue: few events, and none of the ten thousand is forgotten in their counts."""

from __future__ import annotations

import json
import os
import sys

import pytest

from agent.testing.sentry_server import read_store
from tests.support.sentry import SentryProcess, agent_environment, run_exec

STORM = 10_000
PROGRAM = f"""
import logging, time
logging.basicConfig(format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
began = time.monotonic()
for number in range({STORM}):
    try:
        {{}}["price"]
    except KeyError:
        logging.getLogger("router").exception("order %d failed", number)
    time.sleep(max(0, began + number / {STORM / 8} - time.monotonic()))
"""

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(200),
    pytest.mark.skipif(os.cpu_count() == 1, reason="one core can't make the storm in time"),
]


def storm(folder, dsn):
    """Run the storm."""
    program = folder / "storm.py"
    program.write_text(PROGRAM)
    done = run_exec([sys.executable, str(program)], agent_environment(folder / "state", dsn), seconds=150)
    assert done.returncode == 0, done.stderr[-2000:]


def events(server) -> list[dict]:
    """The accepted events."""
    return [json.loads(body) for kind, body in read_store(server.store) if kind == "event"]


def grouping(event: dict) -> tuple:
    """The attributes that a receiver groups by if no fingerprint is sent: the type, and the frames of each exception."""
    assert "fingerprint" not in event
    values = event["exception"]["values"]
    return tuple((value["type"], *((frame["filename"], frame["function"]) for frame in value["stacktrace"]["frames"])) for value in values)


def check(found: list[dict]) -> None:
    """One issue, few events, exact count."""
    assert len({grouping(event) for event in found}) == 1
    assert len(found) <= 4
    assert sum(event["extra"]["occurrences"]["count"] for event in found) == STORM
    assert len({event["event_id"] for event in found}) == len(found)
    assert found[0]["logentry"]["message"] == "order %s failed"
    assert found[0]["exception"]["values"][0]["type"] == "KeyError"


def test_a_storm_is_one_issue(tmp_path):
    """The storm arrives as few events of one issue with the exact count; a client report counts the folded errors."""
    with SentryProcess(tmp_path / "taken.jsonl") as server:
        storm(tmp_path, server.dsn)
        check(events(server))
        reports = [json.loads(body) for kind, body in read_store(server.store) if kind == "client_report"]
        told = [one for report in reports for one in report["discarded_events"]]
        assert {(one["reason"], one["category"]) for one in told} == {("sample_rate", "error")}
        assert sum(one["quantity"] for one in told) == STORM - len(events(server))


def test_a_storm_while_the_server_is_away(tmp_path):
    """With the server away for the whole storm the same few events wait in the spool and arrive afterwards, with the exact count."""
    with SentryProcess(tmp_path / "taken.jsonl") as server:
        dsn, port = server.dsn, server.port
    storm(tmp_path, dsn)
    with SentryProcess(tmp_path / "taken.jsonl", port) as server:
        assert events(server) == []
        run_exec([sys.executable, "-c", "pass"], agent_environment(tmp_path / "state", dsn))
        check(events(server))
