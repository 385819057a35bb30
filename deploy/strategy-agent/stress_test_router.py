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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from statistics import fmean

from strategy_agent.bots import TestBot
from strategy_agent.market import SCENARIOS, Scenario, price_path
from strategy_agent.model import AccountData, Decision, Regime
from strategy_agent.router import StrategyRouter

CRASH_WITHIN = 60
"""Ticks from the start of the fall until the router must have noticed."""

log = logging.getLogger("stress_test_router")


@dataclass(frozen=True, slots=True)
class Step:
    """One tick of a scenario with what the router made of it."""

    number: int
    phase: str
    decision: Decision


Steps = Sequence[Step]
Checks = dict[str, Callable[[Steps], bool]]


def share(steps: Steps, *regimes: Regime) -> float:
    """Return the part of the steps spent in these regimes."""
    return fmean(step.decision.regime in regimes for step in steps)


def mean_scalar(steps: Steps) -> float:
    """Return the mean allocation scalar."""
    return fmean(step.decision.allocation_scalar for step in steps)


def during(steps: Steps, *phases: str) -> Steps:
    """Return the steps of these phases."""
    return [step for step in steps if step.phase in phases]


def sane(steps: Steps) -> bool:
    """Say whether all figures are finite and within their ranges."""
    decisions = [step.decision for step in steps]
    fractions = [value for each in decisions for value in (each.quality, each.allocation_scalar)]
    return all(isfinite(each.signal) for each in decisions) and all(0.0 <= value <= 1.0 for value in fractions)


ALWAYS: Checks = {"every figure is finite and within its range": sane}
NO_CRASH: Checks = {"no crash is seen where none is": lambda steps: share(steps, Regime.CRASH) == 0}

EXPECTATIONS: dict[str, Checks] = {
    "steady-trend": {
        **ALWAYS,
        **NO_CRASH,
        "a trend is seen in the climb": lambda steps: share(during(steps, "up"), Regime.TREND) > 0.8,
        "capital is let work": lambda steps: mean_scalar(during(steps, "up")) > 0.6,
    },
    "flash-crash": {
        **ALWAYS,
        "no crash is seen before it comes": lambda steps: share(during(steps, "calm"), Regime.CRASH) == 0,
        f"the crash is noticed within {CRASH_WITHIN} ticks": lambda steps: (
            share(during(steps, "crash", "chaos")[:CRASH_WITHIN], Regime.CRASH) > 0
        ),
        "allocation falls in the chaos": lambda steps: mean_scalar(during(steps, "chaos")) < 0.1,
        "allocation recovers after it": lambda steps: mean_scalar(during(steps, "rebound")[-300:]) > 0.4,
    },
    "hf-noise": {
        **ALWAYS,
        **NO_CRASH,
        "noise is seen as volatility": lambda steps: share(steps[50:], Regime.VOLATILE) > 0.9,
        "allocation stays low": lambda steps: mean_scalar(steps[50:]) < 0.3,
    },
}
"""What must hold of a scenario's steps, as a sentence and the check of it."""


def simulate(scenario: Scenario, seed: int) -> list[Step]:
    """Run the router over one round of a scenario."""
    router = StrategyRouter()
    router.register_bot(TestBot())
    ticks = sum(phase.ticks for phase in scenario.phases)
    steps = []
    for number, point in enumerate(islice(price_path(scenario, seed, "BTC-USD"), ticks), 1):
        if point.price is not None:
            steps.append(Step(number, point.phase, router.process_tick(point.symbol, point.price, AccountData())))
    return steps


def report(scenario: str, step: Step) -> None:
    """Log a step."""
    log.info(
        "%-12s tick=%-5d phase=%-8s price=%9.4f quality=%.4f allocation_scalar=%.4f regime=%s",
        scenario, step.number, step.phase, step.decision.price, step.decision.quality,
        step.decision.allocation_scalar, step.decision.regime,
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run all scenarios and return the exit code."""
    parser = argparse.ArgumentParser(description="Stress test of the strategy router.")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--every", type=int, default=100, metavar="N", help="log every Nth tick (%(default)s)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout)
    broken = []
    for scenario, expectations in EXPECTATIONS.items():
        steps = simulate(SCENARIOS[scenario], arguments.seed)
        for step in steps[:: max(1, arguments.every)]:
            report(scenario, step)
        broken += [f"{scenario}: {sentence}" for sentence, holds in expectations.items() if not holds(steps)]
    for sentence in broken:
        log.error("does not hold: %s", sentence)
    checked = sum(map(len, EXPECTATIONS.values()))
    log.info("verdict: %s (%d of %d expectations held)", "FAIL" if broken else "PASS", checked - len(broken), checked)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
