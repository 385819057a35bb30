"""Rotations between any two system calls of the follower, in virtual time: what takes torture hours comes by here in seconds.

Three files are written and rotated, each in its own way, in as many small steps as real rotations take. Every call that the follower makes
of the operating system lets a little time pass, in which the writers go on, and may be the last one before a kill. Times of last writes
are those of the virtual clock, with the coarse ticks of a real one.
"""

from __future__ import annotations

import gzip
import heapq
import os
import random
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import agent.tail.tail
from tests.support.tail_rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAYS: Final = ("rename", "copytruncate", "gzip")
CALLS: Final = ("stat", "fstat", "lstat", "scandir", "open", "pread")
TICK: Final = 4_000_000
"""Nanoseconds of a tick of the clock of a file system."""
BEGIN: Final = 1_700_000_000_000_000_000
RIG_BEGIN: Final = 1000.0
"""Seconds, monotonic."""
SILENCE: Final = 60
"""Rounds of a second without a batch after which everything is read."""


class Pace(NamedTuple):
    """How a play goes."""

    rate: float
    """Lines a second of each file."""
    lines: float
    """Lines of a content, on average; some have none."""
    cost: float
    """Seconds that a system call takes, on average."""
    kills: float
    """How likely each system call is the last one."""
    seconds: float


class KilledError(BaseException):
    """The agent is no more."""


