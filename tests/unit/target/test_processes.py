from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from agent.target.measure import add_cpu
from agent.target.processes import Reader, Table, command_line, mounted, open_files_limit, parse_open_files
from agent.target.usage import Usage
from agent.testing.clock import START_NS
from tests.support.fake_proc import LIMITS, UP, FakeProc


def _table(*pairs: tuple[int, int]) -> Table:
    return Table({}, dict(pairs), 0.0)


def test_descendants_are_found_at_any_depth():
    """The whole tree below the roots belongs to it, and nothing else; a root that is gone has none."""
    table = _table((1, 0), (10, 1), (11, 10), (12, 11), (20, 1))
    assert table.descendants([10, 99]) == {10, 11, 12}
    assert table.descendants([10, 11]) == {10, 11, 12}


def test_a_loop_of_parents_ends():
    """A table that was read while it changed may even hold a circle."""
    assert _table((5, 6), (6, 5)).descendants([5]) == {5, 6}


def test_tops_have_no_parent_among_the_members():
    """The main processes are those that no other member started."""
    assert _table((1, 0), (10, 1), (11, 10), (30, 2)).tops({10, 11, 30}) == {10, 30}


def test_the_real_table_holds_us_and_our_child():
    """The kernel's own table holds this test, its parent and its child."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        table = Reader().read(0.0)
    finally:
        child.kill()
        child.wait()
    assert table.parents[child.pid] == os.getpid()
    assert table.processes[os.getpid()] == psutil.Process()
    assert table.descendants([os.getpid()]) >= {os.getpid(), child.pid}


def test_age_follows_the_clock_when_it_is_set(tmp_path):
    """The moment of the boot moves with the clock; the age of a process does not."""
    proc, reader = FakeProc(tmp_path), Reader()
    proc.drop(1)
    proc.put(7, started=40)
    proc.put(8, started=60)
    now = START_NS / 1e9
    with mounted(tmp_path):
        ages = []
        for step in (0, 3600):
            (tmp_path / "stat").write_text(f"btime {now - UP + step:.0f}\n")
            table = reader.read(now + step)
            ages.append(table.age_of_oldest(table.processes.values()))
    assert ages == [60, 60]
    assert _table().age_of_oldest([]) is None


def test_a_zombie_has_its_cpu_time_only(tmp_path):
    """A process that has ended and was not waited for still counts its CPU, so that nothing is counted twice when its parent takes it over."""
    proc, usage = FakeProc(tmp_path), Usage()
    proc.put(7, user=1, waited=2)
    proc.put(8, user=5, state="Z")
    with mounted(tmp_path):
        alive, zombies = add_cpu(usage, Reader().read(0.0).processes.values())
    assert ([one.pid for one in alive], [one.pid for one in zombies], usage.user) == ([1, 7], [8], 8)


def test_what_ends_while_it_is_looked_at_adds_nothing(tmp_path):
    """A process that is gone by the time of its figures is none of those that live, and no error."""
    proc, usage = FakeProc(tmp_path), Usage()
    proc.put(7, user=1)
    with mounted(tmp_path):
        table = Reader().read(0.0)
        proc.drop(7)
        assert add_cpu(usage, [table.processes[7]]) == ([], set())
        assert command_line(table.processes[7]) == ""
    assert (usage.user, open_files_limit(tmp_path, 7)) == (0, None)


@pytest.mark.parametrize(
    ("content", "limit"), [(LIMITS, 10), (f"Limit  Soft\n{LIMITS}", 10), (LIMITS.replace(" 10 ", " unlimited "), None), ("", None)]
)
def test_the_soft_limit_of_open_files(content, limit):
    """The first of both limits counts; no limit is None."""
    assert parse_open_files(content.encode()) == limit


def test_the_limit_is_the_one_that_the_kernel_holds():
    """The figures read of the file are those that psutil gives for the same process."""
    assert open_files_limit(Path("/proc"), os.getpid()) == psutil.Process().rlimit(psutil.RLIMIT_NOFILE)[0]
