from __future__ import annotations

import os
import time

import pytest

from agent.options import OptionError
from agent.parse.proc import Stat
from agent.target.find import check_target, finder, members
from agent.target.procfs import ProcDir
from agent.target.usage import TICKS


def _table(*entries: tuple[int, int]) -> dict[int, Stat]:
    return {pid: Stat(pid, "x", "S", 1, 0, 0, 0, 0, 1, started * TICKS, 0, 0) for pid, started in entries}


@pytest.fixture
def proc(tmp_path):
    """A process table made by hand: write command lines into it."""
    return ProcDir(tmp_path)


def _command(proc: ProcDir, pid: int, line: bytes) -> None:
    (proc.root / str(pid)).mkdir(exist_ok=True)
    (proc.root / str(pid) / "cmdline").write_bytes(line)


@pytest.mark.parametrize("target", ["pid:1", "pidfile:/run/app.pid", "name:python.*app", "cgroup:system.slice/app.service"])
def test_targets_are_taken_as_written(target):
    """The four kinds pass."""
    assert check_target(target) == target


@pytest.mark.parametrize("target", ["", "pid", "pid:", "pid:x", "pid:-1", "process:1", "name:(", "cgroup:"])
def test_other_targets_are_refused_with_a_fix(target):
    """What is no target says what to write instead."""
    with pytest.raises(OptionError) as error:
        check_target(target)
    assert error.value.fix


def test_a_number_means_one_process(proc):
    """`pid:N` is the process that had the number first; a later one with the same number is somebody else."""
    find = finder("pid:7", proc)
    assert find(_table((7, 100), (8, 100)), 500) == {7}
    assert find(_table((8, 100)), 500) == set()
    assert find(_table((7, 400)), 500) == set()


def test_a_command_line_is_searched(proc):
    """`name:` finds every process whose command line matches, and never ourselves, whose command line may hold the pattern."""
    for pid, line in ((5, b"python\0app.py\0--port=1\0"), (6, b"python\0other.py\0"), (os.getpid(), b"outrider\0exec\0python\0app.py\0")):
        _command(proc, pid, line)
    table = _table((5, 1), (6, 1), (os.getpid(), 1), (9, 1))
    assert finder("name:python .*app", proc)(table, 500) == {5}


def test_a_young_process_may_become_another_program(proc):
    """Between fork and exec a child has its parent's command line; only later is the decision final."""
    find = finder("name:app", proc)
    _command(proc, 5, b"sh\0")
    assert find(_table((5, 100)), 101) == set()
    _command(proc, 5, b"app\0")
    assert find(_table((5, 100)), 105) == {5}
    assert find(_table((5, 100)), 300) == {5}
    _command(proc, 5, b"renamed\0")
    assert find(_table((5, 100)), 400) == {5}
    assert find(_table((5, 350)), 500) == set()


@pytest.mark.parametrize(("content", "wanted"), [(b"7\n", {7}), (b"8\n", set()), (b"", set()), (b"x", set()), (b"9" * 100, set())])
def test_a_pid_file_names_the_process(proc, tmp_path, content, wanted):
    """`pidfile:` follows the file, whatever stands in it."""
    path = tmp_path / "app.pid"
    path.write_bytes(content)
    assert finder(f"pidfile:{path}", proc)(_table((7, 100)), 101) == wanted


def test_a_stale_pid_file_names_nobody(proc, tmp_path):
    """A process that began after the file was written has the number by chance."""
    path = tmp_path / "app.pid"
    path.write_bytes(b"7")
    os.utime(path, (time.time() - 1000, time.time() - 1000))
    find = finder(f"pidfile:{path}", proc)
    assert find(_table((7, 4500)), 5000) == set()
    assert find(_table((7, 3990)), 5000) == {7}


def test_no_pid_file_is_no_process(proc, tmp_path):
    """Before the workload has written its file there is nothing to measure."""
    assert finder(f"pidfile:{tmp_path}/none", proc)(_table((7, 1)), 5) == set()


def test_a_cgroup_has_members_at_all_levels(tmp_path):
    """The processes of a cgroup are those in it and below it; one that is gone has none."""
    (tmp_path / "app" / "worker").mkdir(parents=True)
    (tmp_path / "app" / "cgroup.procs").write_text("5\n6\n")
    (tmp_path / "app" / "worker" / "cgroup.procs").write_text("7\n")
    assert members(tmp_path / "app") == {5, 6, 7}
    assert members(tmp_path / "none") == set()
