"""R2: the agent kills itself at every named point. Each point has a play in which it is passed, and passed soon."""

from __future__ import annotations

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from agent.crash import FAULT, POINTS
from tests.support.otlp_process import OtlpProcess
from tests.torture.scene import BAD_SERVER, Load, Scene, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.torture.check import Verdict

PASSAGES = (1, 2, 3, 5, 8, 1, 4, 13)
"""At which passage the agent dies, in turn: early ones meet the work that piled up, later ones the quiet flow."""
LONGEST = 6.0
"""Seconds that an agent has to come by."""
ENDINGS = frozenset({"runtime.stopping", "runtime.sealed"})
SALVAGE = frozenset({"spool.salvage_moved", "spool.salvage_rows", "spool.salvage_done"})
EVICTION = frozenset({"spool.before_evict", "spool.after_evict"})
SHORTENING = frozenset({"spool.before_vacuum", "spool.after_vacuum"})
CHECKPOINTS = frozenset({"spool.before_checkpoint", "spool.after_checkpoint"})
FIRST = frozenset({"spool.migrate"})
"""Points that only the very first start passes: nothing was ever stored."""
ONCE = SALVAGE | ENDINGS | FIRST | {"runtime.started"}
"""Points that one life passes once."""
HEADER = 100
"""Bytes of the header of an SQLite file (fileformat.html, 1.3)."""


class Fate(NamedTuple):
    """What became of one point."""

    point: str
    died: int
    lives: int
    seconds: float
    verdict: Verdict


def at_points(folder: Path, seed: int, points: Sequence[str], lives: int, jobs: int) -> Iterator[tuple[int, Fate]]:
    """Try points, so many at the same time; each with a seed of its own, which comes first in what is yielded."""
    with ThreadPoolExecutor(jobs) as pool:
        seeds = {point: seed + REACHABLE.index(point) for point in points}
        yield from zip(seeds.values(), pool.map(lambda point: at_point(folder / point, seeds[point], point, lives), points), strict=True)


def at_point(folder: Path, seed: int, point: str, lives: int) -> Fate:
    """Let so many agents in a row die at the point, under load; none of them is told when."""
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    load = Load(seed, count=10**9, rate=1500, rotate_every=700)
    with OtlpProcess(folder / "store", plan=BAD_SERVER) as server:
        scene = Scene(folder, load, server)
        died = sum(die_at_first_start(scene, point, number) for number in range(lives)) if point in FIRST else 0
        scene.introduce()
        oracle = scene.start_oracle()
        play = _play(point)
        died += sum(play(scene, point, number) for number in range(0 if point in FIRST else lives))
        scene.end_oracle(oracle)
        verdict = scene.finish(oracle)
        return Fate(point, died, lives, time.monotonic() - begin, verdict)


def _play(point: str):
    if point in ENDINGS:
        return die_at_end
    if point in SALVAGE:
        return die_in_salvage
    if point in EVICTION:
        return die_when_full
    if point == "tail.rotation_closed":
        return die_when_impatient
    if point in CHECKPOINTS:
        return die_with_a_short_log
    return die_when_emptied if point in SHORTENING else die_under_load


def fault(point: str, number: int) -> dict[str, str]:
    """The variable that lets the agent die."""
    return {FAULT: f"{point}:{1 if point in ONCE else PASSAGES[number % len(PASSAGES)]}"}


def die_under_load(scene: Scene, point: str, number: int, **more: str) -> bool:
    """Read and send until the point has come."""
    agent = scene.start_agent(**fault(point, number), **more)
    with suppress(subprocess.TimeoutExpired):
        return scene.count_kill(agent, LONGEST)
    agent.send_signal(signal.SIGTERM)
    return scene.count_kill(agent, 20.0)


def die_at_first_start(scene: Scene, point: str, number: int) -> bool:
    """The first start makes the tables."""
    return die_under_load(scene, point, number)


def die_at_end(scene: Scene, point: str, number: int) -> bool:
    """Work a little, then be asked to end."""
    agent = scene.start_agent(**fault(point, number))
    scene.wait_ready()
    time.sleep(0.05 * (number % 5))
    agent.send_signal(signal.SIGTERM)
    return scene.count_kill(agent, 20.0)


def die_in_salvage(scene: Scene, point: str, number: int) -> bool:
    """Work a little and end well; then the header of the spool is destroyed, and the agent dies while it saves the rest."""
    agent = scene.start_agent()
    scene.wait_ready()
    time.sleep(0.3)
    agent.send_signal(signal.SIGTERM)
    agent.wait(timeout=20.0)
    with (scene.state / "spool.db").open("r+b") as file:
        file.write(bytes(HEADER))
    return die_under_load(scene, point, number)


def die_when_full(scene: Scene, point: str, number: int) -> bool:
    """Nobody takes anything: the spool fills up, metrics make room for newer ones, logs wait in their files."""
    with OtlpProcess(scene.folder / "never", plan="503:1") as deaf:
        scene.server, server = deaf, scene.server
        try:
            return die_under_load(scene, point, number, **small_spool(scene, "1MiB"))
        finally:
            scene.server = server


def die_with_a_short_log(scene: Scene, point: str, number: int) -> bool:
    """The log of a small spool is written back often, also while records come."""
    return die_under_load(scene, point, number, config=small_spool(scene, "4MiB")["config"])


def die_when_impatient(scene: Scene, point: str, number: int) -> bool:
    """A file that was removed while it was open is closed soon after it was read."""
    config = scene.folder / "impatient.yaml"
    config.write_text(f"sources:\n- type: log_files\n  include: ['{scene.logs}/*.log']\n  rotated_idle: 0.2\n")
    return die_under_load(scene, point, number % 2, config=str(config))


def die_when_emptied(scene: Scene, point: str, number: int) -> bool:
    """What piled up while nobody took it is sent; the file is longer than its data then and is shortened."""
    with OtlpProcess(scene.folder / "never", plan="503:1") as deaf:
        scene.server, server = deaf, scene.server
        agent = scene.start_agent(**small_spool(scene, "2MiB"))
        scene.wait_ready()
        wait_until(lambda: used(scene) > 1 << 20, LONGEST)
        scene.kill(agent)
        scene.server = server
    return die_under_load(scene, point, 0, config=small_spool(scene, "2MiB")["config"])


def small_spool(scene: Scene, quota: str) -> dict[str, str]:
    """What makes an agent with a small spool, which the rows of its own metrics soon fill."""
    config = scene.folder / "small.yaml"
    config.write_text(f"spool:\n  quota: {quota}\n")
    return {"config": str(config), "OTEL_METRIC_EXPORT_INTERVAL": "10"}


def used(scene: Scene) -> int:
    """Bytes of the spool that are in use."""
    status = scene.ask()
    return status["spool"]["used"] if status else 0


REACHABLE = sorted(POINTS)
