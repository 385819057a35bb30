"""The stress test as a program."""

from __future__ import annotations

import re

import pytest

from tests.support import command

pytestmark = pytest.mark.router

LINE = re.compile(
    r"INFO stress_test_router (\S+) +tick=\d+ +phase=\w+ +price=[ \d.]+ "
    r"quality=0\.\d{4} allocation_scalar=[01]\.\d{4} regime=(\w+)$"
)


def test_it_shows_three_scenarios_and_a_verdict() -> None:
    """Every line has quality, scalar and regime; all scenarios and regimes occur; the end is a pass."""
    done = command("stress_test_router.py", "--every", "20")
    *lines, verdict = done.stdout.splitlines()
    found = [match.groups() for match in map(LINE.search, lines) if match]
    assert len(found) == len(lines)
    assert {scenario for scenario, _ in found} == {"steady-trend", "flash-crash", "hf-noise"}
    assert {regime for _, regime in found} == {"trend", "range", "volatile", "crash"}
    assert verdict.endswith("verdict: PASS (13 of 13 expectations held)")
    assert done.returncode == 0


def test_it_fails_when_an_expectation_does_not_hold() -> None:
    """A router that does not see crashes is found out: exit code 1, and the sentence that does not hold."""
    blind = (
        "import sys, stress_test_router as stress; "
        "from strategy_agent import regime; "
        "regime.CRASH_DRAWDOWN = (2.0, 2.0); "
        "sys.exit(stress.main([]))"
    )
    done = command("-c", blind)
    assert done.returncode == 1
    assert "does not hold: flash-crash: the crash is noticed within 60 ticks" in done.stdout
    assert "verdict: FAIL" in done.stdout
