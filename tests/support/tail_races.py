"""Rotations between any two system calls of the follower, in virtual time: what takes torture hours comes by here in seconds.

Three files are written, and rotated or written again, each in its own way, in as many small steps as real programs take. All contents of a
file may begin with the same lines. Every call that the follower makes of the operating system lets a little time pass, in which the writers
continue, and may be the last one before a kill. Times of last writes are those of the virtual clock, with the coarse ticks of a real one. Inode
numbers, generations and the order of a directory are the simulation's (`inodes.py`), so that a play depends on its seed alone.
"""

from __future__ import annotations

import gzip
import heapq
import os
import random
import shutil
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.support.inodes import Inodes
from tests.support.tail_rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAYS: Final = ("rename", "copytruncate", "gzip")
"""The usual rotations."""
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


class Plan(NamedTuple):
    """The parameters that are drawn before a play."""

    pace: Pace
    ways: tuple[str, ...] = WAYS
    head: tuple[bytes, ...] = ()
    """Lines that every content begins with."""
    is_bare: bool = False
    """Whether contents may be destroyed, or written again elsewhere, of which no more than the head was read, or come back as they were:
    nothing then tells two histories apart (rows HEAD, ENDED and COPIED of a mere head in `agent.tail.decide`)."""

    @property
    def is_provable(self) -> bool:
        """Whether only rows of the table are played that are provable."""
        return not self.is_bare


MORE: Final = (*WAYS, "olddir", "rewrite", "recreate", "truncate", "snapshot")
"""All that is done to a file that only grows otherwise:

    olddir     renamed into a directory below, compressed there
    rewrite    replaced by a fuller copy of itself (editors, rsync, `sed -i`)
    recreate   removed once it is read, and created again (an application that starts)
    truncate   emptied once it is read, and begun again
    snapshot   a hard link to it is compressed with `gzip -f` once it is read, now and then; and renamed
    regrow     emptied, and written again as it was and longer (only in bare plays)
"""
HEADS: Final = (0, 1, 1, 8, 60)
"""How many lines a common head may have."""
_PACES: Final = (Pace(100, 60, 0.0003, 0.001, 4), Pace(400, 150, 0.001, 0.0005, 3), Pace(60, 20, 0.0001, 0.002, 5))
_BARE: Final = 0.06
"""The share of plays that are bare."""


def draw(seed: int) -> Plan:
    """The plan of a play."""
    chance = random.Random(f"plan {seed}")
    is_bare = chance.random() < _BARE
    ways = tuple(chance.sample((*MORE, "regrow") if is_bare else MORE, 3))
    head = tuple(b"head %d of all contents alike" % number for number in range(chance.choice(HEADS)))
    return Plan(chance.choice(_PACES), ways, head, is_bare)


class KilledError(BaseException):
    """The agent has been killed."""


