"""A receiver that we did not write takes every kind of item that we send, and passes on what was in it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

from agent.component import Accepted
from agent.exporters.sentry_dsn import Dsn
from agent.issues.envelope.format import EnvelopeItem
from agent.issues.envelope.items import check_in, client_report, interval_schedule, logs, payload, session
from agent.record import LogRecord, Origin, Severity, Signal
from agent.testing.exporters import make_row
from tests.support.bugsink import CACHE
from tests.support.sentry import NOW_NS, event_row, exporter

PACKAGES = ("@spotlightjs/sidecar@2.5.0", "hono@4.12.21")
"""The second one is pinned because the first does not work with the newest."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def program():
    """The sidecar's program; skips where it can't be installed."""
    home = CACHE / "spotlight"
    run = home / "node_modules" / "@spotlightjs" / "sidecar" / "dist" / "run.js"
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    if not run.exists():
        home.mkdir(parents=True, exist_ok=True)
        try:
            command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(home), *PACKAGES]
            subprocess.run(command, cwd=home, check=True, capture_output=True, timeout=200)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{PACKAGES[0]} can't be installed here: {error}")
    return run


@pytest.fixture
def url(program, tmp_path):
    """Where a running sidecar takes envelopes and hands them out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["node", str(program), str(port)], stdout=log, stderr=log, env={**os.environ, "SENTRY_DSN": ""})
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/stream"
    finally:
        process.kill()
        process.wait()


def received(url: str, wanted: int) -> list:
    """The items that the sidecar hands out, as (header, payload), once there are as many as wanted."""
    request = urllib.request.Request(url, headers={"Accept": "text/event-stream"})
    found = []
    with urllib.request.urlopen(request, timeout=20) as stream:
        while len(found) < wanted:
            line = stream.readline().decode().strip()
            if line.startswith("data:") and line[5:].strip().startswith("["):
                found += json.loads(line[5:])[1]
    return found


async def test_every_kind_of_item(url):
    """Events with attachments, check-ins with their monitor, sessions, logs and client reports arrive with what they say."""
    record = LogRecord(NOW_NS, NOW_NS, Severity.WARN, "warning", "slow venue", {"ms": 7, "deep": {"a": [1]}}, Origin("file:a"), 0)
    labels = {"release": "app@1", "environment": "test"}
    items = {
        Signal.SENTRY_MONITOR: check_in(
            "probe", "error", check_in_id="1" * 32, labels={"environment": "test"}, config=interval_schedule(90), duration=0.5
        ),
        Signal.SENTRY_SESSION: session(
            "2" * 32, "crashed", started_ns=NOW_NS, now_ns=NOW_NS + 3 * 10**9, first=False, errors=1, labels=labels
        ),
        Signal.SENTRY_LOG: logs([record], labels=labels),
        Signal.SENTRY_REPORT: client_report(NOW_NS, {("ratelimit_backoff", "error"): 3}),
    }
    sentry = exporter("http://spotlight@127.0.0.1/1")
    sentry._dsn = Dsn(url, "spotlight", "")
    event = {"event_id": "3" * 32, "message": "x", "platform": "python"}
    assert (
        await sentry.export(
            event_row(json.dumps(event).encode(), "3" * 32, EnvelopeItem("attachment", b"last lines", {"filename": "last_lines.txt"}))
        )
        == Accepted()
    )
    for signal, item in items.items():
        assert await sentry.export(make_row(payload(signal, item, service="strategy").body, signal=signal)) == Accepted()
    await sentry.close()
    told = {header["type"]: (header, body) for header, body in received(url, 6)}
    assert told.keys() == {"event", "attachment", "check_in", "session", "log", "client_report"}
    assert told["event"][1]["message"] == "x"
    assert told["attachment"][0]["filename"] == "last_lines.txt"
    assert told["check_in"][1]["monitor_config"]["schedule"] == {"type": "interval", "value": 2, "unit": "minute"}
    assert (told["check_in"][1]["status"], told["check_in"][1]["monitor_slug"]) == ("error", "probe")
    assert (told["session"][1]["status"], told["session"][1]["duration"], told["session"][1]["attrs"]) == ("crashed", 3.0, labels)
    assert told["log"][0]["item_count"] == 1
    (line,) = told["log"][1]["items"]
    assert (line["level"], line["body"], line["attributes"]["ms"]) == ("warn", "slow venue", {"value": 7, "type": "integer"})
    assert told["client_report"][1]["discarded_events"] == [{"reason": "ratelimit_backoff", "category": "error", "quantity": 3}]
