"""Whatever happens to a log file, each line of it is read once and in order: laws over generated histories, on real files."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import example, given, note, settings
from hypothesis import strategies as st

from tests.support.tail_rig import Rig

HEADERS = [b"", b"started\n", b"banner of equal bytes\n" * 70, b"banner of equal bytes\n" * 400]
"""The beginning of every content: nothing, less than a head, more than one, more than is compared cheaply."""


class World:
    """A log file, its rotations, and what must be read of it.

    `contents` are the byte strings that were ever written between a creation (or truncation) and the next; lines are unique except for the
    header. Time stamps go up by a second with every step, as those of slow real rotations do.
    """

    def __init__(self, root: Path, rig: Rig, header: bytes, *, dated: bool) -> None:
        self.live = root / "app.log"
        self.rig = rig
        self.header = header
        self.dated = dated
        self.contents: list[bytearray] = []
        self.rotated: list[Path] = []
        self.line = 0
        self.tick = 1_700_000_000
        self.held = b""
        """The second half of a line that was begun."""
        self.was_emptied = False
        self.begin()

    def begin(self) -> None:
        """A new content: a new or an emptied file."""
        self.contents.append(bytearray())
        self.held = b""
        self.was_emptied = False
        self.live.touch()
        self.stamp(self.live)
        if self.header:
            self.put(self.header)

    def put(self, data: bytes) -> None:
        with self.live.open("ab") as file:
            file.write(data)
        self.contents[-1] += data
        self.stamp(self.live)

    def stamp(self, path: Path) -> None:
        self.tick += 1
        os.utime(path, ns=(self.tick * 10**9, self.tick * 10**9))

    def tell_apart(self) -> None:
        """A file that is emptied and at once holds the same bytes again counts as not emptied: the difference can't be observed.

        Nor can the compressed forms of two with the same bytes be distinguished. So no two contents are the same.
        """
        if bytes(self.contents[-1]) == self.header:
            self.write()

    # -- what a writer does

    def write(self) -> None:
        self.line += 1
        self.put(self.held + b"line %d of the log\n" % self.line)
        self.held = b""

    def write_many(self) -> None:
        for _ in range(40):
            self.write()

    def write_half(self) -> None:
        self.line += 1
        self.put(self.held + b"half %d " % self.line)
        self.held = b"other half"

    # -- what rotates

    def next_name(self) -> Path:
        if self.dated:
            return self.live.with_name(f"app.log-{self.tick}")
        for path in reversed(self.rotated):
            stem, number, *gz = path.name.removeprefix("app.log").split(".")
            new = path.with_name(".".join(["app.log" + stem, str(int(number) + 1), *gz]))
            path.rename(new)
            self.rotated[self.rotated.index(path)] = new
        return self.live.with_name("app.log.1")

    def rename(self) -> None:
        self.tell_apart()
        name = self.next_name()
        self.live.rename(name)
        self.rotated.insert(0, name)
        self.begin()

    def copytruncate(self) -> None:
        self.tell_apart()
        if self.was_emptied:  # a copy of this content and a copy of the one before, made too early, may begin alike
            self.settle()
        name = self.next_name()
        shutil.copyfile(self.live, name)
        self.stamp(name)
        self.rotated.insert(0, name)
        os.truncate(self.live, 0)
        self.begin()

    def compress(self) -> None:
        plain = next((path for path in self.rotated if path.suffix != ".gz"), None)
        if plain is not None:
            status = plain.stat()
            packed = plain.with_name(plain.name + ".gz")
            packed.write_bytes(gzip.compress(plain.read_bytes()))
            os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
            plain.unlink()
            self.rotated[self.rotated.index(plain)] = packed

    def rename_compress(self) -> None:
        self.rename()
        self.compress()

    # -- what destroys: only after everything was read, for else the writer itself loses lines

    def remove_oldest(self) -> None:
        if self.rotated:
            self.settle()
            self.rotated.pop().unlink()

    def truncate(self) -> None:
        if self.held:
            return
        self.tell_apart()
        self.settle()
        os.truncate(self.live, 0)
        self.begin()
        self.was_emptied = True

    def recreate(self) -> None:
        if self.held:
            return
        self.tell_apart()
        self.settle()
        self.live.unlink()
        self.begin()

    # -- what the agent does

    def poll(self) -> None:
        self.rig.step()

    def restart(self) -> None:
        self.rig.restart()

    def kill_before_commit(self) -> None:
        self.rig.next()
        self.rig.restart()

    def settle(self) -> None:
        """Everything is read, also last lines without an end in rotated files."""
        self.rig.drain(1.0)
        self.rig.drain(2.0)
        for _ in range(5):
            self.rig.step(2.0)

    # -- the law

    def check(self) -> None:
        self.settle()
        read = defaultdict(list)
        for record in self.rig.records:
            read[record.origin.key].append(str(record.body))
        expected = [lines_of(bytes(content), live=content is self.contents[-1]) for content in self.contents]
        assert sorted(read.values()) == sorted(filter(None, expected))
        assert not self.rig.drops, self.rig.drops


def lines_of(content: bytes, *, live: bool) -> list[str]:
    """The lines that must be read of a content: an unended last one only if its file is not live any more."""
    *lines, last = content.decode().split("\n")
    return lines if live or not last else [*lines, last]


WRITES = ["write", "write", "write_many", "write_half"]
ROTATIONS = ["rename", "copytruncate", "compress", "rename_compress"]
LOSSES = ["remove_oldest", "truncate", "recreate"]
AGENT = ["poll", "poll", "restart", "kill_before_commit"]


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from(WRITES + ROTATIONS + LOSSES + AGENT), max_size=40),
    st.sampled_from(HEADERS),
    st.booleans(),
    st.sampled_from(["app.log", "app.log*", "*.log"]),
)
@example(  # the second .gz may get name and inode of the first
    ["recreate", "rename_compress", "remove_oldest", "kill_before_commit", "copytruncate", "rename_compress", "truncate"],
    b"",
    False,
    "app.log",
)
@pytest.mark.timeout(600)
def test_each_line_once(history, header, dated, include):
    """Nothing is lost and nothing is repeated, whatever order writes, rotations, losses and kills come in."""
    with tempfile.TemporaryDirectory() as directory:
        rig = Rig(Path(directory), include, partial_idle=0)
        world = World(Path(directory), rig, header, dated=dated)
        try:
            world.settle()
            for step in history:
                note(step)
                getattr(world, step)()
            world.check()
        finally:
            rig.close()
