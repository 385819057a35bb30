"""How others' processes end: the kernel is asked in every way there is, and what it does not answer is not guessed."""

from __future__ import annotations

import os
import subprocess

import pytest

from agent.target import ending
from agent.target.ending import How, Watch, may_trace, parse_stat, read_stat

ENDS = {"well": ("", 0), "code": ("import sys; sys.exit(7)", 7 << 8), "signal": ("import os; os.kill(os.getpid(), 11)", 11)}
LINE = b"7 (a (b) c) S 1 7 7 0 -1 4194304 76 0 0 0 0 0 0 0 20 0 1 0 4711 0 0" + b" 0" * 27 + b" 256"


def start(program: str = "") -> subprocess.Popen:
    """A process that waits for us, runs a program, and ends."""
    return subprocess.Popen(["python3", "-c", f"import sys; sys.stdin.read()\n{program}"], stdin=subprocess.PIPE)


def watch(process: subprocess.Popen) -> Watch:
    """A watch on it."""
    return Watch(process.pid, read_stat(process.pid).start)


def until_zombie(process: subprocess.Popen) -> None:
    """Let it end, without waiting for it."""
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def test_a_line_is_taken_apart():
    """The name may hold blanks and parentheses; a line that is cut off is none."""
    stat = parse_stat(LINE)
    assert (stat.name, stat.zombie, stat.parent, stat.start, stat.status) == ("a (b) c", False, 1, 4711, 256)
    assert parse_stat(LINE.replace(b" S ", b" Z ")).zombie
    assert parse_stat(b"7 (a) S 1") is None
    assert parse_stat(b"") is None


@pytest.mark.parametrize(("program", "status"), ENDS.values(), ids=ENDS)
def test_a_zombie_tells(program, status, monkeypatch):
    """The status of a zombie is in its stat, also where pidfds do not give it."""
    monkeypatch.setattr(ending, "pidfd_status", lambda _fd: None)
    process = start(program)
    seen = watch(process)
    assert (seen.look(), seen.how) == (0, None)
    until_zombie(process)
    assert (seen.look(), seen.how) == (0, How(status))
    process.wait()
    seen.close()


@pytest.mark.parametrize(("program", "status"), ENDS.values(), ids=ENDS)
def test_a_pidfd_tells_for_good(program, status):
    """The status is known after the parent has had it, where the kernel remembers it; elsewhere it is unknown."""
    process = start(program)
    seen = watch(process)
    process.stdin.close()
    process.wait()
    assert seen.look() == 0
    if seen.how.status is None:
        pytest.skip("this kernel forgets (it is older than 6.15)")
    assert seen.how == How(status)
    seen.close()


def test_nobody_knows(monkeypatch):
    """A process that is gone, of a kernel that forgets, has ended with no known status; a later look may still find it."""
    told = iter([None, 3 << 8])
    monkeypatch.setattr(ending, "pidfd_status", lambda _fd: next(told))
    process = start()
    seen = watch(process)
    process.stdin.close()
    process.wait()
    seen.look()
    assert seen.how == How(None)
    seen.look()
    assert seen.how == How(3 << 8)
    seen.close()


def test_a_zombie_of_somebody_else(monkeypatch):
    """The kernel shows 0 to a process that may not know: then it is unknown, and not taken for a good end."""
    monkeypatch.setattr(ending, "pidfd_status", lambda _fd: None)
    monkeypatch.setattr(ending, "may_trace", lambda _pid, _proc: False)
    process = start()
    seen = watch(process)
    until_zombie(process)
    seen.look()
    assert seen.how == How(None)
    process.wait()
    seen.close()


def test_the_same_number_is_not_the_same_process():
    """A process that has the number at another start is another one: ours has ended."""
    seen = Watch(os.getpid(), read_stat(os.getpid()).start - 1)
    assert seen.fileno() is None
    seen.look()
    assert seen.how == How(None)


def test_our_own_may_be_traced():
    """A process that runs as our user shows its status; one that is not there does not."""
    assert may_trace(os.getpid())
    assert not may_trace(2**22 + 1)


def test_a_pidfd_wakes(tmp_path):
    """The file descriptor becomes readable when the process ends; in another table there is none, and the watch works by looking."""
    import select

    process = start()
    seen = watch(process)
    waiting = select.poll()
    waiting.register(seen.fileno(), select.POLLIN)
    assert waiting.poll(0) == []
    process.stdin.close()
    assert waiting.poll(10_000)
    process.wait()
    seen.close()
    seen.close()
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_bytes(LINE)
    elsewhere = Watch(7, 4711, tmp_path)
    assert (elsewhere.fileno(), elsewhere.look(), elsewhere.how) == (None, 0, None)
    (tmp_path / "7" / "stat").write_bytes(LINE.replace(b" S ", b" Z "))
    elsewhere.look()
    assert elsewhere.how == How(256)


def test_oom_kills_since_the_last_look(tmp_path):
    """Each OOM kill of the cgroup is reported once: beside a process that lives on, or as part of its end."""
    process = start()
    seen = watch(process)
    seen._memory = tmp_path / "memory.events"
    seen._kills = 3
    for count, wanted in ((3, 0), (4, 1), (4, 0)):
        seen._memory.write_text(f"oom_kill {count}\n")
        assert seen.look() == wanted
    seen._memory.write_text("oom_kill 6\n")
    until_zombie(process)
    assert seen.look() == 0
    assert seen.how == How(0, 2)
    process.wait()
    seen.close()


def test_watches_leave_nothing_open():
    """A closed watch has given its file descriptor back."""
    before = len(os.listdir("/proc/self/fd"))
    process = start()
    seen = watch(process)
    seen.close()
    process.stdin.close()
    process.wait()
    assert len(os.listdir("/proc/self/fd")) == before
