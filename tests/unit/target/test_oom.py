"""The kernel's count of OOM kills: found in both versions of cgroups, inside containers too, and None where it can't be read."""

from __future__ import annotations

import pytest

from agent.target.oom import memory_events, oom_kills

V1 = "9:name=systemd:/\n4:cpu,cpuacct:/x\n3:memory:/box/one\n0::/\n"
V2 = "0::/box/one\n"


@pytest.fixture
def machine(tmp_path):
    """Makes the files of a machine; returns its /proc and its cgroups."""

    def make(told: str, **files: str):
        (tmp_path / "proc" / "7").mkdir(parents=True)
        (tmp_path / "proc" / "7" / "cgroup").write_text(told)
        for name, text in files.items():
            file = tmp_path / "cg" / name.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return {"proc": tmp_path / "proc", "cgroups": tmp_path / "cg"}

    return make


def test_v2(machine):
    """The cgroup's memory.events is read."""
    file = memory_events(7, **machine(V2, **{"box__one__memory.events": "low 0\noom 3\noom_kill 2\n"}))
    assert oom_kills(file) == 2


def test_v1(machine):
    """The memory controller's memory.oom_control is read."""
    file = memory_events(7, **machine(V1, **{"memory__box__one__memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"}))
    assert oom_kills(file) == 5


@pytest.mark.parametrize(("told", "name"), [(V2, "memory.events"), (V1, "memory__memory.oom_control")])
def test_in_a_container(machine, told, name):
    """Where the path is the host's, what is mounted is the process's own cgroup."""
    assert oom_kills(memory_events(7, **machine(told, **{name: "oom_kill 1\n"}))) == 1


def test_unknown(machine, tmp_path):
    """No process, no controller, no file, no count: None, and no error."""
    there = machine("0::/gone\n", other="")
    assert memory_events(7, **there) is None
    assert memory_events(8, **there) is None
    (tmp_path / "odd").write_text("oom_kill many\n")
    assert oom_kills(tmp_path / "odd") is None
    assert oom_kills(None) is None


def test_a_bystander(machine, tmp_path):
    """The count of our own cgroup proves nothing about a process in another one, only about one in the same."""
    there = machine("0::/elsewhere\n", **{"memory.events": "oom_kill 1\n"})
    (tmp_path / "proc" / "self").mkdir()
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/ours\n")
    assert memory_events(7, **there, bystander=True) is None
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/elsewhere\n")
    assert oom_kills(memory_events(7, **there, bystander=True)) == 1


def test_a_path_outside(machine, tmp_path):
    """A path that leads out of the cgroups we see is not followed."""
    there = machine("0::/../other\n", **{"memory.events": "oom_kill 1\n"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "memory.events").write_text("oom_kill 9\n")
    (tmp_path / "proc" / "self").mkdir()
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/\n")
    assert memory_events(7, **there, bystander=True) is None