class World:
    """The writers, and the clock."""

    def __init__(self, root: Path, plan: Plan, chance: random.Random) -> None:
        self.root, self.plan, self.pace, self.chance = root, plan, plan.pace, chance
        self.now = 0.0
        self.counts: dict[str, int] = dict.fromkeys(plan.ways, 0)
        """Numbered lines written of each file."""
        self.heads: dict[str, int] = dict.fromkeys(plan.ways, 0)
        """Lines of heads written of each file."""
        self.read: Counter[str] = Counter()
        """Lines of each file that are committed."""
        self.is_mortal = False
        self._is_busy = False
        self._is_over = False
        self._waiting: list[tuple[float, int, Iterator[float]]] = []
        self.inodes = Inodes(random.Random(chance.random()))
        (root / "old").mkdir()
        for directory in (root, root / "old"):
            self.inodes.create(directory)
        for way in plan.ways:
            self._append(root / f"{way}.log", b"")

    def begin(self) -> None:
        """Let the writers write."""
        self._waiting = [(self.now, number, self._write(way)) for number, way in enumerate(self.plan.ways)]

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
            self.inodes.create(path)
            self._stamp(path.parent)

    def _remove(self, path: Path) -> None:
        self.inodes.remove(path)
        path.unlink()
        self._stamp(path.parent)

    def _name(self, path: Path, to: str) -> Path:
        renamed = path.rename(path.with_name(to))
        self._stamp(self.root)
        return renamed

    def _write(self, way: str) -> Iterator[float]:
        live = self.root / f"{way}.log"
        generation, left = 0, self._length()
        while not self._is_over:
            yield from self._write_head(live, way)
            # a file that is emptied and holds the same head again was not emptied, as far as can be seen
            is_bare = self.plan.is_bare and way != "truncate" and left > 0 and self.chance.random() < 0.02
            left = 0 if is_bare else left
            lines = b""
            for _ in range(0 if is_bare else self.chance.choice((1, 1, 5, 20))):
                lines += b"%s %d %s\n" % (way.encode(), self.counts[way], b"x" * self.chance.randrange(30))
                self.counts[way] += 1
                left -= 1
            if self.chance.random() < 0.2:
                cut = self.chance.randrange(len(lines) + 1)
                self._append(live, lines[:cut])
                yield self.chance.random() * 0.02
                lines = lines[cut:]
            self._append(live, lines)
            yield self.chance.expovariate(self.pace.rate / 7)
            if left <= 0:
                generation, left = generation + 1, self._length()
                move = getattr(self, f"_{way}", None)
                yield from move(live, generation) if move else self._move_on(live, generation, way)

    def _write_head(self, live: Path, way: str) -> Iterator[float]:
        """The head of a new content: also applications that start write it line by line."""
        while self.plan.head and not live.stat().st_size:
            for line in self.plan.head:
                self._append(live, b"%s %s\n" % (way.encode(), line))
                self.heads[way] += 1
                if self.chance.random() < 0.1:
                    yield self._pause()

    def _until_read(self, way: str) -> Iterator[float]:
        """Wait until all that was written is committed."""
        written = self.counts[way] + self.heads[way]
        while not self._is_over and self.read[way] < written:
            yield 0.05

    def _length(self) -> int:
        return int(self.chance.expovariate(1 / self.pace.lines))

    def _pause(self) -> float:
        return self.chance.choice((0, 0.0002, 0.001, 0.004, 0.02))

    def _copytruncate(self, live: Path, generation: int) -> Iterator[float]:
        """Nothing is written meanwhile: what is written between the two is lost to every reader."""
        yield from self._fill(live.with_name(f"{live.name}-20260301-{generation:06}"), live.read_bytes())
        os.truncate(live, 0)
        self._stamp(live)

    def _move_on(self, live: Path, generation: int, way: str) -> Iterator[float]:
        suffix = ".gz" if way == "gzip" else ""
        for number in range(generation - 1, 0, -1):
            self._name(live.with_name(f"{live.name}.{number}{suffix}"), f"{live.name}.{number + 1}{suffix}")
            if self.chance.random() < 0.1:
                yield 0.0001
        first = self._name(live, f"{live.name}.1")
        yield self._pause()
        self._append(live, b"")
        if way == "gzip":
            yield from self._compress(first)

    def _compress(self, plain: Path) -> Iterator[float]:
        packed = plain.with_name(f"{plain.name}.gz")
        yield from self._fill(packed, gzip.compress(plain.read_bytes(), mtime=0))
        shutil.copystat(plain, packed)
        yield self._pause()
        self._remove(plain)

    def _olddir(self, live: Path, generation: int) -> Iterator[float]:
        old = live.rename(live.parent / "old" / f"{live.name}-20260301-{generation:06}")
        self._stamp(self.root)
        self._stamp(old.parent)
        yield self._pause()
        self._append(live, b"")
        if generation % 2:
            yield from self._compress(old)

    def _rewrite(self, live: Path, generation: int) -> Iterator[float]:  # noqa: ARG002 - it keeps its name
        """The copy is fuller by a line."""
        yield from self._until_read(live.stem)
        is_line = live.read_bytes().count(b"\n") < 2  # which is not more than a head
        if self._is_over or (is_line and not self.plan.is_bare):
            return
        copy = live.with_name(f".{live.name}.tmp")
        line = b"%s %d rewritten\n" % (live.stem.encode(), self.counts[live.stem])
        content = live.read_bytes() + line * (self.chance.random() < 0.7)
        yield from self._fill(copy, content)
        self.counts[live.stem] += content.endswith(line)
        self.inodes.remove(live)
        copy.replace(live)
        self._stamp(self.root)

    def _recreate(self, live: Path, generation: int) -> Iterator[float]:  # noqa: ARG002 - it keeps its name
        yield from self._until_read(live.stem)
        if not self._is_over:
            self._remove(live)
            yield self._pause()
            self._append(live, b"")

    def _truncate(self, live: Path, generation: int) -> Iterator[float]:  # noqa: ARG002 - it keeps its name
        yield from self._until_read(live.stem)
        if not self._is_over:
            os.truncate(live, 0)
            self._stamp(live)

    def _regrow(self, live: Path, generation: int) -> Iterator[float]:  # noqa: ARG002 - it keeps its name
        content = live.read_bytes()
        os.truncate(live, 0)
        self._stamp(live)
        yield from self._fill(live, content)

    def _snapshot(self, live: Path, generation: int) -> Iterator[float]:
        if not live.exists() or live.stat().st_size < 2048 + len(b"".join(self.plan.head)):  # a shorter one may as well be another content
            return
        yield from self._until_read(live.stem)
        if self._is_over:
            return
        link = live.with_name(f"{live.name}-2026-{generation}")
        os.link(live, link)
        self._stamp(self.root)
        yield from self._compress(link)
        if generation % 3 == 0:
            yield from self._move_on(live, len(list(live.parent.glob(f"{live.name}.[0-9]*"))) + 1, "rename")

    def _fill(self, path: Path, data: bytes) -> Iterator[float]:
        half = len(data) // 2
        for part in (b"", data[:half], data[half:]):
            self._append(path, part)
            yield self._pause()