class World:
    """The writers, and the clock."""

    def __init__(self, root: Path, pace: Pace, chance: random.Random) -> None:
        self.root, self.pace, self.chance = root, pace, chance
        self.now = 0.0
        self.counts: dict[str, int] = dict.fromkeys(WAYS, 0)
        self.is_mortal = False
        self._is_busy = False
        self._is_over = False
        self._waiting: list[tuple[float, int, Iterator[float]]] = []
        for way in WAYS:
            self._append(root / f"{way}.log", b"")

    def begin(self) -> None:
        """Let the writers write."""
        self._waiting = [(self.now, number, self._write(way)) for number, way in enumerate(WAYS)]

    def end(self) -> None:
        """Let them come to their ends."""
        self._is_over = True
        while self._waiting:
            self.advance(1.0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._is_busy = True
        end = self.now + seconds
        while self._waiting and self._waiting[0][0] <= end:
            at, number, writer = heapq.heappop(self._waiting)
            self.now = max(self.now, at)
            pause = next(writer, None)
            if pause is not None:
                heapq.heappush(self._waiting, (self.now + pause, number, writer))
        self.now = end
        self._is_busy = False

    def call(self) -> None:
        """The agent asks the operating system for something."""
        if self._is_busy:
            return
        self.advance(self.chance.expovariate(1 / self.pace.cost))
        if self.is_mortal and self.chance.random() < self.pace.kills:
            raise KilledError

    def _stamp(self, path: Path) -> None:
        at = (BEGIN + int(self.now * 10**9)) // TICK * TICK
        os.utime(path, ns=(at, at))

    def _append(self, path: Path, data: bytes) -> None:
        is_new = not path.exists()
        with path.open("ab") as file:
            file.write(data)
        self._stamp(path)
        if is_new:
            self._stamp(self.root)

    def _rename(self, path: Path, to: str) -> Path:
        renamed = path.rename(path.with_name(to))
        self._stamp(self.root)
        return renamed

    def _write(self, way: str) -> Iterator[float]:
        live = self.root / f"{way}.log"
        generation, left = 0, self._length()
        while not self._is_over:
            for _ in range(self.chance.choice((1, 1, 5, 20))):
                line = b"%s %d %s\n" % (way.encode(), self.counts[way], b"x" * self.chance.randrange(30))
                if self.chance.random() < 0.02:
                    cut = self.chance.randrange(1, len(line))
                    self._append(live, line[:cut])
                    yield self.chance.random() * 0.02
                    line = line[cut:]
                self._append(live, line)
                self.counts[way] += 1
                left -= 1
            yield self.chance.expovariate(self.pace.rate / 7)
            if left <= 0:
                generation, left = generation + 1, self._length()
                yield from self._copy_and_truncate(live, generation) if way == "copytruncate" else self._move_on(live, generation, way)

    def _length(self) -> int:
        return int(self.chance.expovariate(1 / self.pace.lines))

    def _pause(self) -> float:
        return self.chance.choice((0, 0.0002, 0.001, 0.004, 0.02))

    def _copy_and_truncate(self, live: Path, generation: int) -> Iterator[float]:
        """Nothing is written meanwhile: what is written between the two is lost to everybody."""
        yield from self._fill(live.with_name(f"{live.name}-20260301-{generation:06}"), live.read_bytes())
        os.truncate(live, 0)
        self._stamp(live)

    def _move_on(self, live: Path, generation: int, way: str) -> Iterator[float]:
        suffix = ".gz" if way == "gzip" else ""
        for number in range(generation - 1, 0, -1):
            self._rename(live.with_name(f"{live.name}.{number}{suffix}"), f"{live.name}.{number + 1}{suffix}")
            if self.chance.random() < 0.1:
                yield 0.0001
        first = self._rename(live, f"{live.name}.1")
        yield self._pause()
        self._append(live, b"")
        if way == "gzip":
            packed = live.with_name(f"{live.name}.1.gz")
            yield from self._fill(packed, gzip.compress(first.read_bytes(), mtime=0))
            shutil.copystat(first, packed)
            yield self._pause()
            first.unlink()
            self._stamp(self.root)

    def _fill(self, path: Path, data: bytes) -> Iterator[float]:
        half = len(data) // 2
        for part in (b"", data[:half], data[half:]):
            self._append(path, part)
            yield self._pause()


@contextmanager
def _in_time(world: World) -> Iterator[None]:
    """Let the calls of the follower take time, and nothing else."""
    before = {name: getattr(os, name) for name in CALLS}
    clock = agent.tail.tail.perf_counter

    def slowed(call: Callable[..., object]) -> Callable[..., object]:
        def slow(*args: object, **options: object) -> object:
            world.call()
            return call(*args, **options)

        return slow

    try:
        for name, call in before.items():
            setattr(os, name, slowed(call))
        agent.tail.tail.perf_counter = lambda: world.now
        yield
    finally:
        for name, call in before.items():
            setattr(os, name, call)
        agent.tail.tail.perf_counter = clock


class Outcome(NamedTuple):
    """What was read of each file: numbers of lines, in the order in which they came."""

    written: dict[str, int]
    read: dict[str, list[int]]
    drops: dict[str, int]
    kills: int


def play(root: Path, pace: Pace, seed: int) -> Outcome:
    """Write, rotate and follow, and read the rest when all is at rest."""
    world = World(root, pace, random.Random(seed))
    rig = Rig(root, "*.log", partial_idle=0, **({"rotated_idle": 0.2} if seed % 2 else {}))
    kills = 0
    for _ in range(3):
        rig.step()
        world.now += 0.2
    world.begin()
    with _in_time(world):
        while world.now < pace.seconds:
            kills += not _lives_on(world, rig)
        world.end()
        silent = 0
        while silent < SILENCE:
            world.advance(1.0)
            rig.now = RIG_BEGIN + world.now
            silent = 0 if rig.step(0) else silent + 1
    rig.close()
    words = [str(record.body).split(" ") for record in rig.records]
    read = {way: [int(number) for which, number, *_ in words if which == way] for way in WAYS}
    assert sum(map(len, read.values())) == len(words), "something was read that nobody wrote"
    return Outcome(world.counts, read, rig.drops, kills)


def _lives_on(world: World, rig: Rig) -> bool:
    """One round of the agent; False if it was killed in it, and lives again."""
    world.advance(world.chance.random() * 0.2)
    rig.now = RIG_BEGIN + world.now
    world.is_mortal = True
    try:
        batch = rig.next(0)
        if batch is not None:
            world.call()
            rig.commit(batch)
            world.call()
    except KilledError:
        world.is_mortal = False
        world.advance(world.chance.choice((0.01, 0.3, 1.5)))
        rig.restart()
        return False
    world.is_mortal = False
    return True
