"""The detector of a configuration: what it costs before there is an error."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from agent.record import Severity
from tests.support.detecting import feed, plain

PROGRAM = """
import asyncio, json, sys, threading

from agent.host.issues import LazyCompleter
import agent.host.runtime, agent.exporters.sentry

class Watcher:
    threads = set()

    def find_spec(self, name, path, target=None):
        if name.startswith("sentry_sdk"):
            self.threads.add(threading.current_thread() is threading.main_thread())

sys.meta_path.insert(0, Watcher())
event = {"event_id": "1" * 32, "message": "x", "extra": {"password": "hunter2"}}

async def main():
    maker = LazyCompleter()
    before = "sentry_sdk" in sys.modules
    first, second = await asyncio.gather(maker.complete(event), maker.complete(event))
    maker.close()
    made = json.loads(first)
    print(json.dumps([before, sorted(Watcher.threads), made["extra"], made["platform"], json.loads(second)["extra"] == made["extra"]]))

asyncio.run(main())
"""


def test_the_sdk_comes_with_the_first_error():
    """Without an error sentry-sdk is not in memory; it is imported beside the event loop, and completes and scrubs events."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == '[false, [false], {"password": "[Filtered]"}, "python", true]'


class SlowMaker:
    """Takes as long as it is made to wait."""

    def __init__(self):
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def complete(self, event):
        self.asked.set()
        await self.go.wait()
        return json.dumps(event).encode()

    def close(self):
        """Nothing is held."""


async def test_others_go_on_while_the_first_event_is_made(make, spool):
    """A batch with an error waits until its event is made; those of other sources, and of its own without errors, do not."""
    maker = SlowMaker()
    issues = make(completer=maker)
    first = asyncio.create_task(feed(issues, spool, [plain("it broke", Severity.ERROR)]))
    await maker.asked.wait()
    await feed(issues, spool, [plain("well", key="file:b")], "other")
    await feed(issues, spool, [plain("well", offset=9)])
    again = asyncio.create_task(feed(issues, spool, [plain("it broke", Severity.ERROR, 10)]))
    await asyncio.sleep(0)
    assert (spool.rows, first.done(), again.done()) == ([], False, False)
    maker.go.set()
    await asyncio.gather(first, again)
    assert [event["logentry"]["message"] for event in spool.items("event")] == ["it broke"]
    await issues.finish()
    assert [event["extra"]["occurrences"]["count"] for event in spool.items("event")] == [1, 1]


async def test_cancelled_while_the_first_event_is_made(make, spool):
    """The batch was not stored, and judging it again finds the same error as if for the first time."""
    maker = SlowMaker()
    issues = make(completer=maker)
    batch = [plain("it broke", Severity.ERROR)]
    first = asyncio.create_task(feed(issues, spool, batch))
    await maker.asked.wait()
    first.cancel()
    await asyncio.wait([first])
    assert (first.cancelled(), spool.rows) == (True, [])
    maker.go.set()
    await feed(issues, spool, batch)
    assert len(spool.items("event")) == 1
