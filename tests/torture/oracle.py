"""The oracle: issues numbered records with deterministic content and notes an obligation only after the source has it.

It runs as a process of its own and is never faulted. Each of its files has one way of rotation:

    rename        app.log → app.log.1, a new app.log; older generations move up by one, as logrotate does it
    copytruncate  copy to app.log-20260301-000001, truncate app.log (at rest: nothing is written in between); logrotate's `dateext`
    gzip          as rename, then app.log.1 → app.log.1.gz
    none          grows

Rotated generations are kept: the promise speaks of what still exists when it is read.

    python -m tests.torture.oracle --dir DIR --journal FILE --seed 7 --count 100000 --rate 5000
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

WAYS = ("rename", "copytruncate", "gzip", "none")


def record(seed: int, way: str, number: int) -> dict[str, object]:
    """The fields of one record: a pure function of its name, with a value of each type that must survive."""
    chance = random.Random(f"{seed}:{way}:{number}")
    return {
        "event": f"order {chance.randrange(10**9)} accepted",
        "level": chance.choice(["debug", "info", "warning"]),
        "timestamp": f"2026-03-01T12:{number // 60000 % 60:02}:{number // 1000 % 60:02}.{number % 1000:03}000Z",
        "way": way,
        "n": number,
        "price": chance.randrange(1, 10**6) / 64,
        "live": chance.random() < 0.5,
        "book": {"bids": [chance.randrange(1000), chance.randrange(1000)], "venue": chance.choice(["alpha", "beta"])},
        "note": chance.choice(["plain", "zażółć gęślą", 'quoted "text"', "tab\there", ""]),
    }


def line(seed: int, way: str, number: int) -> bytes:
    """The bytes of one record as they stand in the file."""
    return json.dumps(record(seed, way, number), ensure_ascii=False).encode() + b"\n"


@dataclass
class LogFile:
    """One file and its rotated generations."""

    folder: Path
    way: str
    seed: int
    next_number: int = 0
    generation: int = 0
    handle: BinaryIO = field(init=False)

    def __post_init__(self) -> None:
        self.path = self.folder / f"{self.way}.log"
        self.handle = self._open()

    def _open(self) -> BinaryIO:
        return self.path.open("ab", buffering=0)

    def write(self, count: int, chance: random.Random) -> int:
        """Append `count` records, sometimes with a pause inside a line; return the number that are complete in the file."""
        for _ in range(count):
            data = line(self.seed, self.way, self.next_number)
            if chance.random() < 0.01:
                cut = chance.randrange(1, len(data))
                self._write(data[:cut])
                time.sleep(chance.random() * 0.02)
                self._write(data[cut:])
            else:
                self._write(data)
            self.next_number += 1
        return self.next_number

    def _write(self, data: bytes) -> None:
        if self.handle.write(data) != len(data):
            raise OSError("short write: the oracle needs a disk with room")

    def rotate(self) -> None:
        """Rotate in this file's own way."""
        self.generation += 1
        if self.way == "copytruncate":
            shutil.copyfile(self.path, self.folder / f"{self.way}.log-20260301-{self.generation:06}")
            os.truncate(self.path, 0)
        elif self.way in {"rename", "gzip"}:
            self._move_up()
            rotated = self.folder / f"{self.way}.log.1"
            self.path.rename(rotated)
            self.handle.close()
            self.handle = self._open()
            if self.way == "gzip":
                compress(rotated)

    def close(self) -> None:
        """Stop writing."""
        self.handle.close()

    def _move_up(self) -> None:
        suffix = ".gz" if self.way == "gzip" else ""
        for number in range(self.generation - 1, 0, -1):
            older = self.folder / f"{self.way}.log.{number}{suffix}"
            older.rename(self.folder / f"{self.way}.log.{number + 1}{suffix}")


def compress(path: Path) -> None:
    """As gzip(1) does: write beside it, keep the time of modification, then remove the original."""
    with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    shutil.copystat(path, f"{path}.gz")
    path.unlink()


@dataclass(frozen=True)
class Plan:
    """The records to issue: `count` records over all files at about `rate` a second, a rotation about every `rotate_every` records of a file."""

    folder: Path
    journal: Path
    seed: int
    count: int
    rate: int
    rotate_every: int
    ways: tuple[str, ...]


def issue(plan: Plan) -> None:
    """Write everything, noting after each burst how far each file is; the journal's last line is the obligation.

    A file `stop` beside the journal ends it earlier.
    """
    chance = random.Random(plan.seed)
    stop = plan.journal.with_name("stop")
    files = [LogFile(plan.folder, way, plan.seed) for way in plan.ways]
    begin, done = time.monotonic(), 0
    with plan.journal.open("a") as journal:
        while done < plan.count and not stop.exists():
            file = chance.choice(files)
            burst = min(chance.randrange(1, 200), plan.count - done)
            file.write(burst, chance)
            done += burst
            journal.write(json.dumps({f.way: f.next_number for f in files}) + "\n")
            journal.flush()
            if chance.random() < burst / plan.rotate_every:
                file.rotate()
            time.sleep(max(0.0, begin + done / plan.rate - time.monotonic()))


def main() -> None:
    """Read the plan from the command line and carry it out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--rotate-every", type=int, default=5_000)
    parser.add_argument("--ways", default=",".join(WAYS))
    given = parser.parse_args()
    issue(Plan(given.dir, given.journal, given.seed, given.count, given.rate, given.rotate_every, tuple(given.ways.split(","))))


if __name__ == "__main__":
    main()
