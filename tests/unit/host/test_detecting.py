"""The detector of a configuration: what it costs before there is an error."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import json, sys

from agent.host.detecting import LaterMaker
import agent.host.runtime, agent.exporters.sentry

maker = LaterMaker()
before = "sentry_sdk" in sys.modules
made = json.loads(maker.make({"event_id": "1" * 32, "message": "x", "extra": {"password": "hunter2"}}))
print(json.dumps([before, "sentry_sdk" in sys.modules, made["extra"], made["platform"]]))
maker.close()
"""


def test_the_sdk_comes_with_the_first_error():
    """Without an error sentry-sdk is not in memory; the first event is completed and scrubbed by it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == '[false, true, {"password": "[Filtered]"}, "python"]'
