"""The kernel gives the inode of a removed file to the next one: what was known by it is not taken for the new file, nor the other way."""

from __future__ import annotations

import gzip
import os

import pytest

from agent.tail import new_contents, pool
from agent.tail.position import decode
from tests.support.tail_rig import Rig

GENERATION = 7
"""Of every inode here, whatever the file system has: so the tests do not depend on it."""
EPOCH = 2_000_000_000
"""Later than whatever is made without a time of its own."""


@pytest.fixture
def rig(tmp_path, monkeypatch):
    """A follower of `*.log`."""
    for module in (new_contents, pool):
        monkeypatch.setattr(module, "inode_generation", lambda _fd: GENERATION)
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def rotate(path):
    """Rename and compress, as logrotate does it: the time of the last write is kept; older generations move up."""
    older = sorted(path.parent.glob(f"{path.name}.*.gz"), reverse=True)
    for one in older:
        one.rename(path.with_name(f"{path.name}.{int(one.suffixes[-2][1:]) + 1}.gz"))
    packed = path.with_name(f"{path.name}.1.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    status = path.stat()
    os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.unlink()


def write(path, text, tick):
    """Write at a time of our choice, in seconds: that of two writes is the same where the clock of the file system ticks slowly."""
    with path.open("a") as file:
        file.write(text)
    os.utime(path, (EPOCH + tick, EPOCH + tick))


def use_inode_anew(rig, place, path):
    """As if the file that the follower knows at `place` had been removed, and the file at `path` had its inode."""
    for key, stored in rig.stored.items():
        position = None if key == "@next" else decode(stored)
        if position is not None and position.place.path == str(place):
            other = position.place._replace(inode=path.stat().st_ino, generation=GENERATION + 1)
            rig.stored[key] = position._replace(place=other).encode()
            return
    raise AssertionError(f"nothing is known at {place}")


def test_what_nothing_was_read_of_does_not_claim_what_was_read(rig, tmp_path):
    """An empty file is rotated away and its inode used again; what was read of the new file is found in its .gz, and not read again."""
    path = tmp_path / "app.log"
    path.touch()
    rig.drain()
    write(path, "one\n", 1)
    rotate(path)
    write(path, "two\n", 2)
    use_inode_anew(rig, path, path)
    rig.restart()
    rig.drain()
    rotate(path)
    write(path, "three\n", 3)
    rig.restart()
    rig.drain()
    assert rig.bodies() == ["one", "two", "three"]


def test_a_compressed_file_that_takes_name_and_inode_of_another_is_read(rig, tmp_path):
    """The oldest .gz is removed, the next one gets its inode and, rotated once more, its name: each is read once, and no line is missed."""
    path, packed = tmp_path / "app.log", tmp_path / "app.log.1.gz"
    write(path, "one\n", 1)
    rig.drain()
    rotate(path)
    write(path, "two\n", 2)
    rig.drain(2.0)
    for _ in range(5):
        rig.step(2.0)  # the removed file is not held any more: what it held is found in the .gz
    write(path, "three\n", 3)
    packed.unlink()
    rotate(path)
    write(path, "four\n", 4)
    use_inode_anew(rig, packed, packed)
    rig.restart()
    rig.drain()
    assert rig.bodies() == ["one", "two", "three", "four"]
    assert not rig.drops


def test_the_time_of_a_new_file_says_nothing_of_the_one_before(rig, tmp_path):
    """Two rotations while the agent is dead, and the live file has the inode of the first, empty one: the oldest still comes first."""
    path = tmp_path / "app.log"
    path.touch()
    rig.drain()
    write(path, "one\n", 1)
    rotate(path)
    write(path, "two\n", 2)
    rotate(path)
    write(path, "three\n", 2)
    use_inode_anew(rig, path, path)
    rig.restart()
    rig.drain()
    assert rig.bodies() == ["one", "two", "three"]
