"""The log file source, on real files, with time given by the test."""

from __future__ import annotations

import gzip
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.tail_rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path, open_files: None) -> Iterator[Callable[..., Rig]]:
    """Makes rigs on `tmp_path` and closes them."""
    rigs: list[Rig] = []

    def make(*include: str, **config: object) -> Rig:
        rigs.append(Rig(tmp_path, *include, **config))
        return rigs[-1]

    yield make
    for one in rigs:
        one.close()


def append(path: Path, *lines: str) -> None:
    """Write whole lines."""
    with path.open("a") as file:
        file.writelines(line + "\n" for line in lines)


def test_lines_are_read_once_and_in_order(tmp_path, rig):
    """What is there and what is appended comes once, in order, with the file's name."""
    one = rig()
    append(tmp_path / "a.log", "1", "2")
    assert one.drain() == ["1", "2"]
    append(tmp_path / "a.log", "3")
    assert one.drain() == ["3"]
    assert one.records[0].origin.attributes["log.file.name"] == "a.log"
    assert [record.offset for record in one.records] == [0, 2, 4]


def test_restart_goes_on(tmp_path, rig):
    """A restarted agent goes on where the commit was."""
    one = rig()
    append(tmp_path / "a.log", "1", "2")
    one.drain()
    append(tmp_path / "a.log", "3")
    one.restart()
    assert one.drain() == ["3"]


def test_rename_rotation(tmp_path, rig):
    """The renamed file is read to its end, before the new one."""
    one = rig()
    append(tmp_path / "a.log", "1")
    one.drain()
    append(tmp_path / "a.log", "2")
    os.rename(tmp_path / "a.log", tmp_path / "a.log.1")
    append(tmp_path / "a.log", "3")
    assert one.drain() == ["2", "3"]


def test_rename_rotation_while_stopped(tmp_path, rig):
    """As above, when the agent does not run meanwhile."""
    one = rig()
    append(tmp_path / "a.log", "1")
    one.drain()
    append(tmp_path / "a.log", "2")
    os.rename(tmp_path / "a.log", tmp_path / "a.log.1")
    append(tmp_path / "a.log", "3")
    one.restart()
    assert one.drain() == ["2", "3"]


def test_copytruncate(tmp_path, rig):
    """The copy is read from the old offset, then the live file from its beginning."""
    one = rig()
    append(tmp_path / "a.log", "1")
    one.drain()
    append(tmp_path / "a.log", "2")
    shutil.copy(tmp_path / "a.log", tmp_path / "a.log.1")
    os.truncate(tmp_path / "a.log", 0)
    append(tmp_path / "a.log", "3")
    assert one.drain() == ["2", "3"]


def test_gzip_rotation_while_stopped(tmp_path, rig):
    """The rest is read from the compressed file."""
    one = rig()
    append(tmp_path / "a.log", "1")
    one.drain()
    append(tmp_path / "a.log", "2")
    (tmp_path / "a.log.1.gz").write_bytes(gzip.compress((tmp_path / "a.log").read_bytes()))
    os.unlink(tmp_path / "a.log")
    append(tmp_path / "a.log", "3")
    one.restart()
    assert one.drain() == ["2", "3"]
