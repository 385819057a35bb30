"""The real logrotate in every mode, while the source runs, and while it is stopped and started at any moment."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from agent.clock import SystemClock
from agent.component import Context
from agent.metrics import Metrics
from agent.sources.log_files import LogFiles
from agent.telemetry import Telemetry
from agent.testing.sink import Sink
from tests.support.logrotate import PROGRAM, faults, start

SECONDS = 6.0

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="logrotate is not installed")


@pytest.mark.slow
@pytest.mark.timeout(110)
@pytest.mark.parametrize("kills", [False, True])
async def test_each_line_once_in_every_mode(tmp_path, open_files, kills):
    """Files with the same first line, rotated by logrotate in each mode: nothing is lost, repeated or said to be lost."""
    sink, writers = Sink(), start(tmp_path / "logs")
    include = str(tmp_path / "logs" / "*.log")
    await run_for(sink, include, 0.5)
    for writer in writers:
        writer.start()
    dice, end = random.Random(), asyncio.get_running_loop().time() + SECONDS
    while (left := end - asyncio.get_running_loop().time()) > 0:
        await run_for(sink, include, min(left, dice.uniform(0.05, 0.5)) if kills else left)
    for writer in writers:
        await asyncio.to_thread(writer.stop)
    while await run_for(sink, include, 1.5):
        pass
    numbers = {writer.mode: [] for writer in writers}
    headers = Counter()
    for record in sink.records:
        if "n" in record.attributes:
            numbers[record.attributes["mode"]].append(record.attributes["n"])
        else:
            headers[record.origin.attributes["log.file.name"].partition(".log")[0]] += 1
    found = {writer.mode: faults(writer, numbers[writer.mode], headers[writer.mode]) for writer in writers}
    assert {mode: fault for mode, fault in found.items() if fault} == {}
    assert all(writer.rotations > 2 for writer in writers), {writer.mode: writer.rotations for writer in writers}
    assert not sink.drops


async def run_for(sink: Sink, include: str, seconds: float) -> int:
    """Run a source for a while, then drop it wherever it is; how many records it brought."""
    before = len(sink.records)
    clock = SystemClock()
    metrics = Metrics({}, clock)
    context = Context(name="app", clock=clock, metrics=metrics, telemetry=Telemetry(metrics, clock), resource={}, positions=sink.positions)
    config = LogFiles.Config(include=(include,), format="json", poll_interval=0.05, rotated_idle=0.3)
    task = asyncio.create_task(LogFiles(config, context).run(sink.emit))
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return len(sink.records) - before
