"""The file systems of processes: paths are walked as the process would, nothing outside of its root is reached, nothing but files is opened."""

from __future__ import annotations

import os
import subprocess

import pytest

from agent.target import roots as module
from agent.target.roots import KEPT, Roots, open_file, own

NOW_NS = 1_700_000_000_000_000_000


@pytest.fixture
def jail(tmp_path):
    """A root directory with things in it, and what is outside of it."""
    (tmp_path / "outside.py").write_text("outside\n")
    root = tmp_path / "root"
    (root / "app" / "deep").mkdir(parents=True)
    (root / "app" / "a.py").write_text("inside\n")
    (root / "outside.py").write_text("the root's own\n")
    return root


@pytest.fixture
def read(jail):
    """Reads a path below the root; returns its text and real name."""
    fd = os.open(jail, os.O_PATH | os.O_DIRECTORY)

    def reader(path: str) -> tuple[str, str]:
        file, name = open_file(fd, path)
        with os.fdopen(file) as text:
            return text.read(), name

    yield reader
    os.close(fd)


def test_a_plain_path(read):
    """Doubled slashes, dots and steps back are walked as usual."""
    assert read("/app/a.py") == ("inside\n", "a.py")
    assert read("//app/./deep/../a.py") == ("inside\n", "a.py")


def test_nobody_climbs_out(read):
    """Above the root there is only the root."""
    assert read("/../../outside.py") == ("the root's own\n", "outside.py")
    assert read("/app/../../../outside.py") == ("the root's own\n", "outside.py")


def test_links_stay_inside(read, jail):
    """An absolute link begins at the root of the process, not at ours; a relative one can't climb out either. The real name is returned."""
    (jail / "app" / "absolute.py").symlink_to("/outside.py")
    (jail / "app" / "relative.py").symlink_to("../../outside.py")
    (jail / "app" / "folder").symlink_to("/app")
    (jail / "app" / "other.py").symlink_to("a.py")
    assert read("/app/absolute.py")[0] == "the root's own\n"
    assert read("/app/relative.py")[0] == "the root's own\n"
    assert read("/app/folder/folder/a.py")[0] == "inside\n"
    assert read("/app/other.py") == ("inside\n", "a.py")


def test_what_is_no_file(read, jail):
    """Directories, FIFOs, devices, loops, endless paths, files as directories, and what is not there: an OSError, at once."""
    os.mkfifo(jail / "app" / "pipe.py")
    (jail / "app" / "loop.py").symlink_to("loop.py")
    for path in ("/app", "/app/pipe.py", "/app/loop.py", "/app/a.py/b", "/missing.py", "/" * 1000, "/app/.." * 300 + "/app/a.py", "", "/"):
        with pytest.raises(OSError, match=r".+"):
            read(path)
    with pytest.raises(ValueError, match="null"):
        read("/nul\0.py")


def test_a_device_is_not_opened(monkeypatch):
    """A device is looked at and not opened: opening one may do something."""
    opened = []
    original = os.open

    def spy(path, flags, *rest, **more):
        opened.append((path, flags))
        return original(path, flags, *rest, **more)

    monkeypatch.setattr(module.os, "open", spy)
    with pytest.raises(OSError, match="regular"):
        open_file(own().fd, "/dev/zero")
    assert all(flags & os.O_PATH for _, flags in opened)


def test_nothing_is_left_open(read):
    """Every walk gives back its directories, also one that fails."""
    before = len(os.listdir("/proc/self/fd"))
    read("/app/deep/../a.py")
    with pytest.raises(OSError, match=r".+"):
        read("/app/deep/missing.py")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_s_root():
    """The root of a living process is held with the time of its start, also when it has ended, for a while; then it is let go."""
    before = len(os.listdir("/proc/self/fd"))
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    roots = Roots()
    roots.follow(process.pid, NOW_NS)
    (root,) = roots()
    assert NOW_NS - 60 * 10**9 < root.newest_ns <= NOW_NS + 10**9
    process.stdin.close()
    process.wait()
    roots.forget(process.pid, 100.0)
    os.close(open_file(root.fd, os.path.realpath(__file__))[0])
    roots.forget(process.pid + 1, 100.0 + KEPT + 1)
    assert roots() == ()
    roots.follow(process.pid, NOW_NS)
    assert roots() == ()
    roots.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_is_held_once():
    """The same process again takes no second file descriptor; the latest comes first."""
    roots = Roots()
    parent = os.getppid()
    for pid in (os.getpid(), parent, parent):
        roots.follow(pid, NOW_NS)
    if len(roots()) < 2:
        pytest.skip("the root of our parent may not be looked at")
    assert len(roots()) == 2
    assert os.stat(roots()[0].fd).st_ino == os.stat("/").st_ino
    roots.close()
    roots.close()
