"""The detector of a configuration: what it costs before there is an error."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, json, sys, threading

from agent.host.detecting import LaterMaker
import agent.host.runtime, agent.exporters.sentry

class Watcher:
    threads = set()

    def find_spec(self, name, path, target=None):
        if name.startswith("sentry_sdk"):
            self.threads.add(threading.current_thread() is threading.main_thread())

sys.meta_path.insert(0, Watcher())
event = {"event_id": "1" * 32, "message": "x", "extra": {"password": "hunter2"}}

async def main():
    maker = LaterMaker()
    before = "sentry_sdk" in sys.modules
    first, second = await asyncio.gather(maker.make(event), maker.make(event))
    maker.close()
    made = json.loads(first)
    print(json.dumps([before, sorted(Watcher.threads), made["extra"], made["platform"], json.loads(second)["extra"] == made["extra"]]))

asyncio.run(main())
"""


def test_the_sdk_comes_with_the_first_error():
    """Without an error sentry-sdk is not in memory; it is imported beside the event loop, and completes and scrubs events."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == '[false, [false], {"password": "[Filtered]"}, "python", true]'
