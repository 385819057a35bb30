"""Losses that a Sentry destination will never see are reported to it in the end, each once, wherever the agent is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from agent.testing.sentry_server import SentryServer, limited
from tests.support.agent_process import AgentProcess, wait_until

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
service: {{name: demo}}
sources: [{{type: log_files, include: ["{logs}/*.log"]}}]
exporters: [{{type: sentry, dsn: "{dsn}", hold: 0}}]
shutdown: {{drain: 0}}
"""
LOST = 3
POINTS = (
    "delivery.before_settle:3",
    "spool.before_settle:3",
    "spool.after_settle_cursor:3",
    "spool.after_settle_ledger:3",
    "spool.after_settle_delete:3",
    "delivery.before_send:4",
)


class Limiting(SentryServer):
    """Takes no errors while its answer says so."""

    limiting = False

    def choose(self, request):
        return limited("1:error:project") if self.limiting else super().choose(request)


@pytest.fixture
async def server():
    """The server."""
    async with Limiting() as running:
        yield running


@pytest.fixture
def config(tmp_path, server):
    """A configuration that gives up at once what is limited."""
    (tmp_path / "logs").mkdir()
    file = tmp_path / "outrider.yaml"
    file.write_text(CONFIG.format(logs=tmp_path / "logs", dsn=server.dsn()))
    return file


def fail(config: Path, word: str) -> None:
    """Log an error of a kind of its own."""
    with (config.parent / "logs" / "app.log").open("a") as file:
        file.write(json.dumps({"event": f"{word} broke", "level": "error", "timestamp": "2026-03-01T12:00:00Z"}) + "\n")


def reports(server: SentryServer) -> Counter[tuple[str, str]]:
    """The reported losses."""
    told: Counter[tuple[str, str]] = Counter()
    for item in server.items("client_report"):
        for one in item.json()["discarded_events"]:
            told[one["reason"], one["category"]] += one["quantity"]
    return told


def lose(config: Path, server: Limiting, fault: str) -> None:
    """Have an agent lose some errors; it is killed at a point of that, and comes again."""
    state = config.parent / "state"
    with AgentProcess(state, "--config", str(config), OUTRIDER_FAULT=fault) as agent:
        fail(config, "first")
        wait_until(lambda: len(server.events()) == 1, "the first error")
        server.limiting = True
        for number in range(LOST):
            fail(config, "abc"[number])
        wait_until(lambda: agent.process.poll() is not None, f"the agent dies at {fault}")
    with AgentProcess(state, "--config", str(config)) as agent:
        wait_until(lambda: dead(agent) == LOST, "all are given up")


def dead(agent: AgentProcess) -> int:
    """How many errors the agent says it has given up."""
    status = agent.status() or {}
    return sum(one["dead_lettered"] for one in status["destinations"] if one["signal"] == "sentry.error")


def tell(config: Path, server: Limiting) -> None:
    """Have a third agent, and a fourth, send something that goes."""
    server.limiting = False
    for number, word in enumerate(("later", "last"), 2):
        with AgentProcess(config.parent / "state", "--config", str(config)):
            fail(config, word)
            wait_until(lambda number=number: len(server.events()) == number, f"the {word} error")


@pytest.mark.parametrize("fault", POINTS)
async def test_losses_are_told_as_often_as_they_happened(server, config, fault):
    """Whenever the agent is killed while it gives up errors, the report has each of them once, and no later report has any again."""
    await asyncio.to_thread(lose, config, server, fault)
    await asyncio.to_thread(tell, config, server)
    assert reports(server) == Counter({("ratelimit_backoff", "error"): LOST})
