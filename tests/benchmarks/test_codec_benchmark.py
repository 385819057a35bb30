"""The cost of a line from bytes to bytes, for each stage: parse, redact, encode. It reports, and does not fail on a noisy machine.

`python -m pytest -m benchmark tests/benchmarks/test_codec_benchmark.py -s` prints microseconds of CPU per line, the least of several rounds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from agent.encode.otlp_decode import decode_logs
from agent.encode.otlp_logs import LogEncoder
from agent.parse.lines import Parser
from agent.record import Origin
from agent.redact.redactor import Redactor

sys.path.insert(0, str(Path(__file__).parent))
import work

pytestmark = pytest.mark.benchmark

COUNT = 20_000
CHUNK = 800
ROUNDS = 7
ORIGIN = Origin("f", {"log.file.path": "/var/log/app/app.log", "log.file.name": "app.log"})


def structlog_json():
    """The work of all figures."""
    return work.lines(1, COUNT)


def docker_json():
    """The same in a container's file."""
    for line in work.lines(1, COUNT):
        wrapped = {"log": line.decode(), "stream": "stdout", "time": "2026-11-22T10:00:00.123456789Z"}
        yield json.dumps(wrapped, separators=(",", ":")).encode() + b"\n"


def cri_json():
    """The same in a file of a Kubernetes runtime's."""
    return (b"2026-11-22T10:00:00.123456789Z stdout F " + line for line in work.lines(1, COUNT))


def pino_json():
    """Numeric levels and times."""
    for number in range(COUNT):
        yield b'{"level":30,"time":%d,"pid":17,"hostname":"web-1","reqId":%d,"msg":"request completed","responseTime":12}\n' % (
            1_790_000_000_000 + number,
            number,
        )


def logfmt():
    """Pairs."""
    return (
        b'ts=2026-11-22T10:00:00.123456Z level=info msg="order placed" n=%d symbol=BTC-USD price=1.5 dry_run=true\n' % number
        for number in range(COUNT)
    )


def python_text():
    """The layout of most Python services, with a traceback now and then."""
    for number in range(COUNT):
        yield b"2026-11-22 10:00:00,123 - app.orders - INFO - order %d placed\n" % number


def with_secrets():
    """Every record has something to be redacted: the search over the chunk always hits."""
    return (line.replace(b'"symbol"', b'"session_id"') for line in work.lines(1, COUNT))


def chunks(lines):
    """Chunks as a tailer cuts them."""
    placed, offset = [], 0
    for line in lines:
        placed.append((offset, line[:-1]))
        offset += len(line)
    return [placed[start : start + CHUNK] for start in range(0, len(placed), CHUNK)]


def once(parts):
    """One round: CPU seconds per stage, and the records that were encoded."""
    parser, redactor, encoder = Parser(), Redactor(), LogEncoder({"service.name": "bench"})
    spent, records_out, clock = [0.0, 0.0, 0.0], 0, time.process_time
    for part in parts:
        start = clock()
        records, _ = parser.parse_chunk(part, ORIGIN, 1_795_348_800_000_000_000)
        parsed = clock()
        records, _ = redactor.redact(records, parser.text)
        clean = clock()
        encoder.encode(records)
        end = clock()
        spent = [total + more for total, more in zip(spent, (parsed - start, clean - parsed, end - clean), strict=True)]
        records_out += len(records)
    return spent, records_out + len(parser.flush(0))


@pytest.mark.parametrize(
    "make", [structlog_json, docker_json, cri_json, pino_json, logfmt, python_text, with_secrets], ids=lambda make: make.__name__
)
def test_a_line_from_bytes_to_bytes(make):
    """Every line comes out as a record; the cost is printed."""
    parts = chunks(make())
    rounds = [once(parts) for _ in range(ROUNDS)]

    assert {count for _, count in rounds} == {COUNT}
    stages = [min(spent[stage] for spent, _ in rounds) / COUNT * 1e6 for stage in range(3)]
    print(
        f"\n{make.__name__:15} parse {stages[0]:5.2f}  redact {stages[1]:5.2f}  encode {stages[2]:5.2f}  together {sum(stages):5.2f} µs of CPU per line"
    )


def test_the_work_is_what_it_is_said_to_be():
    """Some 300 bytes, 11 to 13 fields except in errors, one error in a hundred, half with ids, numbered; nothing of it is lost on the way."""
    made = [json.loads(line) for line in work.lines(7, 5_000)]
    sizes = [len(line) for line in work.lines(7, 5_000)]
    records, _ = Parser().parse_chunk(chunks(work.lines(7, 800))[0], ORIGIN, 1)
    found = list(decode_logs(LogEncoder({}).encode(records)))

    assert 280 <= sum(sizes) / len(sizes) <= 340
    assert {len(fields) for fields in made} == {11, 12, 13, 14}
    assert 20 <= sum("exception" in fields for fields in made) <= 90
    assert 2_200 <= sum("trace_id" in fields for fields in made) <= 2_800
    assert [one["attributes"]["n"] for one in found] == list(range(800))
