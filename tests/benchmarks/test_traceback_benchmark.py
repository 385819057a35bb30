"""How fast lines are joined and tracebacks read: plain log text of which one line in a hundred is a traceback's."""

from __future__ import annotations

import pytest

from agent.parse.traceback import Joint, TracebackJoiner, find_tracebacks, parse_traceback

pytestmark = pytest.mark.benchmark

LINES = 50_000
RECORD = b"2026-11-22 14:00:00,123 INFO app.feed: tick symbol=BTC-USDT bid=64000.5 ask=64001.0 latency_us=312 seq=%d\n"
TRACEBACK = [
    b"Traceback (most recent call last):\n",
    b'  File "/srv/app/main.py", line 31, in tick\n',
    b"    self.router.submit(order)\n",
    b"    ~~~~~~~~~~~~~~~~~~^^^^^^^\n",
    b'  File "/srv/app/router.py", line 77, in submit\n',
    b"    return self.venues[order.venue].send(order)\n",
    b"           ~~~~~~~~~~~^^^^^^^^^^^^^\n",
    b"KeyError: 'binance'\n",
]


def log(share: int) -> list[bytes]:
    """Log lines; of every `share` records one is followed by a traceback of eight lines."""
    lines: list[bytes] = []
    while len(lines) < LINES:
        lines.append(RECORD % len(lines))
        if len(lines) % share == 0:
            lines += TRACEBACK
    return lines


def join(lines: list[bytes]) -> int:
    """The number of blocks the joiner sees."""
    feed = TracebackJoiner(lambda line: line[:1].isdigit()).feed
    return sum(feed(line) is Joint.START for line in lines)


def test_joining_lines_with_one_percent_of_tracebacks(benchmark) -> None:
    """Lines per second of the tailer's state machine."""
    lines = log(800)
    blocks = benchmark(join, lines)
    assert blocks == sum(line is TRACEBACK[0] for line in lines)
    benchmark.extra_info["lines_per_second"] = round(len(lines) / benchmark.stats["mean"])


def test_joining_nothing_but_tracebacks(benchmark) -> None:
    """The worst case: a storm of tracebacks."""
    lines = TRACEBACK * (LINES // len(TRACEBACK))
    assert benchmark(join, lines) == LINES // len(TRACEBACK)
    benchmark.extra_info["lines_per_second"] = round(len(lines) / benchmark.stats["mean"])


def test_finding_tracebacks_in_a_text(benchmark) -> None:
    """A chunk of log text searched for its tracebacks."""
    lines = log(800)
    text = b"".join(lines).decode()
    assert len(benchmark(find_tracebacks, text)) == sum(line is TRACEBACK[0] for line in lines)
    benchmark.extra_info["lines_per_second"] = round(len(lines) / benchmark.stats["mean"])


def test_reading_one_traceback(benchmark) -> None:
    """The field of one record."""
    info = benchmark(parse_traceback, b"".join(TRACEBACK).decode())
    assert info.type == "KeyError"
