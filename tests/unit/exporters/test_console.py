"""The console exporter: JSON lines on a descriptor that others share."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from agent.encode.otlp_logs import LogEncoder
from agent.errors import RetryableError
from agent.exporters.console import Console, ConsoleConfig
from agent.fds import read_some
from agent.record import LogRecord, Origin, Severity
from agent.testing.context import make_context
from agent.testing.exporters import make_row


def row(bodies):
    """A stored row of log records."""
    origin = Origin("o", {"log.iostream": "stdout"})
    records = [LogRecord(1, 2, Severity.INFO, "info", body, {"n": index}, origin, index) for index, body in enumerate(bodies)]
    return make_row(LogEncoder({"service.name": "shop"}).encode(records), records=len(records), source="app")


def make(fd: int) -> Console:
    """The exporter on a descriptor of the test's."""
    return Console(ConsoleConfig(), make_context(), {"stdout": fd})


async def test_one_line_per_record(tmp_path):
    """Each record is one line of JSON with its source, body and typed attributes."""
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    await make(fd).export(row(["first\nsecond", {"a": [1, 2.5, True]}]))
    os.close(fd)
    found = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [(record["source"], record["body"], record["attributes"]["n"]) for record in found] == [
        ("app", "first\nsecond", 0),
        ("app", {"a": [1, 2.5, True]}, 1),
    ]


async def test_a_slow_reader_is_waited_for():
    """More than a pipe holds is written without blocking the loop, complete and in order; the pipe stays in its blocking mode."""
    read, write = os.pipe()
    task = asyncio.get_running_loop().create_task(make(write).export(row(["x" * 1000] * 300)))
    data = b""
    while data.count(b"\n") < 300:
        data += await read_some(read)
    await task
    assert os.get_blocking(write)
    os.close(write)
    os.close(read)
    assert [json.loads(line)["attributes"]["n"] for line in data.splitlines()] == list(range(300))


async def test_a_reader_that_is_gone():
    """When no reader is left the row is kept."""
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(RetryableError, match="Broken pipe"):
        await make(write).export(row(["x"]))
    os.close(write)
