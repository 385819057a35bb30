from __future__ import annotations

import os

import pytest

from agent.options import OptionError
from agent.target.find import check_target, finder, members
from agent.target.processes import Reader, mounted
from agent.testing.clock import START_NS
from tests.support.fake_proc import UP, FakeProc

BOOT = START_NS / 1e9 - UP


@pytest.fixture
def proc(tmp_path):
    """A process table made by hand."""
    return FakeProc(tmp_path)


class Search:
    """Finds a target again and again; times are seconds since the boot."""

    def __init__(self, target: str, proc: FakeProc) -> None:
        self._finder, self._proc, self._reader = finder(target), proc, Reader()

    def at(self, uptime: float) -> set[int]:
        with mounted(self._proc.root):
            return self._finder.find(self._reader.read(BOOT + uptime))

    @property
    def why(self) -> str:
        """Why there is none."""
        return self._finder.why


@pytest.mark.parametrize("target", ["pid:1", "pidfile:/run/app.pid", "name:python.*app", "cgroup:system.slice/app.service"])
def test_targets_are_taken_as_written(target):
    """The four kinds pass."""
    assert check_target(target) == target


@pytest.mark.parametrize("target", ["", "pid", "pid:", "pid:x", "pid:-1", "process:1", "name:(", "cgroup:"])
def test_other_targets_are_refused_with_a_fix(target):
    """A text that is not a target is refused with what to write instead."""
    with pytest.raises(OptionError) as error:
        check_target(target)
    assert error.value.fix


def test_a_number_means_one_process(proc):
    """`pid:N` is the process that had the number first; a later one with the same number is another one."""
    search = Search("pid:7", proc)
    proc.put(7, started=100)
    proc.put(8, started=100)
    assert search.at(500) == {7}
    proc.drop(7)
    assert search.at(500) == set()
    proc.put(7, started=400)
    assert [search.at(500), search.at(501)] == [set(), set()]


def test_a_command_line_is_searched(proc):
    """`name:` finds every process whose command line matches, and never ourselves, whose command line may hold the pattern."""
    for pid, line in ((5, b"python\0app.py\0--port=1\0"), (6, b"python\0other.py\0"), (os.getpid(), b"outrider\0exec\0python\0app.py\0")):
        proc.put(pid, command=line)
    proc.put(9)
    assert Search("name:python .*app", proc).at(500) == {5}


def test_any_bytes_may_stand_in_a_command_line(proc):
    """Bytes that are not UTF-8 are searched as their escapes."""
    proc.put(5, command=b"app\0\xff\xfe\0")
    proc.put(6, command=b"caf\xc3\xa9\0")
    assert Search(r"name:app \\xff", proc).at(500) == {5}
    assert Search("name:café", proc).at(500) == {6}


def test_a_young_process_may_become_another_program(proc):
    """Between fork and exec a child has its parent's command line; only later is the decision final."""
    search = Search("name:app", proc)
    proc.put(5, started=100, command=b"sh\0")
    assert search.at(101) == set()
    proc.put(5, started=100, command=b"app\0")
    assert search.at(105) == {5}
    assert search.at(300) == {5}
    proc.put(5, started=100, command=b"renamed\0")
    assert search.at(400) == {5}
    proc.put(5, started=350, command=b"renamed\0")
    assert [search.at(500), search.at(501)] == [set(), set()]


@pytest.mark.parametrize(("content", "wanted"), [(b"7\n", {7}), (b"8\n", set()), (b"", set()), (b"x", set()), (b"9" * 100, set())])
def test_a_pid_file_names_the_process(proc, tmp_path, content, wanted):
    """`pidfile:` follows the file, whatever stands in it."""
    path = tmp_path / "app.pid"
    path.write_bytes(content)
    proc.put(7, started=100)
    assert Search(f"pidfile:{path}", proc).at(101) == wanted


@pytest.mark.parametrize(("started", "wanted"), [(4500, set()), (4011, set()), (4008, {7}), (3990, {7})])
def test_a_stale_pid_file_names_nobody(proc, tmp_path, started, wanted):
    """A process that began after the file was written has the number by chance."""
    path = tmp_path / "app.pid"
    path.write_bytes(b"7")
    os.utime(path, (BOOT + 4000, BOOT + 4000))
    proc.put(7, started=started)
    search = Search(f"pidfile:{path}", proc)
    assert search.at(5000) == wanted
    assert ("older than the process 7" in search.why) is not bool(wanted)


def test_why_there_is_none(proc, tmp_path):
    """Each way to find nothing has its sentence, which is gone once something is found."""
    path = tmp_path / "app.pid"
    search = Search(f"pidfile:{path}", proc)
    told = []
    for content in ("", "word", "7"):
        search.at(5)
        told.append(search.why)
        path.write_text(content)
    search.at(5)
    told.append(search.why)
    assert told == [
        "the file can't be read: No such file or directory",
        "the file holds no process number",
        "the file holds no process number",
        "there is no process 7, which the file names",
    ]
    proc.put(7)
    assert (search.at(5), search.why) == ({7}, "")
    for target, why in (("pid:8", "there is no process 8 that we can see"), ("name:nothing", "no command line matches it")):
        other = Search(target, proc)
        assert (other.at(5), other.why) == (set(), why)
    away = Search("cgroup:no/such.slice", proc)
    assert (away.at(5), away.why) == (set(), "there is no cgroup /sys/fs/cgroup/no/such.slice")


def test_no_pid_file_is_no_process(proc, tmp_path):
    """Before the workload has written its file there is nothing to measure."""
    proc.put(7)
    assert Search(f"pidfile:{tmp_path}/none", proc).at(5) == set()


def test_a_cgroup_has_members_at_all_levels(tmp_path):
    """The processes of a cgroup are those in it and below it; one that is gone has none."""
    (tmp_path / "app" / "worker").mkdir(parents=True)
    (tmp_path / "app" / "cgroup.procs").write_text("5\n6\n")
    (tmp_path / "app" / "worker" / "cgroup.procs").write_text("7\n")
    assert members(tmp_path / "app") == {5, 6, 7}
    assert members(tmp_path / "none") == set()


def test_a_cgroup_may_be_written_from_its_root(proc, tmp_path, monkeypatch):
    """With or without a leading slash it is one below where cgroups are mounted; members that we can't see are none."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "cgroup.procs").write_text("5\n6\n")
    monkeypatch.setattr("agent.target.find._CGROUPS", tmp_path)
    proc.put(5)
    assert [Search(f"cgroup:{path}", proc).at(5) for path in ("app", "/app")] == [{5}, {5}]
