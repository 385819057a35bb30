"""R1: kills at random times under load, and the million."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tests.support.otlp_process import OtlpProcess
from tests.torture.scene import BAD_SERVER, Load, Scene

if TYPE_CHECKING:
    from pathlib import Path

    from tests.torture.check import Verdict

START = 0.2
"""The share of the kills that come while the agent starts."""
MILLION = 1_000_000
MILLION_KILLS = 200


class Outcome(NamedTuple):
    """The outcome of the run."""

    verdict: Verdict
    landed: Counter[str]
    """At how many kills the agent had passed which point last."""
    kills: int
    seconds: float


def random_kills(folder: Path, load: Load, kills: int, plan: str = BAD_SERVER) -> Outcome:
    """Kill so often at random times under load; no more is issued than the kills take."""
    return _torture(folder, load, kills, plan, spread=0.0)


def million(folder: Path, seed: int, *, count: int = MILLION, kills: int = MILLION_KILLS, rate: int = 2500) -> Outcome:
    """The whole promise at once: so many records, kills all over the time that they take, all rotations, a bad server."""
    load = Load(seed, count=count, rate=rate, rotate_every=count // 80)
    return _torture(folder, load, kills, BAD_SERVER, spread=count / rate / kills)


def _torture(folder: Path, load: Load, kills: int, plan: str, spread: float) -> Outcome:
    """`spread` is the time between two kills in seconds; 0 = one comes soon after the other, and the load ends with the last."""
    chance, landed, begin = random.Random(load.seed), Counter[str](), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with OtlpProcess(folder / "store", plan=plan) as server:
        scene = Scene(folder, load, server)
        scene.introduce()
        oracle, first = scene.start_oracle(), time.monotonic()
        for number in range(kills):
            agent = scene.start_agent()
            _let_live(scene, chance, first + number * spread)
            landed[scene.kill(agent)] += 1
        if not spread:
            scene.end_oracle(oracle)
        return Outcome(scene.finish(oracle), landed, scene.kills, time.monotonic() - begin)


def _let_live(scene: Scene, chance: random.Random, until: float) -> None:
    """Until a random moment: in the agent's start, in the work that has piled up, or later."""
    time.sleep(max(0.0, until - time.monotonic()))
    if chance.random() < START:
        time.sleep(chance.random() * 0.8)
        return
    scene.wait_ready()
    time.sleep(chance.random() ** 2)
