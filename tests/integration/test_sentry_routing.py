"""Several Sentry projects in one agent: each gets what is about its services, by whatever form of DSN, and a project that is away holds up no other."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.agent_process import AgentProcess, outrider, wait_until
from tests.support.sentry import SentryProcess

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
service: {{name: strategy}}
sources: [{{type: log_files, include: ["{folder}/app.log"]}}]
exporters:
  - {{type: sentry, name: own, dsn: "http://own@127.0.0.1:{port}/1", services: [strategy]}}
  - {{type: sentry, name: routers, dsn: "http://routers:old-secret@127.0.0.1:{port}/sentry/below/22", services: [router, router-eu]}}
  - {{type: sentry, name: everything, dsn: "http://all@127.0.0.1:{port}/333"}}
  - {{type: sentry, name: away, dsn: "http://away@127.0.0.1:1/4"}}
"""


@pytest.fixture
def server(tmp_path):
    """A server with all the projects."""
    with SentryProcess(tmp_path / "taken.jsonl") as running:
        yield running


@pytest.fixture
def config(tmp_path, server) -> Path:
    """A configuration with four destinations."""
    file = tmp_path / "outrider.yaml"
    file.write_text(CONFIG.format(folder=tmp_path, port=server.port))
    return file


def log(folder: Path, event: str, **more: str) -> None:
    """Log an error."""
    with (folder / "app.log").open("a") as file:
        file.write(json.dumps({"event": event, "level": "error", "timestamp": "2026-03-01T12:00:00Z", **more}) + "\n")


def events(server: SentryProcess) -> list[tuple[str, str]]:
    """Which service's event came how often: (service, message)."""
    found = []
    for line in server.store.read_bytes().splitlines() if server.store.exists() else ():
        item = json.loads(line)
        if item["type"] == "event":
            event = json.loads(base64.b64decode(item["body"]))
            found.append((item["project"], event["tags"]["service.name"]))
    return sorted(found)


def test_each_project_gets_its_own(server, config, tmp_path):
    """Errors go by the service that their record names; the agent's own service is that of the others; a project without a filter gets all."""
    with AgentProcess(tmp_path / "state", "--config", str(config)):
        log(tmp_path, "ours broke")
        log(tmp_path, "theirs broke", **{"service.name": "router"})
        log(tmp_path, "nobody's broke", **{"service.name": "stranger"})
        wait_until(lambda: len(events(server)) == 5, "five events")
    assert events(server) == [
        ("1", "strategy"),
        ("22", "router"),
        ("333", "router"),
        ("333", "stranger"),
        ("333", "strategy"),
    ]


def test_a_check_tells_each_apart(config):
    """`check --send` says which project took the test event, which one as whose because of its services, and which does not answer."""
    done = outrider("check", "--send", "--config", str(config), state=config.parent / "other")
    lines = {line.split(":")[0].split()[-1]: line for line in done.stdout.decode().splitlines() if "destination" in line}
    assert done.returncode != 0
    assert "took the test event" in lines["own"]
    assert "took the test event of router; what is about strategy does not go there" in lines["routers"]
    assert "took the test event" in lines["everything"]
    assert "took" not in lines["away"]
