"""A writer that rotates as fast as it can, a source that is stopped and started at any moment, in real time."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from agent.clock import SystemClock
from agent.component import Context
from agent.metrics import Metrics
from agent.sources.log_files import LogFiles
from agent.telemetry import Telemetry
from agent.testing.sink import Sink

if TYPE_CHECKING:
    from pathlib import Path

ROTATIONS = 100
"""Of each kind."""


class Writer(threading.Thread):
    """Writes numbered lines and rotates: by renaming, by renaming and compressing, by copying and truncating (at rest)."""

    def __init__(self, path: Path, kind: str, seed: int) -> None:
        super().__init__()
        self.path = path
        self.kind = kind
        self.random = random.Random(seed)
        self.lines = 0

    def run(self) -> None:
        for number in range(ROTATIONS):
            for _ in range(self.random.randrange(1, 5)):
                self.write(self.random.randrange(1, 40))
            rotated = self.path.with_name(f"{self.path.name}-{number:06}")
            getattr(self, self.kind)(rotated)
        self.write(10)

    def write(self, count: int) -> None:
        with self.path.open("a") as file:
            for _ in range(count):
                self.lines += 1
                file.write(f'{{"event": "line", "number": {self.lines}}}\n')
                if self.random.random() < 0.1:
                    file.flush()  # often in the middle of a batch, so that a poll sees some of it

    def rename(self, rotated: Path) -> None:
        self.path.rename(rotated)

    def compress(self, rotated: Path) -> None:
        self.path.rename(rotated)
        with rotated.open("rb") as plain, gzip.open(f"{rotated}.gz", "wb") as packed:
            shutil.copyfileobj(plain, packed, 512)
        shutil.copystat(rotated, f"{rotated}.gz")
        rotated.unlink()

    def copytruncate(self, rotated: Path) -> None:
        shutil.copyfile(self.path, rotated)
        os.truncate(self.path, 0)


@pytest.mark.timeout(110)
@pytest.mark.parametrize("include", ["app.log", "app.log*"])
@pytest.mark.parametrize("kind", ["rename", "compress", "copytruncate"])
async def test_nothing_is_lost_or_repeated(tmp_path, open_files, kind, include):
    """Every line arrives once, whatever is rotated while the source is stopped and started at random."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    sink = Sink(refuse=lambda: writer.is_alive() and dice.random() < 0.02)
    writer = Writer(tmp_path / "app.log", kind, seed)
    (tmp_path / "app.log").touch()
    await run_for(sink, str(tmp_path / include), 1.0)  # files that are rotated before the first scan are not tested here
    writer.start()
    try:
        while writer.is_alive():
            await run_for(sink, str(tmp_path / include), dice.uniform(0.0, 0.2))
    finally:
        await asyncio.to_thread(writer.join)
    while await run_for(sink, str(tmp_path / include), 1.0):
        pass
    numbers = [record.attributes["number"] for record in sink.records]
    missing = sorted(set(range(1, writer.lines + 1)) - set(numbers))
    assert not missing, f"{len(missing)} of {writer.lines} lost, as {missing[:10]}; {sink.drops}"
    repeated = sorted(number for number in set(numbers) if numbers.count(number) > 1)
    assert not repeated, f"{len(repeated)} of {writer.lines} repeated, as {repeated[:10]}"
    assert not sink.drops


async def run_for(sink: Sink, include: str, seconds: float) -> int:
    """Run a source for a while, then drop it wherever it is; how many records it brought."""
    before = len(sink.records)
    clock = SystemClock()
    metrics = Metrics({}, clock)
    context = Context(name="app", clock=clock, metrics=metrics, telemetry=Telemetry(metrics, clock), resource={}, positions=sink.positions)
    config = LogFiles.Config(include=(include,), format="json", poll_interval=0.01, rotated_idle=0.3)
    task = asyncio.create_task(LogFiles(config, context).run(sink.emit))
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return len(sink.records) - before