@contextmanager
def _in_time(world: World) -> Iterator[None]:
    """Let the calls of the follower take time, and nothing else."""
    before = {name: getattr(os, name) for name in CALLS}

    def slowed(call: Callable[..., object]) -> Callable[..., object]:
        def slow(*args: object, **options: object) -> object:
            world.call()
            return call(*args, **options)

        return slow

    try:
        for name, call in before.items():
            setattr(os, name, slowed(call))
        yield
    finally:
        for name, call in before.items():
            setattr(os, name, call)


class Outcome(NamedTuple):
    """The lines that were read of each file: their numbers, in the order in which they came."""

    written: dict[str, int]
    read: dict[str, list[int]]
    heads: dict[str, int]
    """Lines of heads that were read more often (or less, if negative) than they were written."""
    drops: dict[str, int]
    kills: int
    ambiguous: int
    """Decisions that were reported as ambiguous."""

    def faults(self) -> dict[str, dict[str, int]]:
        """How many lines of each file were lost, and how many repeated, where there are such."""
        found = {}
        for way, written in self.written.items():
            times = Counter(self.read[way])
            counts = {"lost": sum(not times[number] for number in range(written)), "repeated": len(self.read[way]) - len(times)}
            counts["heads"] = self.heads[way]
            if any(counts.values()):
                found[way] = counts
        return found


def play(root: Path, plan: Plan, seed: int) -> Outcome:
    """Write, rotate and follow, and read the rest when all is at rest."""
    world = World(root, plan, random.Random(seed))
    with world.inodes.installed():
        rig, kills = _follow(world, plan, seed)
    words = [str(record.body).split(" ") for record in rig.records]
    read = {way: [int(number) for which, number, *_ in words if which == way and number != "head"] for way in plan.ways}
    heads = {way: sum(which == way and number == "head" for which, number, *_ in words) - world.heads[way] for way in plan.ways}
    assert sum(map(len, read.values())) + sum(heads.values()) + sum(world.heads.values()) == len(words), "read what was never written"
    return Outcome(world.counts, read, heads, rig.drops, kills, sum(event in {"assumed", "reread"} for event in rig.events))


def _follow(world: World, plan: Plan, seed: int) -> tuple[Rig, int]:
    """The actions of the agent in a play; how often it was killed."""
    rotated_idle = {"rotated_idle": 0.2} if seed % 2 else {}
    rig = Rig(world.root, "*.log", linger=0.2 * (seed // 2 % 2), clock=lambda: world.now, partial_idle=0, **rotated_idle)
    kills = 0
    for _ in range(3):
        rig.step()
        world.now += 0.2
    world.begin()
    with _in_time(world):
        while world.now < plan.pace.seconds:
            kills += not _lives_on(world, rig)
        world.end()
        silent = 0
        while silent < SILENCE:
            world.advance(1.0)
            rig.now = RIG_BEGIN + world.now
            silent = 0 if rig.step(0) else silent + 1
    rig.close()
    return rig, kills


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
            world.read.update(str(record.body).partition(" ")[0] for record in batch.records)
            world.call()
    except KilledError:
        world.is_mortal = False
        world.advance(world.chance.choice((0.01, 0.3, 1.5)))
        rig.tail.close()
        world.inodes.close_left()
        rig.start()
        return False
    world.is_mortal = False
    return True
