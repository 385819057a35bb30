"""One stream of many kinds of lines, read by a real agent: all of it arrives, in order, and nothing waits for long."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from agent.parse.limits import INCOMPLETE, OPEN_AGE
from tests.support.agent_process import AgentProcess, wait_until
from tests.support.otlp_process import OtlpProcess
from tests.support.waiting import Waiting

if TYPE_CHECKING:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

pytestmark = pytest.mark.alone

LINES = 100_000
SLACK = 1.5
"""Seconds for looking at the file (0.2), for reading and for storing; the time that the machine gave to others comes on top."""
WRITER = r"""
import sys, time
out = open(sys.argv[1], "ab", buffering=0)
total, number = int(sys.argv[2]), 0

def mark():
    global number
    number += 1
    return "#%06d@%d#" % (number, time.time_ns())

def trace(prefix=""):
    return [prefix + line for line in ("Traceback (most recent call last):", '  File "/srv/a.py", line 3, in f', "    g() # " + mark(), "ValueError: " + mark())]

def burst():
    yield "2026-11-22 10:00:00,123 INFO shop.web: order placed " + mark()
    for _ in range(30):
        yield '192.0.2.7 - - [22/Nov/2026 10:00:05] "GET /%s HTTP/1.1" 200 -' % mark()
    yield "2026-11-22 10:00:00,123 ERROR shop.web: failed " + mark()
    yield from trace()
    yield '[22/Nov/2026 10:00:05] "GET /%s HTTP/1.1" 500 17' % mark()
    yield "load: %s  40%%|████      | 4/10 [00:01<00:02,  2.1it/s]" % mark()
    yield '{"level":"info","event":"%s"}' % mark()
    yield "{"
    yield '  "event": "%s"' % mark()
    yield "}"
    for one, two in zip(trace("[rank0]: "), trace("[rank1]: ")):
        yield one
        yield two
    yield "Exception in thread feed-%s:" % mark()
    yield from trace()
    yield "Nov 22 10:00:05 node1 app[17]: " + mark()
    yield "words " + mark()
    yield "  more words " + mark()

written, began = 0, time.monotonic()
while written < total:
    lines = list(burst())
    out.write(("\n".join(lines) + "\n").encode())
    written += len(lines)
    time.sleep(max(0.0, began + written / 8000 - time.monotonic()))
out.write(("2026-11-22 10:00:00,123 ERROR shop.web: slow " + mark() + "\n").encode())
for _ in range(50):
    time.sleep(0.1)
    out.write(("more of it " + mark() + "\n").encode())
print(number)
"""


def test_a_hundred_thousand_mixed_lines_arrive_complete_in_order_and_soon(tmp_path):
    """Each line's number comes out once, a record's lines in order, and none later than the stated age after it was written.

    The time in which the agent was ready to run, and the machine ran something else, is not counted.
    """
    log = tmp_path / "app.log"
    log.touch()
    with (
        OtlpProcess(tmp_path / "store") as server,
        AgentProcess(tmp_path / "state", OUTRIDER_LOG_FILES=str(log), OTEL_EXPORTER_OTLP_ENDPOINT=server.url) as agent,
        Waiting(agent.process.pid) as waiting,
    ):
        done = subprocess.run([sys.executable, "-c", WRITER, str(log), str(LINES)], stdout=subprocess.PIPE, check=True, timeout=100)
        count = int(done.stdout)
        last = f"#{count:06d}@".encode()
        wait_until(lambda: any(last in body for body in server.bodies()), "the last line arrives", 60.0)
        assert agent.process.poll() is None
    records = [
        record
        for body in server.bodies()
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]

    numbers = [[int(number) for number, _ in marks(record)] for record in records]
    assert Counter(number for one in numbers for number in one) == Counter(range(1, count + 1))
    assert all(one == sorted(one) for one in numbers)
    access = [one[0] for one, record in zip(numbers, records, strict=True) if "GET /" in text(record)]
    assert len(access) > LINES / 3
    assert access == sorted(access)
    spans = [(int(marks(record)[0][1]), record.observed_time_unix_nano) for record in records]
    assert max(seen - written - waiting.between(written, seen) for written, seen in spans) < (OPEN_AGE + SLACK) * 1e9
    assert [INCOMPLETE in str(record.attributes) for record in records if "slow #" in text(record)] == [True]


def text(record: LogRecord) -> str:
    """The text of a record, a traceback in place of its exception."""
    body = str(record.body.string_value)
    stack = next((one.value.string_value for one in record.attributes if one.key == "exception.stacktrace"), "")
    return f"{'' if body.startswith('ValueError: ') else body} {stack}"


def marks(record: LogRecord) -> list[tuple[str, str]]:
    """Number and time of the lines that a record holds."""
    return re.findall(r"#(\d{6})@(\d+)#", text(record))
