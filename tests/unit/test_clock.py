from __future__ import annotations

import time

import pytest

from agent.clock import SystemClock
from agent.encode.otlp_logs import LogEncoder
from agent.parse.lines import Parser
from agent.record import Origin


@pytest.mark.parametrize("now", [-1, -2, -(86400 * 10**9), -(10**18)])
def test_a_clock_before_1970_stops_nothing(monkeypatch: pytest.MonkeyPatch, now: int):
    """With the machine's clock set to before 1970, a record has the time 0, and can be encoded."""
    monkeypatch.setattr(time, "time_ns", lambda: now)
    observed = SystemClock().wall_ns()
    assert observed == 0
    parser = Parser("plain")
    records, _ = parser.parse_chunk([(0, b"line")], Origin("file"), observed)
    assert LogEncoder({}).encode([*records, *parser.flush(observed)])
