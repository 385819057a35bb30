"""Stress test of the strategy router: steady trend, flash crash with chaos, high-frequency noise.

    python stress_test_router.py            one line per scenario and 100 ticks, then the verdict
    python stress_test_router.py --every 1  every tick

Each tick's quality, allocation scalar and regime are logged at INFO. The exit code is 0 if every expectation held, 1
if not; the verdict says which did not.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite

from strategy_agent.bots import TestBot
from strategy_agent.market import SCENARIOS, Phase, price_path
from strategy_agent.model import AccountData, Decision, Regime
from strategy_agent.router import StrategyRouter

CRASH_WITHIN = 60
"""Ticks from the start of the fall until the router must have noticed."""

MAX_MEAN_TICK_SECONDS = 0.001

log = logging.getLogger("stress_test_router")


@dataclass(frozen=True, slots=True)
class Step:
    """One tick of a scenario with what the router made of it."""

    number: int
    phase: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Expectation:
    """A sentence about a scenario's steps, and the check of it."""

    sentence: str
    holds: Callable[[Sequence[Step]], bool]


def share(steps: Sequence[Step], *regimes: Regime) -> float:
    """Return the part of the steps spent in these regimes."""
    return sum(step.decision.regime in regimes for step in steps) / len(steps)


def mean_scalar(steps: Sequence[Step]) -> float:
    """Return the mean allocation scalar."""
    return sum(step.decision.allocation_scalar for step in steps) / len(steps)


def during(steps: Sequence[Step], *phases: str) -> list[Step]:
    """Return the steps of these phases."""
    return [step for step in steps if step.phase in phases]


def sane(steps: Sequence[Step]) -> bool:
    """Say whether all figures are finite and within their ranges."""
    return all(
        isfinite(step.decision.signal)
        and 0.0 <= step.decision.quality <= 1.0
        and 0.0 <= step.decision.allocation_scalar <= 1.0
        for step in steps
    )


def crash_noticed(steps: Sequence[Step]) -> bool:
    """Say whether the crash regime came within ``CRASH_WITHIN`` ticks of the fall."""
    fall = during(steps, "crash", "chaos")[:CRASH_WITHIN]
    return any(step.decision.regime is Regime.CRASH for step in fall)


ALWAYS = Expectation("every figure is finite and within its range", sane)

EXPECTATIONS = {
    "steady-trend": (
        ALWAYS,
        Expectation("a trend is seen in the climb", lambda steps: share(during(steps, "up"), Regime.TREND) > 0.8),
        Expectation("no crash is seen where none is", lambda steps: share(steps, Regime.CRASH) == 0),
        Expectation("capital is let work", lambda steps: mean_scalar(during(steps, "up")) > 0.6),
    ),
    "flash-crash": (
        ALWAYS,
        Expectation("no crash is seen before it comes", lambda steps: share(during(steps, "calm"), Regime.CRASH) == 0),
        Expectation(f"the crash is noticed within {CRASH_WITHIN} ticks", crash_noticed),
        Expectation("allocation falls in the chaos", lambda steps: mean_scalar(during(steps, "chaos")) < 0.1),
        Expectation("allocation recovers after it", lambda steps: mean_scalar(during(steps, "rebound")[-300:]) > 0.4),
    ),
    "hf-noise": (
        ALWAYS,
        Expectation("noise is seen as volatility", lambda steps: share(steps[50:], Regime.VOLATILE) > 0.9),
        Expectation("no crash is seen where none is", lambda steps: share(steps, Regime.CRASH) == 0),
        Expectation("allocation stays low", lambda steps: mean_scalar(steps[50:]) < 0.3),
    ),
}


def simulate(scenario: str, seed: int, ticks: int) -> tuple[list[Step], float]:
    """Run the router over a scenario; return the steps and the mean seconds per tick."""
    router = StrategyRouter()
    router.register_bot(TestBot())
    account = AccountData()
    points = islice(price_path(SCENARIOS[scenario], seed, "BTC-USD"), ticks)
    steps = []
    started = time.perf_counter()
    for number, point in enumerate(points, 1):
        if point.price is not None:
            decision = router.process_tick(point.symbol, point.price, account)
            steps.append(Step(number, point.phase, decision))
    return steps, (time.perf_counter() - started) / ticks


def whole(phases: Sequence[Phase]) -> int:
    """Return the ticks of one round of a scenario."""
    return sum(phase.ticks for phase in phases)


def report(scenario: str, steps: Sequence[Step], every: int) -> None:
    """Log every so many steps."""
    for step in steps[::every]:
        decision = step.decision
        log.info(
            "%-12s tick=%-5d phase=%-8s price=%9.4f quality=%.4f allocation_scalar=%.4f regime=%s",
            scenario, step.number, step.phase, decision.price, decision.quality, decision.allocation_scalar,
            decision.regime,
        )  # fmt: skip


def failures(scenario: str, steps: Sequence[Step], seconds_per_tick: float) -> list[str]:
    """Return the expectations that do not hold."""
    broken = [f"{scenario}: {each.sentence}" for each in EXPECTATIONS[scenario] if not each.holds(steps)]
    if seconds_per_tick > MAX_MEAN_TICK_SECONDS:
        broken.append(f"{scenario}: a tick takes less than {MAX_MEAN_TICK_SECONDS * 1e3:g} ms")
    return broken


def main(argv: Sequence[str] | None = None) -> int:
    """Run all scenarios and return the exit code."""
    parser = argparse.ArgumentParser(description="Stress test of the strategy router.")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--every", type=int, default=100, metavar="N", help="log every Nth tick (%(default)s)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout)
    broken: list[str] = []
    for scenario in EXPECTATIONS:
        steps, seconds = simulate(scenario, arguments.seed, whole(SCENARIOS[scenario].phases))
        report(scenario, steps, max(1, arguments.every))
        broken += failures(scenario, steps, seconds)
    for sentence in broken:
        log.error("does not hold: %s", sentence)
    checked = sum(map(len, EXPECTATIONS.values())) + len(EXPECTATIONS)
    log.info("verdict: %s (%d of %d expectations held)", "FAIL" if broken else "PASS", checked - len(broken), checked)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
