"""The smallest plays in which the seeded bugs show. Each is also played with the agent as it is, which must come out clean."""

from __future__ import annotations

import json
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from agent.crash import FAULT
from tests.support.otlp_process import OtlpProcess
from tests.torture.buggy_agent import REFUSE
from tests.torture.bugs import BUGS
from tests.torture.oracle import LogFile, line
from tests.torture.points import die_when_full, fault
from tests.torture.scene import Load, Scene, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.torture.check import Verdict

SEED = 22
STALLED = 3.0
"""Seconds without progress after which a play has ended."""
LONGEST = 10.0
"""Seconds that an agent has to come by the point at which it is to die."""


class Caught(NamedTuple):
    """The evidence of a bug."""

    name: str
    expected: str
    verdict: Verdict
    control: Verdict
    """Of the agent without the bug."""

    @property
    def caught(self) -> bool:
        """Whether the bug was seen as what it is, and nothing where there is none."""
        return self.expected in self.verdict.faults and self.control.clean

    def __str__(self) -> str:
        told = f"caught as {', '.join(self.verdict.faults)}" if self.expected in self.verdict.faults else f"MISSED: {self.verdict}"
        return f"{self.name:<36} {told}" + ("" if self.control.clean else f" · but without it: {self.control}")


def catch_all(folder: Path, jobs: int) -> list[Caught]:
    """Play with every bug, and every play without one; so many at the same time."""
    with ThreadPoolExecutor(jobs) as pool:
        controls = {name: pool.submit(play, folder / "none" / name, name, "none") for name in PLAYS}
        verdicts = {name: pool.submit(play, folder / name, bug.play, name) for name, bug in BUGS.items()}
        return [Caught(name, bug.shows, verdicts[name].result(), controls[bug.play].result()) for name, bug in BUGS.items()]


class Stage(Scene):
    """A scene whose one file is written by hand, step by step."""

    def __init__(self, folder: Path, server: OtlpProcess, way: str, bug: str) -> None:
        super().__init__(folder, Load(SEED, 0, 0, 0, (way,)), server, "tests.torture.buggy_agent", bug)
        self.file = LogFile(self.logs, way, SEED)

    endpoint = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "/v1/logs")
    """Nothing but logs: the server's special answer is for them."""

    def write(self, count: int) -> None:
        """Append so many whole records."""
        self.file.write(count, random.Random(SEED))
        self.note()

    def note(self) -> None:
        """Note how many there are."""
        with self.journal.open("a") as journal:
            journal.write(json.dumps({self.file.way: self.file.next_number}) + "\n")

    def until_death(self, point: str, passage: int) -> None:
        """Let an agent run until it dies at the point, or does not come by."""
        agent = self.start_agent(**{FAULT: f"{point}:{passage}"})
        with suppress(subprocess.TimeoutExpired):
            self.count_kill(agent, LONGEST)
            return
        self.kill(agent)

    def until_accepted(self, count: int, **extra: str) -> None:
        """Let an agent run until it has stored so many records, then kill it."""
        agent = self.start_agent(**extra)
        self.wait_ready()
        wait_until(lambda: self.accepted() >= count, LONGEST)
        self.kill(agent)

    def accepted(self) -> int:
        """How many records the agent says it has stored."""
        status = self.ask()
        return sum(one["accepted"] for one in status["sources"] if one["type"] == "log_files") if status else 0


def play(folder: Path, name: str, bug: str) -> Verdict:
    """Play one of `PLAYS` with an agent that has this bug; judge."""
    folder.mkdir(parents=True)
    part = PLAYS[name]
    with OtlpProcess(folder / "store", plan=part.server) as server:
        stage = Stage(folder, server, part.way, bug)
        with closing(stage.file):
            part.act(stage)
        return stage.finish(None, STALLED)


def killed_between_commits(stage: Stage) -> None:
    """Dies after its second, third and fourth commit, twice: the first start has some more that are about the agent itself."""
    for passage in (2, 3, 4) * 2:
        stage.write(100)
        stage.until_death("spool.after_commit", passage)


def refused_commits(stage: Stage) -> None:
    """The disk refuses every second batch for a while."""
    stage.write(50)
    agent = stage.start_agent(**{REFUSE: "2"})
    stage.wait_ready()
    for _ in range(4):
        stage.write(50)
        time.sleep(0.3)
    stage.kill(agent)


def killed_between_attempts(stage: Stage) -> None:
    """The first attempt gets a 503; it dies before the second."""
    stage.write(100)
    stage.until_death("delivery.before_send", 2)


def killed_after_the_answer(stage: Stage) -> None:
    """Dies between the server's answer and the cursor."""
    stage.write(100)
    stage.until_death("delivery.after_answer", 1)


def killed_within_a_line(stage: Stage) -> None:
    """Dies when it has read half of a line, which is completed afterwards."""
    stage.write(100)
    data = line(SEED, stage.file.way, 100)
    stage.file.handle.write(data[:40])
    stage.until_accepted(100)
    stage.file.handle.write(data[40:])
    stage.file.next_number += 1
    stage.write(100)


def rotated_unread(stage: Stage) -> None:
    """The file is rotated between two scans, and before all of it was read."""
    stage.write(100)
    stage.until_accepted(100)
    stage.write(100)
    stage.file.rotate()
    stage.write(100)


def one_answer(stage: Stage) -> None:
    """The first request gets the server's special answer."""
    stage.write(100)
    stage.until_accepted(100)


def full(stage: Stage) -> None:
    """Rows of metrics make room for newer ones, until it dies."""
    stage.endpoint = Scene.endpoint
    stage.write(100)
    die_when_full(stage, fault("spool.after_evict", 13))


class Play(NamedTuple):
    """A play, the way in which its file rotates, and what its server does in turn."""

    act: Callable[[Stage], None]
    way: str = "none"
    server: str = ""


PLAYS = {
    "killed_between_commits": Play(killed_between_commits),
    "refused_commits": Play(refused_commits),
    "killed_between_attempts": Play(killed_between_attempts, server="503:1,ok:100000"),
    "killed_after_the_answer": Play(killed_after_the_answer),
    "killed_within_a_line": Play(killed_within_a_line),
    "renamed_unread": Play(rotated_unread, "rename"),
    "copied_unread": Play(rotated_unread, "copytruncate"),
    "partial_success": Play(lambda stage: stage.write(100), server="partial:1,ok:100000"),
    "refused_for_good": Play(lambda stage: stage.write(100), server="400:1,ok:100000"),
    "full": Play(full),
}
