"""Seeded market scenarios: endless price paths made of phases, the same for the same seed, and what prints them."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from itertools import chain, cycle
from random import Random

from msgspec import Struct

from strategy_agent.model import Tick


class Phase(Struct, frozen=True):
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


class Scenario(Struct, frozen=True):
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
MAX_LAG = 1.0
"""Seconds behind schedule after which the driver forgets the past instead of flooding."""


class MarketPoint(Struct, frozen=True):
    """One step of a scenario; ``price`` is None while the feed is silent."""

    symbol: str
    phase: str
    price: float | None


def price_path(scenario: Scenario, seed: int, symbol: str) -> Iterator[MarketPoint]:
    """Yield one symbol's steps, for ever; a pure function of the three arguments."""
    rng = Random(f"{seed}:{scenario.name}:{symbol}")  # noqa: S311 - repeatable, not secret
    level = math.log(START_PRICE)
    for phase in cycle(scenario.phases):
        anchor = level
        for _ in range(phase.ticks):
            if phase.silent:
                yield MarketPoint(symbol, phase.name, None)
                continue
            sigma = phase.sigma * (5.0 if rng.random() < phase.jolt else 1.0)
            level += phase.drift + rng.gauss(0.0, sigma) - phase.pull * (level - anchor)
            yield MarketPoint(symbol, phase.name, math.exp(level))


def market(scenario: Scenario, seed: int, symbols: tuple[str, ...]) -> Iterator[MarketPoint]:
    """Return the steps of all symbols in turn."""
    paths = [price_path(scenario, seed, symbol) for symbol in symbols]
    return chain.from_iterable(zip(*paths, strict=True))


async def drive_market(
    publish: Callable[[Tick], object], scenario: Scenario, seed: int, symbols: tuple[str, ...], rate: float
) -> None:
    """Print the scenario's trades at ``rate`` per second, without drift, until cancelled.

    A trade is stamped with the moment at which it was due: two runs of a seed differ in their start only.
    """
    loop = asyncio.get_running_loop()
    start, opened = loop.time(), time.time()
    for step, point in enumerate(market(scenario, seed, symbols)):
        ahead = start + step / rate - loop.time()
        if ahead > 0:
            await asyncio.sleep(ahead)
        elif ahead < -MAX_LAG:
            start -= ahead
            opened -= ahead
        if point.price is not None:
            publish(Tick(point.symbol, point.price, opened + step / rate))
