"""The wrapped command as a source, with real processes: they are short and end by themselves."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time

import pytest

from agent.clock import SystemClock
from agent.exec import child as module
from agent.exec.child import Child, ChildOptions
from agent.testing.sink import Sink

pytestmark = pytest.mark.alone


async def collect(script, emit, buffer=1 << 20):
    """Run a Python script to its end."""
    child = Child.start(ChildOptions((sys.executable, "-c", script), buffer, 5.0), SystemClock())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, child.reap)
    child.reap()
    try:
        await child.run(emit)
    finally:
        loop.remove_signal_handler(signal.SIGCHLD)
        for output in child._outputs:
            output.relay.close()


async def test_a_process_left_behind_that_writes_without_end_does_not_hold_the_end_up(capfd, monkeypatch):
    """The source ends although another process floods the pipe, and the thread that passes bytes through raises nothing."""
    monkeypatch.setattr(module, "AFTERWARDS", 0.1)
    raised, sink = [], Sink()
    monkeypatch.setattr(threading, "excepthook", raised.append)
    script = (
        "import os, sys\n"
        "if os.fork(): os.write(1, b'parent\\n'); os._exit(0)\n"
        "import time; end = time.monotonic() + 5\n"
        "while time.monotonic() < end: os.write(1, b'f' * 999 + b'\\n')\n"
    )

    began = time.monotonic()
    await collect(script, sink.emit)

    bodies = [record.body for record in sink.records]
    assert time.monotonic() - began < 4
    assert "parent" in bodies
    assert bodies[-1] == "process exited with code 0"
    assert raised == []
    capfd.readouterr()


async def test_a_slow_collector_gets_all_that_the_child_wrote(capfd, monkeypatch):
    """Bytes that are still in the pipe when its processes have had their time are the command's output, and are collected."""
    monkeypatch.setattr(module, "AFTERWARDS", 0.05)
    sink = Sink()

    async def slowly(batch):
        await asyncio.sleep(0.1)
        await sink.emit(batch)

    await collect("for n in range(5000): print(f'{n:099}')", slowly, buffer=1 << 16)

    assert [record.body for record in sink.records if len(record.body) == 99] == [f"{n:099}" for n in range(5000)]
    capfd.readouterr()


async def test_the_last_record_says_when_it_began():
    """A command without output began when it was started, not when it ended: its session and its check-in last as long as it did."""
    sink, before = Sink(), time.time_ns()
    await collect("import time; time.sleep(0.5)", sink.emit)

    [record] = sink.records
    assert before <= record.attributes["process.began"] < record.time_ns - 400_000_000
