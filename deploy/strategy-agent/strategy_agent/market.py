"""Seeded market scenarios: endless price paths made of phases, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from math import exp, log
from random import Random


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of one scenario.

    ``ticks`` per symbol. ``drift`` and ``sigma`` are log returns per tick. ``pull`` is the share of the distance
    from the anchor (where the phase began) that each tick takes back. With probability ``jolt`` a tick has five
    times the usual sigma. A ``silent`` phase lets time pass without a tick.
    """

    name: str
    ticks: int
    drift: float = 0.0
    sigma: float = 2e-4
    pull: float = 0.0
    jolt: float = 0.0
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """Phases that repeat for ever, and whether the venues misbehave as well."""

    name: str
    phases: tuple[Phase, ...]
    venue_chaos: bool = False


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("quiet", (Phase("quiet", 1000, sigma=1e-4, pull=0.02),)),
        Scenario("steady-trend", (Phase("up", 3000, drift=1e-4), Phase("down", 3000, drift=-1e-4))),
        Scenario(
            "flash-crash",
            (
                Phase("calm", 1500, drift=2e-5),
                Phase("crash", 60, drift=-2.2e-3, sigma=1e-3),
                Phase("chaos", 500, sigma=1.2e-3, pull=0.01, jolt=0.05),
                Phase("rebound", 1200, drift=1e-4, sigma=4e-4),
            ),
            venue_chaos=True,
        ),
        Scenario("hf-noise", (Phase("noise", 2000, sigma=8e-4, pull=0.2, jolt=0.01),)),
        Scenario("feed-loss", (Phase("calm", 800), Phase("silence", 600, silent=True))),
    )
}
"""The scenarios by name."""

START_PRICE = 100.0


@dataclass(frozen=True, slots=True)
class MarketPoint:
    """One step of a scenario; ``price`` is None while the feed is silent."""

    symbol: str
    phase: str
    price: float | None


def price_path(scenario: Scenario, seed: int, symbol: str) -> Iterator[MarketPoint]:
    """Yield one symbol's steps, for ever; a pure function of the three arguments."""
    rng = Random(f"{seed}:{scenario.name}:{symbol}")  # noqa: S311 - repeatable, not secret
    level = log(START_PRICE)
    for phase in cycle(scenario.phases):
        anchor = level
        for _ in range(phase.ticks):
            if phase.silent:
                yield MarketPoint(symbol, phase.name, None)
                continue
            sigma = phase.sigma * (5.0 if rng.random() < phase.jolt else 1.0)
            level += phase.drift + rng.gauss(0.0, sigma) - phase.pull * (level - anchor)
            yield MarketPoint(symbol, phase.name, exp(level))


def market(scenario: Scenario, seed: int, symbols: tuple[str, ...]) -> Iterator[MarketPoint]:
    """Yield the steps of all symbols in turn."""
    paths = [price_path(scenario, seed, symbol) for symbol in symbols]
    while True:
        for path in paths:
            yield next(path)
