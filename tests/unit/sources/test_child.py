"""The wrapped command as a source, with real processes: they are short and end by themselves."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import threading
import time

import pytest

from agent.sources import child as module
from agent.sources.child import Child, ChildConfig, Exit
from agent.testing.context import make_context


class Collected:
    """What a child emitted."""

    def __init__(self):
        self.batches = []

    async def __call__(self, batch):
        self.batches.append(batch)
        self.last = time.monotonic()

    @property
    def bodies(self):
        return [record.body for batch in self.batches for record in batch.records]

    def dropped(self, reason):
        return sum(batch.drops.get(reason, 0) for batch in self.batches)


async def collect(script, emit=None):
    """Run a Python script to its end; return what was emitted."""
    collected = emit or Collected()
    child = Child(ChildConfig(command=(sys.executable, "-c", script)), make_context("child"))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, child.reap)
    try:
        child.start()
        await child.run(collected)
    finally:
        loop.remove_signal_handler(signal.SIGCHLD)
        await child.close()
        for stream in child._streams:
            await asyncio.to_thread(stream._thread.join, 10)
        for pipe in (child._process.stdout, child._process.stderr):
            pipe.close()
    return collected


async def test_a_line_without_an_end_is_cut_and_counted(capfd, monkeypatch):
    """However much a child writes without a newline, no more than one piece is held, and nothing of it is lost."""
    monkeypatch.setattr(module, "LONGEST", 100_000)

    found = await collect("import sys; sys.stdout.write('x' * 50_000 * 10 + '\\nend\\n')")

    assert found.dropped("oversized") >= 3
    assert [body for body in found.bodies if body == "end"] == ["end"]
    assert len(capfd.readouterr().out) == 500_005


async def test_offsets_run_on_over_a_cut_line(capfd, monkeypatch):
    """The piece after a cut begins where the one before ended: no byte is counted twice."""
    monkeypatch.setattr(module, "LONGEST", 1000)

    found = await collect("import sys,time; sys.stdout.write('x' * 1500); sys.stdout.flush(); time.sleep(0.2); print('yz'); print('last')")

    records = {record.body[:4]: record.offset for batch in found.batches for record in batch.records}
    assert records["last"] == 1503
    capfd.readouterr()


async def test_a_process_left_behind_that_writes_without_end_does_not_hold_the_end_up(capfd, monkeypatch):
    """The source ends although somebody else floods the pipe, and the thread that passes bytes through raises nothing."""
    monkeypatch.setattr(module, "AFTERWARDS", 0.1)
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    script = (
        "import os, sys\n"
        "if os.fork(): print('parent', flush=True); os._exit(0)\n"
        "import time; end = time.monotonic() + 4\n"
        "while time.monotonic() < end: os.write(1, b'f' * 999 + b'\\n')\n"
    )

    began = time.monotonic()
    found = await collect(script)

    assert found.last - began < 3.5
    assert "parent" in found.bodies
    assert found.bodies[-1] == "process exited with code 0"
    assert raised == []
    capfd.readouterr()


async def test_a_slow_collector_gets_all_that_the_child_wrote(capfd, monkeypatch):
    """What is still in the pipe when the grace after the child's end is over is the child's, and is collected."""
    monkeypatch.setattr(module, "AFTERWARDS", 0.05)
    wanted = [f"{n:099}" for n in range(5000)]

    class Slow(Collected):
        async def __call__(self, batch):
            await asyncio.sleep(0.1)
            await super().__call__(batch)

    found = await collect("for n in range(5000): print(f'{n:099}')", Slow())

    assert [body for body in found.bodies if len(body) == 99] == wanted
    capfd.readouterr()


@pytest.mark.parametrize(("returncode", "name", "code"), [(-11, "SIGSEGV", 139), (-35, "SIG35", 163), (3, "", 3)])
def test_every_way_to_end_has_a_name_and_a_code(returncode, name, code):
    """Also signals that the standard library has no name for."""
    assert (Exit(returncode).signal_name, Exit(returncode).code) == (name, code)


def test_a_non_blocking_output_gets_every_byte():
    """When our stdout was made non-blocking by whoever shares it, bytes are waited for, not dropped."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETFL, os.O_NONBLOCK)
    data, got = os.urandom(1 << 20), []

    def drain():
        while chunk := os.read(read, 4096):
            got.append(chunk)

    reader = threading.Thread(target=drain)
    reader.start()
    module._write_all(write, data)
    os.close(write)
    reader.join(timeout=10)
    os.close(read)

    assert b"".join(got) == data
