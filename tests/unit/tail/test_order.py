"""Lines come in the order in which they were written, whatever was rotated while no agent ran."""

from __future__ import annotations

import os
import shutil

import pytest

from agent.tail.open import inode_generation
from agent.tail.position import decode
from tests.support.tail_rig import Rig


@pytest.fixture
def rig(tmp_path):
    """A follower of `*.log`."""
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def copy_and_truncate(path, to):
    """As logrotate does it."""
    shutil.copy2(path, to)
    os.truncate(path, 0)


def test_copies_of_a_file_known_as_empty_come_before_it(rig, tmp_path):
    """A file that was seen empty only, then written, copied and truncated twice while the agent was dead: oldest first, live last."""
    path = tmp_path / "app.log"
    path.touch()
    rig.drain()
    path.write_text("one\n")
    copy_and_truncate(path, tmp_path / "app.log-20260301-000001")
    path.write_text("two\n")
    copy_and_truncate(path, tmp_path / "app.log-20260301-000002")
    path.write_text("three\n")
    rig.restart()
    assert rig.drain() == ["one", "two", "three"]
    rig.restart()
    assert rig.drain() == []


def test_a_kill_between_copies_and_live_file_changes_nothing(rig, tmp_path):
    """The new order is stored: after each batch the agent may die."""
    path = tmp_path / "app.log"
    path.touch()
    rig.drain()
    for number in range(5):
        path.write_text(f"line {number}\n")
        copy_and_truncate(path, tmp_path / f"app.log-20260301-00000{number + 1}")
    path.write_text("line 5\n")
    for _ in range(60):
        rig.restart()
        for _ in range(3):
            rig.step()
    rig.drain()
    assert rig.bodies() == [f"line {number}" for number in range(6)]


@pytest.mark.parametrize("known", [True, False])
def test_inode_of_an_unread_file_used_anew_is_another_file(rig, tmp_path, known):
    """A file of which nothing was read is removed, and its inode holds the copy of another log: each keeps its own name and order."""
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.touch()
    second.touch()
    rig.drain()
    first.unlink()
    copy = tmp_path / "b.log-20260301-000001"
    second.write_text("one\n")
    copy_and_truncate(second, copy)
    stored = {key: value for key, value in rig.stored.items() if key != "@next"}
    for key, value in stored.items():
        position = decode(value)
        if position.name == str(first):  # as if the kernel had given the inode again: not every file system does
            place = position.place._replace(inode=copy.stat().st_ino, generation=int(known and position.place.generation + 1))
            rig.stored[key] = position._replace(place=place).encode()
    second.write_text("two\n")
    rig.restart()
    assert rig.drain() == ["one", "two"]
    assert {record.origin.attributes["log.file.name"] for record in rig.records} <= {"b.log", copy.name}


def test_generation_is_known_from_the_beginning(rig, tmp_path):
    """A file is known by its inode's generation before anything was read of it, where the file system has one."""
    path = tmp_path / "a.log"
    path.touch()
    with path.open("rb") as file:
        generation = inode_generation(file.fileno())
    rig.drain()
    [position] = [decode(value) for key, value in rig.stored.items() if key != "@next"]
    assert position.place.generation == generation
