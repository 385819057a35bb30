"""Processes that a command left behind: their pipe is handed over to a process of its own, and their lines are counted."""

from __future__ import annotations

import fcntl
import os
import sys

from agent.exec import passing
from agent.exec.left_behind import hand_over, uncollected


def test_counts_of_those_that_have_ended_are_found(tmp_path):
    """One that is locked still counts; a file without a number counts nothing, and other files are not looked at."""
    for name, text in (("left-behind.a", "12\n"), ("left-behind.b", "7\n"), ("left-behind.c", ""), ("spool.db", "1\n")):
        (tmp_path / name).write_text(text)
    with (tmp_path / "left-behind.b").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert list(uncollected(tmp_path)) == [(tmp_path / "left-behind.a", 12), (tmp_path / "left-behind.c", 0)]
    assert len(list(uncollected(tmp_path))) == 3


def test_what_cannot_be_handed_over_leaves_nothing_locked_or_open(tmp_path, monkeypatch):
    """The caller passes on itself."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    before = os.listdir("/proc/self/fd")

    assert not hand_over(0, 1, tmp_path)
    assert not hand_over(0, 1, tmp_path / "none")
    assert os.listdir("/proc/self/fd") == before
    assert [lines for _, lines in uncollected(tmp_path)] == [0]


def passed_on(*chunks):
    """Write chunks into the pipe of a process that passes on; return everything that arrives."""
    source, writer = os.pipe()
    out, sink = os.pipe()
    assert hand_over(source, sink, None)
    os.close(source)
    os.close(sink)
    for chunk in chunks:
        os.write(writer, chunk)
    os.close(writer)
    with open(out, "rb") as file:
        return file.read()


def test_every_byte_is_passed_on_to_the_last_writer():
    """Bytes of any kind, in order, and the reader sees the end with the last writer."""
    assert passed_on(b"a\xff\0\n", b"b" * 60_000, b"no end") == b"a\xff\0\n" + b"b" * 60_000 + b"no end"
    os.waitpid(-1, 0)


def test_lines_are_counted_each_once(tmp_path, monkeypatch):
    """The last one needs no end, and one that comes in pieces is one."""
    source, writer = os.pipe()
    counts = (tmp_path / "count").open("wb")
    null = os.open(os.devnull, os.O_WRONLY)
    for text in (b"1\n2\n3", b"3\n4\n", b"5"):
        os.write(writer, text)
    os.close(writer)
    monkeypatch.setattr(passing.os, "setsid", lambda: None)
    monkeypatch.setattr(passing.os, "chdir", lambda _path: None)
    monkeypatch.setattr(passing, "COUNT", counts.fileno())
    monkeypatch.setattr(passing.os, "read", lambda fd, size, real=os.read: real(source if fd == 0 else fd, size))
    monkeypatch.setattr(passing, "write_all", lambda _fd, chunk: passing_to(null, chunk))

    passing.main()

    os.close(source)
    os.close(null)
    counts.close()
    assert (tmp_path / "count").read_bytes() == b"5\n"


def passing_to(null, chunk):
    """Write where nothing is kept."""
    os.write(null, chunk)
    return b""
