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
from tests.torture.buggy_agent import NARROW
from tests.torture.scene import BAD_SERVER, Load, Scene, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.torture.check import Verdict

SOON = (1, 2, 3, 5, 8, 1, 4, 13)
"""At which passage the agent dies, in turn: early ones meet the work that piled up, later ones the quiet flow."""
SELDOM = (1, 2, 1, 3)
"""The same for what an agent only passes once in a while."""
ONCE = (1,)
"""The same for what it passes once in its life."""
LONGEST = 25.0
"""Seconds that an agent has to come by: it always does in much less."""
HEADER = 100
"""Bytes of the header of an SQLite file (fileformat.html, 1.3)."""


class Play(NamedTuple):
    """How agents come by a point: what is done with one, at which passage each dies, and under which load."""

    act: Callable[[Scene, Mapping[str, str]], bool]
    """Start an agent with these variables, let it die; whether it did."""
    passages: Sequence[int] = SOON
    rotate_every: int = 700
    """Records of a file."""
    agent: tuple[str, ...] = ()
    """How Python is asked to run it, if not as usual."""


class Fate(NamedTuple):
    """The outcome for one point."""

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
    """Let so many agents in a row die at the point, under load; without a notice in advance."""
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    play = PLAYS.get(point, UNDER_LOAD)
    load = Load(seed, count=10**9, rate=1500, rotate_every=play.rotate_every)
    with OtlpProcess(folder / "store", plan=BAD_SERVER) as server:
        scene = Scene(folder, load, server, *play.agent)
        faults = [fault(point, play.passages[number % len(play.passages)]) for number in range(lives)]
        before = [play.act(scene, one) for one in faults if point in FIRST]  # as long as nothing was ever stored
        scene.introduce()
        oracle = scene.start_oracle()
        died = sum(before or [play.act(scene, one) for one in faults])
        scene.end_oracle(oracle)
        verdict = scene.finish(oracle)
        return Fate(point, died, lives, time.monotonic() - begin, verdict)


def fault(point: str, passage: int) -> Mapping[str, str]:
    """The variable that lets an agent die."""
    return {FAULT: f"{point}:{passage}"}


def die_under_load(scene: Scene, fault: Mapping[str, str], **more: str) -> bool:
    """Read and send until the point has come."""
    agent = scene.start_agent(**fault, **more)
    with suppress(subprocess.TimeoutExpired):
        return scene.count_kill(agent, LONGEST)
    agent.send_signal(signal.SIGTERM)
    return scene.count_kill(agent, 20.0)


def die_at_end(scene: Scene, fault: Mapping[str, str]) -> bool:
    """Work a little, then be asked to end."""
    agent = scene.start_agent(**fault)
    scene.wait_ready()
    time.sleep(0.05 * (scene.kills % 5))
    agent.send_signal(signal.SIGTERM)
    return scene.count_kill(agent, 20.0)


def die_in_salvage(scene: Scene, fault: Mapping[str, str]) -> bool:
    """Work a little and end well; then the header of the spool is destroyed, and the agent dies while it saves the rest."""
    agent = scene.start_agent()
    scene.wait_ready()
    time.sleep(0.3)
    agent.send_signal(signal.SIGTERM)
    agent.wait(timeout=20.0)
    with (scene.state / "spool.db").open("r+b") as file:
        file.write(bytes(HEADER))
    return die_under_load(scene, fault)


def die_when_full(scene: Scene, fault: Mapping[str, str]) -> bool:
    """No destination takes anything: the spool fills up, metrics make room for newer ones, logs wait in their files."""
    with OtlpProcess(scene.folder / "never", plan="503:1") as deaf:
        scene.server, server = deaf, scene.server
        try:
            return die_under_load(scene, fault, **small_spool(scene, "1MiB"))
        finally:
            scene.server = server


def die_with_a_short_log(scene: Scene, fault: Mapping[str, str]) -> bool:
    """The log of a small spool is written back often, also while records come."""
    return die_under_load(scene, fault, **small_spool(scene, "4MiB"))


def die_when_impatient(scene: Scene, fault: Mapping[str, str]) -> bool:
    """A file that was removed while it was open is closed soon after it was read."""
    config = scene.folder / "impatient.yaml"
    config.write_text(f"sources:\n- type: log_files\n  include: ['{scene.logs}/*.log']\n  rotated_idle: 0.2\n")
    return die_under_load(scene, fault, config=str(config))


def die_when_emptied(scene: Scene, fault: Mapping[str, str]) -> bool:
    """The rows that piled up meanwhile are sent; then the file is longer than its data and is shortened."""
    with OtlpProcess(scene.folder / "never", plan="503:1") as deaf:
        scene.server, server = deaf, scene.server
        agent = scene.start_agent(**small_spool(scene, "2MiB"))
        scene.wait_ready()
        wait_until(lambda: used(scene) > 1 << 20, LONGEST)
        scene.kill(agent)
        scene.server = server
    quiet = {"config": small_spool(scene, "2MiB")["config"], "OUTRIDER_LOG_FILES": ""}  # a backlog of logs would keep the spool full
    return die_under_load(scene, fault, **quiet)


def die_in_a_narrow_spool(scene: Scene, fault: Mapping[str, str]) -> bool:
    """The input that piled up while no agent ran does not fit into one transaction."""
    time.sleep(0.3)
    return die_under_load(scene, fault, **{NARROW: str(32 * 1024)})


def small_spool(scene: Scene, quota: str) -> dict[str, str]:
    """Options of an agent with a small spool, which the rows of its own metrics soon fill."""
    config = scene.folder / "small.yaml"
    config.write_text(f"spool:\n  quota: {quota}\n")
    return {"config": str(config), "OTEL_METRIC_EXPORT_INTERVAL": "10"}


def used(scene: Scene) -> int:
    """Bytes of the spool that are in use."""
    status = scene.ask()
    return status["spool"]["used"] if status else 0


UNDER_LOAD = Play(die_under_load)
PLAYS = {
    **dict.fromkeys(("runtime.stopping", "runtime.sealed"), Play(die_at_end, ONCE)),
    **dict.fromkeys(("spool.migrate", "runtime.started"), Play(die_under_load, ONCE)),
    **dict.fromkeys(("spool.salvage_moved", "spool.salvage_rows", "spool.salvage_done"), Play(die_in_salvage, ONCE)),
    **dict.fromkeys(("spool.before_evict", "spool.after_evict"), Play(die_when_full)),
    **dict.fromkeys(("spool.before_vacuum", "spool.after_vacuum"), Play(die_when_emptied, ONCE)),
    **dict.fromkeys(("spool.before_checkpoint", "spool.after_checkpoint"), Play(die_with_a_short_log, SELDOM)),
    "tail.rotation_closed": Play(die_when_impatient, SELDOM, rotate_every=200),
    "tail.truncated": Play(die_under_load, SELDOM, rotate_every=200),
    "intake.part_stored": Play(die_in_a_narrow_spool, SELDOM, agent=("tests.torture.buggy_agent", "none")),
}
FIRST = frozenset({"spool.migrate"})
"""Points that only the very first start passes."""
REACHABLE = sorted(POINTS)
