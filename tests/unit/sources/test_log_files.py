"""The log file source, on real files, with time given by the test."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import os
import resource
import shutil
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from agent.component import Context
from agent.metrics import Metrics
from agent.sources.log_batches import Batches
from agent.sources.log_config import options
from agent.sources.log_files import LogFiles
from agent.tail.position import PositionError, decode
from agent.tail.tail import Tail
from agent.telemetry import Telemetry
from agent.testing.clock import FakeClock
from agent.testing.sink import Sink
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


def later(path: Path, seconds: int) -> None:
    """Give a file a time stamp that many seconds from now."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + seconds * 10**9))


def fail(number: int) -> Callable[..., bytes]:
    """A system call that fails."""

    def call(*_args: object) -> bytes:
        raise OSError(number, os.strerror(number))

    return call


def test_lines_are_read_once_and_in_order(tmp_path, rig):
    """Existing and appended lines come once, in order, with the file's name."""
    one = rig()
    append(tmp_path / "a.log", "1", "2")
    assert one.drain() == ["1", "2"]
    append(tmp_path / "a.log", "3")
    assert one.drain() == ["3"]
    assert one.records[0].origin.attributes["log.file.name"] == "a.log"
    assert [record.offset for record in one.records] == [0, 2, 4]


def test_restart_goes_on(tmp_path, rig):
    """A restarted agent continues where the commit was."""
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


def test_truncation_behind_our_back(tmp_path, rig):
    """A file that was emptied and has grown past the offset while the agent was down is read from its beginning."""
    one = rig()
    append(tmp_path / "a.log", "1", "2")
    one.drain()
    (tmp_path / "a.log").write_text("new 1\nnew 2\n")
    one.restart()
    assert one.drain() == ["new 1", "new 2"]


def test_truncated_bytes_are_counted(tmp_path, rig):
    """Bytes that were seen but not read before a truncation are counted."""
    one = rig()
    append(tmp_path / "a.log", "1")
    one.drain()
    with (tmp_path / "a.log").open("a") as file:
        file.write("no end")
    one.drain()
    os.truncate(tmp_path / "a.log", 0)
    one.drain()
    assert one.drops == {"truncated_window": 6}
    assert "truncated" in one.events


def test_several_rotations_while_stopped(tmp_path, rig):
    """A chain of rotated files, compressed or not, asked for or not, is read in the order it was written in."""
    one = rig("a.log")
    append(tmp_path / "a.log", "1")
    one.drain()
    append(tmp_path / "a.log", "2")
    (tmp_path / "a.log.3.gz").write_bytes(gzip.compress((tmp_path / "a.log").read_bytes()))
    os.unlink(tmp_path / "a.log")
    later(tmp_path / "a.log.3.gz", 1)
    append(tmp_path / "a.log.2", "3")
    later(tmp_path / "a.log.2", 2)
    append(tmp_path / "a.log.1", "4")
    later(tmp_path / "a.log.1", 3)
    append(tmp_path / "a.log", "5")
    one.restart()
    assert one.drain() == ["2", "3", "4", "5"]


def test_older_rotated_files_are_not_asked_for(tmp_path, rig):
    """A file that was rotated away before the agent came is left alone, unless a glob asks for it."""
    append(tmp_path / "a.log.1", "old")
    later(tmp_path / "a.log.1", -10)
    append(tmp_path / "a.log", "1")
    assert rig("a.log").drain() == ["1"]
    assert rig("a.log*").drain() == ["old", "1"]


def test_a_copy_of_a_living_file_is_not_read(tmp_path, rig):
    """Between the copy and the truncation, the copy is not a new file, even if a glob asks for it."""
    one = rig("a.log*")
    append(tmp_path / "a.log", "1")
    one.drain()
    shutil.copy(tmp_path / "a.log", tmp_path / "a.log.1")
    assert one.drain() == []
    os.truncate(tmp_path / "a.log", 0)
    append(tmp_path / "a.log", "2")
    assert one.drain() == ["2"]


def test_equal_heads_are_different_files(tmp_path, rig):
    """Files are never taken for one because they begin alike."""
    banner = ["the same"] * 500
    for name in ("a.log", "b.log"):
        append(tmp_path / name, *banner, name)
    assert sorted(rig().drain()) == sorted([*banner, "a.log", *banner, "b.log"])


def test_empty_files_are_different_files(tmp_path, rig):
    """Files without any content are followed each."""
    for number in range(20):
        (tmp_path / f"{number}.log").touch()
    one = rig()
    one.drain()
    for number in range(20):
        append(tmp_path / f"{number}.log", str(number))
    assert sorted(one.drain(), key=int) == [str(number) for number in range(20)]


def test_hard_links_and_two_globs(tmp_path, rig):
    """A file is read once, however many names and globs lead to it."""
    append(tmp_path / "a.log", "1")
    os.link(tmp_path / "a.log", tmp_path / "b.log")
    os.symlink("a.log", tmp_path / "c.log")
    assert rig("*.log", "a.*").drain() == ["1"]


def test_retargeted_link(tmp_path, rig):
    """A link is followed to where it leads now; what it led to before is read to its end."""
    append(tmp_path / "day1.txt", "1")
    os.symlink("day1.txt", tmp_path / "current.log")
    one = rig("current.log")
    one.drain()
    append(tmp_path / "day1.txt", "2")
    append(tmp_path / "day2.txt", "3")
    os.symlink("day2.txt", tmp_path / "new")
    os.rename(tmp_path / "new", tmp_path / "current.log")
    assert sorted(one.drain()) == ["2", "3"]
    assert next(record for record in one.records if record.body == "3").origin.attributes["log.file.path_resolved"] == str(
        tmp_path / "day2.txt"
    )


def test_removed_file_is_read_to_its_end(tmp_path, rig):
    """A removed file is read on as long as its writer writes, then let go."""
    one = rig()
    with (tmp_path / "a.log").open("a") as writer:
        writer.write("1\n")
        writer.flush()
        one.drain()
        os.unlink(tmp_path / "a.log")
        writer.write("2\nno end")
        writer.flush()
        assert one.drain() == ["2"]
    for _ in range(40):
        one.step()
    assert one.bodies()[-1] == "no end"
    assert len(one.tail.pool) == 0


def test_forgotten_when_nothing_can_match(tmp_path, rig):
    """The position of a vanished file goes, that of a silent one stays however long."""
    one = rig()
    append(tmp_path / "a.log", "1")
    append(tmp_path / "b.log", "1")
    one.drain()
    os.unlink(tmp_path / "a.log")
    one.drain()
    for _ in range(30):
        one.step(100.0)
    assert len(one.stored) == 2  # b.log, and the next number
    one.restart()
    assert one.drain() == []


def test_partial_line_waits(tmp_path, rig):
    """A line without an end is not read, and the position stays before it."""
    one = rig(partial_idle=0)
    with (tmp_path / "a.log").open("a") as file:
        file.write("1\nhal")
        file.flush()
        assert one.drain() == ["1"]
        one.restart()
        file.write("f\n")
    assert one.drain() == ["half"]


def test_silent_partial_line(tmp_path, rig):
    """After long silence a last line is given out once; what comes then is a record of its own, also after a restart."""
    one = rig(partial_idle=10)
    with (tmp_path / "a.log").open("a") as file:
        file.write("1\nhal")
        file.flush()
        one.drain()
        for _ in range(60):
            one.step()
        one.restart()
        file.write("f\n2\n")
    one.drain()
    assert one.bodies() == ["1", "hal", "f", "2"]
    assert [record.attributes.get("log.partial") for record in one.records] == [None, True, True, None]


def test_silent_partial_line_that_was_whole(tmp_path, rig):
    """If only the end of the line was missing, nothing is added."""
    one = rig(partial_idle=10)
    with (tmp_path / "a.log").open("a") as file:
        file.write("1\nlast")
        file.flush()
        for _ in range(60):
            one.step()
        file.write("\n2\n")
    one.drain()
    assert one.bodies() == ["1", "last", "2"]


def test_unclosed_json_is_not_given_out(tmp_path, rig):
    """A JSON object that is not closed is not whole: silence does not make it so."""
    one = rig(partial_idle=10)
    (tmp_path / "a.log").write_text('{"a": ')
    for _ in range(100):
        one.step()
    assert one.records == []


def test_long_line(tmp_path, rig):
    """Of a line over the limit the head is kept, with its length and digest; it is counted, and the next line is read."""
    one = rig(max_line_bytes=1024)
    line = b"x" * 3_000_000
    (tmp_path / "a.log").write_bytes(b"1\n" + line + b"\n2\n")
    one.drain()
    assert [len(str(record.body)) for record in one.records] == [1, 1024, 1]
    assert one.records[1].attributes["log.line.length"] == 3_000_000
    assert one.records[1].attributes["log.line.sha256"] == hashlib.sha256(line).hexdigest()
    assert one.drops == {"oversized": 1}
    assert one.records[2].offset == 3_000_003


def test_long_line_over_a_restart(tmp_path, rig):
    """A long line whose end was not written yet is begun again after a restart."""
    one = rig(max_line_bytes=1024)
    with (tmp_path / "a.log").open("a") as file:
        file.write("x" * 2_000_000)
        file.flush()
        assert one.drain() == []
        one.restart()
        file.write("y\n2\n")
    one.drain()
    assert one.records[0].attributes["log.line.length"] == 2_000_001
    assert one.bodies()[1:] == ["2"]


def test_long_line_takes_little_memory(tmp_path, rig):
    """However long a line, memory stays flat."""
    one = rig(max_line_bytes=65536)
    with (tmp_path / "a.log").open("wb") as file:
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"\n")
    tracemalloc.start()
    one.drain()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert one.records[0].attributes["log.line.length"] == 100 << 20
    assert peak < 8 << 20


def test_hole_after_truncation(tmp_path, rig):
    """A writer that continues at its old offset leaves a hole: it is skipped as one gap, and fast however large."""
    one = rig()
    with (tmp_path / "a.log").open("w") as writer:
        writer.write("1\n")
        writer.flush()
        one.drain()
        os.truncate(tmp_path / "a.log", 0)
        one.drain()
        writer.seek(4 << 30)
        writer.write("2\n")
        writer.flush()
        assert one.drain() == ["2"]
    assert one.drops == {"nul_gap": 1}


def test_preallocated_file(tmp_path, rig):
    """NULs at the end of a file are not skipped: they may be written over."""
    one = rig()
    path = tmp_path / "a.log"
    path.write_bytes(b"1\n" + bytes(1000))
    assert one.drain() == ["1"]
    with path.open("r+b") as file:
        file.seek(2)
        file.write(b"2\n")
    assert one.drain() == ["2"]


def test_what_is_no_file(tmp_path, rig):
    """FIFOs, directories and sockets are skipped without waiting, and reported once."""
    os.mkfifo(tmp_path / "fifo.log")
    os.mkdir(tmp_path / "directory.log")
    append(tmp_path / "a.log", "1")
    one = rig()
    assert one.drain() == ["1"]
    assert one.events.count("not_regular") == 1


def test_link_out_of_the_allowed_directories(tmp_path, rig):
    """A link out of the allowed directories is followed only if its owner could read the target anyhow."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    append(outside / "secret", "1")
    os.symlink(outside / "secret", inside / "a.log")
    if os.geteuid() != 0:
        pytest.skip("only root can give a link to another user")
    os.lchown(inside / "a.log", 12345, 12345)
    one = rig("in/*.log")
    assert one.drain() == []
    assert one.events == ["not_regular"]
    assert rig("in/*.log", allowed_roots=(str(outside),)).drain() == ["1"]


@pytest.mark.parametrize("killed", [True, False])
def test_start_at_end_of_rotated_files(tmp_path, rig, killed):
    """Rotated files that a glob asks for are there at the start, too, whether they are compressed or not; what comes then is read."""
    append(tmp_path / "a.log.1", "1")
    (tmp_path / "a.log.2.gz").write_bytes(gzip.compress(b"0\n"))
    append(tmp_path / "a.log", "2")
    one = rig("*", start_at="end")
    one.step()
    if killed:
        one.restart()
    assert one.drain() == []
    os.rename(tmp_path / "a.log.2.gz", tmp_path / "a.log.3.gz")
    (tmp_path / "a.log.2.gz").write_bytes(gzip.compress(b"1\n"))
    (tmp_path / "a.log.1").unlink()
    os.rename(tmp_path / "a.log", tmp_path / "a.log.1")
    append(tmp_path / "a.log.1", "3")
    append(tmp_path / "a.log", "4")
    assert one.drain() == ["3", "4"]


def test_start_at_end(tmp_path, rig):
    """Lines that exist at the very first start are left out; later ones, also in new files, are read."""
    with (tmp_path / "a.log").open("w") as file:
        file.write("old\nha")
    one = rig(start_at="end")
    assert one.drain() == []
    with (tmp_path / "a.log").open("a") as file:
        file.write("lf\n")
    append(tmp_path / "b.log", "new")
    one.restart()
    assert sorted(one.drain()) == ["half", "new"]


def test_unreadable_file_is_tried_again(tmp_path, rig, monkeypatch):
    """A file that cannot be read now is tried again later, from where we are."""
    one = rig()
    append(tmp_path / "a.log", "1")
    one.drain()
    append(tmp_path / "a.log", "2")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail(errno.EIO))
        assert one.drain() == []
        assert one.events.count("unreadable") == 1
    assert one.drain(5.0) == ["2"]


@pytest.mark.parametrize("readable", range(6))
def test_a_file_that_breaks_while_it_is_read_stops_no_other(tmp_path, rig, monkeypatch, readable):
    """Wherever in a batch the disk refuses a file, its lines come once it can be read, and other files are read meanwhile."""
    one = rig()
    bad, good, real, left = tmp_path / "a.log", tmp_path / "b.log", os.pread, [readable]
    append(bad, "1", "Traceback (most recent call last):")
    append(good, "1")

    def pread(fd: int, size: int, offset: int) -> bytes:
        if os.fstat(fd).st_ino == bad.stat().st_ino:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, size, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", pread)
        one.drain()
        append(bad, "2")
        append(good, "2")
        one.drain()
        assert [str(record.body) for record in one.records if record.origin.attributes["log.file.name"] == "b.log"] == ["1", "2"]
    one.drain(31.0)
    bodies = [str(record.body) for record in one.records if record.origin.attributes["log.file.name"] == "a.log"]
    assert "\n".join(bodies).split("\n") == ["1", "Traceback (most recent call last):", "2"]


def test_stale_handle(tmp_path, rig, monkeypatch):
    """A stale handle is opened again by name, and continues."""
    one = rig()
    append(tmp_path / "a.log", "1")
    one.drain()
    append(tmp_path / "a.log", "2")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail(errno.ESTALE))
        one.drain()
        assert len(one.tail.pool) == 0
    assert one.drain(5.0) == ["2"]


def test_few_descriptors(tmp_path, rig):
    """More files than may be open are read, too."""
    one = rig(max_open_files=3)
    for number in range(20):
        append(tmp_path / f"{number}.log", str(number))
    assert len(one.drain()) == 20
    assert len(one.tail.pool) <= 3
    for number in range(20):
        append(tmp_path / f"{number}.log", "more")
    assert one.drain() == ["more"] * 20


def test_out_of_descriptors(tmp_path, rig):
    """When the process has none left, files wait; nothing is lost and nothing crashes."""
    one = rig()
    for number in range(10):
        append(tmp_path / f"{number}.log", str(number))
    one.step()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    for number in range(10):
        append(tmp_path / f"new-{number}.log", str(number))
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 1, limits[1]))
    try:
        one.drain()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    one.drain(5.0)
    assert sorted(one.bodies()) == sorted([str(number) for number in range(10)] * 2)


def test_names_of_any_bytes(tmp_path, rig):
    """A name that is not valid UTF-8, or has a newline in it, is followed, and shown escaped."""
    path = os.path.join(os.fsencode(tmp_path), b"a\xff\n.log")
    with open(path, "wb") as file:
        file.write(b"1\n")
    one = rig()
    one.drain()
    one.restart()
    assert one.drain() == []
    assert one.records[0].origin.attributes["log.file.name"] == "a\\xff\\n.log"


def test_crlf_and_foreign_line_ends(tmp_path, rig):
    """Only a newline ends a line; the carriage return before it goes."""
    (tmp_path / "a.log").write_bytes("a\r\nb\rc\u2028d\u0085e\n".encode())
    assert rig().drain() == ["a", "b\rc\u2028d\u0085e"]


def test_gzip_that_is_still_written(tmp_path, rig):
    """A compressed file is read as far as it goes, and on when it grows."""
    one = rig("*.gz")
    lines = "".join(f"{hashlib.sha256(b'%d' % number).hexdigest()}\n" for number in range(20_000))
    packed = gzip.compress(lines.encode())
    path = tmp_path / "a.log.gz"
    path.write_bytes(packed[: len(packed) // 2])
    one.drain()
    half = len(one.records)
    assert 0 < half < 20_000
    path.write_bytes(packed)
    one.drain()
    assert one.bodies() == lines.split()
    assert one.drops == {}


def test_damaged_gzip(tmp_path, rig):
    """A cut-off compressed file is read as far as it goes, and counted once."""
    one = rig("*.gz", partial_idle=10)
    packed = gzip.compress(b"1\n2\n")
    (tmp_path / "a.log.gz").write_bytes(packed[:-4])
    (tmp_path / "b.log.gz").write_bytes(b"no gzip")
    one.drain()
    for _ in range(100):
        one.step()
    assert one.bodies() == ["1", "2"]
    assert one.drops == {"gzip_damaged": 2}


@pytest.mark.parametrize("count", [2, 50_000])
def test_a_compressed_file_with_a_wrong_checksum_is_read_to_its_end_once(tmp_path, rig, count):
    """Decoded lines are given out, although the file is counted as damaged; a new start repeats nothing."""
    lines = [str(number) for number in range(count)]
    packed = bytearray(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    packed[-6] ^= 1
    (tmp_path / "a.log.gz").write_bytes(packed)
    one = rig("*.gz")
    one.drain()
    assert one.bodies() == lines
    assert one.drops == {"gzip_damaged": 1}
    one.restart()
    assert one.drain() == []
    assert one.drops == {"gzip_damaged": 1}


def test_gzip_bomb(tmp_path, rig):
    """A bomb ends early, and is counted."""
    one = rig("*.gz", max_gzip_ratio=100)
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(b"1\n" + bytes(50_000_000) + b"\n2\n", 9))
    one.drain()
    assert one.bodies() == ["1"]
    assert one.drops["gzip_bomb"] == 1


def test_gzip_is_resumed_half_read(tmp_path, rig):
    """A compressed file is resumed at the offset in its content."""
    one = rig("*.gz")
    lines = "".join(f"line {number}\n" for number in range(50_000))
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(lines.encode()))
    for _ in range(100):
        one.step()
        one.restart()
    one.drain()
    assert one.bodies() == lines.splitlines()


def test_tracebacks_of_a_backlog_stay_whole(tmp_path, rig):
    """A file that has long been silent but is not read to its end is not silent: no traceback is cut where a batch ends."""
    one = rig(format="auto")
    block = 'ERROR:app:failed\nTraceback (most recent call last):\n  File "a.py", line 1, in f\n    x()\n    ~^^\nValueError: 1\n'
    (tmp_path / "a.log").write_text(block * 1000)
    one.drain(seconds=1.2)
    assert {(record.body, record.attributes.get("exception.type")) for record in one.records} == {("failed", "ValueError")}
    assert len(one.records) == 1000


def test_traceback_stays_whole_over_a_kill(tmp_path, rig):
    """The position does not pass an open record: after a kill it is read again, whole."""
    one = rig(format="auto")
    path = tmp_path / "a.log"
    path.write_text('Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x()\n')
    one.step()
    one.restart()
    append(path, "ValueError: no")
    one.drain()
    assert len(one.records) == 1
    assert "ValueError" in str(one.records[0].attributes["exception.stacktrace"])


def test_nothing_is_stored_before_the_commit(tmp_path, rig):
    """Lines that were read and not committed are read again."""
    one = rig()
    append(tmp_path / "a.log", *map(str, range(5000)))
    one.next()
    one.restart()
    one.drain()
    assert one.bodies() == [str(number) for number in range(5000)]


def test_batches_are_bounded_and_fair(tmp_path, rig):
    """A busy file does not keep the others waiting, and no batch is over its size."""
    for name in ("a", "b"):
        append(tmp_path / f"{name}.log", *[f"{name} {number}" for number in range(3000)])
    one = rig()
    batches = [one.next() for _ in range(6)]
    # and one record of each file that was open in the batch before
    assert max(len(batch.records) for batch in batches if batch) <= 1000 + 2
    assert {record.body[0] for batch in batches[:2] if batch for record in batch.records} == {"a", "b"}


def test_silent_files_cost_little(tmp_path, rig):
    """Files that were silent for long are polled in turn: as many per scan, however many there are."""
    for number in range(1000):
        (tmp_path / f"{number}.log").touch()
    one = rig()
    one.drain()
    for _ in range(200):
        one.step()
    calls = 0
    real = os.stat

    def count(*args, **kwargs):
        nonlocal calls
        calls += 1
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", count)
        one.step()
    assert calls <= 260
    append(tmp_path / "7.log", "1")
    assert one.drain() == ["1"]


def test_new_directories(tmp_path, rig):
    """`**` finds files in directories that come later; hidden ones and excluded names are left out."""
    one = rig("**/*.log", exclude=(str(tmp_path / "**/skip*.log"),))
    one.drain()
    (tmp_path / "x/y").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for name in ("x/y/a.log", "x/skip.log", ".hidden/b.log", "c.log"):
        append(tmp_path / name, name)
    assert sorted(one.drain()) == ["c.log", "x/y/a.log"]


async def test_missed_bytes_are_a_metric(tmp_path, open_files):
    """Bytes that were missed are counted in the ledger and as a metric, as is what happened to the file."""
    path = tmp_path / "a.log"
    path.write_text("1\nno end")
    sink, clock = Sink(), FakeClock()
    metrics = Metrics({}, clock)
    context = Context(name="app", clock=clock, metrics=metrics, telemetry=Telemetry(metrics, clock), resource={}, positions=sink.positions)
    task = asyncio.create_task(LogFiles(LogFiles.Config(include=(str(path),)), context).run(sink.emit))
    await clock.advance(3.0)
    os.truncate(path, 0)
    await clock.advance(3.0)
    collected = {metric.name: metric for metric in metrics.collect().resource_metrics[0].scope_metrics[0].metrics}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sink.drops == {"truncated_window": 6}
    assert collected["outrider.files.missed"].data.data_points[0].value == 6
    assert collected["outrider.files.read"].data.data_points[0].value == 2
    assert collected["outrider.files.followed"].data.data_points[0].value == 1


async def test_component_runs_and_stops(tmp_path, open_files):
    """The component reads, stores its positions with the records, and leaves nothing open when cancelled; twice closed is closed."""
    append(tmp_path / "a.log", "1", "2")
    sink, clock = Sink(), FakeClock()
    metrics = Metrics({}, clock)
    context = Context(name="app", clock=clock, metrics=metrics, telemetry=Telemetry(metrics, clock), resource={}, positions=sink.positions)
    source = LogFiles(LogFiles.Config(include=(str(tmp_path / "*.log"),), format="plain"), context)
    task = asyncio.create_task(source.run(sink.emit))
    await clock.advance(3.0)
    assert [record.body for record in sink.records] == ["1", "2"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await source.close()
    await source.close()


async def test_what_cannot_be_read_is_not_reported_again_at_the_stop(tmp_path, open_files):
    """The last scan, from what is committed, is about the same files: a file that can't be read is reported and counted once in all."""
    os.mkfifo(tmp_path / "fifo.log")
    append(tmp_path / "a.log", "1")
    sink, clock = Sink(), FakeClock()
    metrics = Metrics({}, clock)
    telemetry = Telemetry(metrics, clock)
    context = Context(name="app", clock=clock, metrics=metrics, telemetry=telemetry, resource={}, positions=sink.positions)
    source = LogFiles(LogFiles.Config(include=(str(tmp_path / "*.log"),), format="plain"), context)
    task = asyncio.create_task(source.run(sink.emit))
    await clock.advance(3.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    append(tmp_path / "a.log", "2")
    await source.finish(sink.emit)
    assert [record.body for record in sink.records] == ["1", "2"]
    collected = {metric.name: metric for metric in metrics.collect().resource_metrics[0].scope_metrics[0].metrics}
    counts = {point.attributes["what"]: point.value for point in collected["outrider.files.events"].data.data_points}
    assert counts == {"found": 1, "not_regular": 1}


def test_refused_position(tmp_path, rig):
    """A stored position that cannot be read is an error, never a reason to begin again."""
    one = rig()
    append(tmp_path / "a.log", "1")
    one.drain()
    one.stored = {key: b"\xff" + value if key != "@next" else value for key, value in one.stored.items()}
    with pytest.raises(PositionError):
        one.restart()


def test_many_files_share_few_parsers(tmp_path, rig):
    """The position holds the learned format of a file, so that a thousand parsers serve any number of files."""
    for number in range(1500):
        append(tmp_path / f"{number}.log", "1")
    one = rig()
    assert len(one.drain()) == 1500
    for number in range(1500):
        append(tmp_path / f"{number}.log", "2")
    assert one.drain() == ["2"] * 1500
    assert len(one.batches._parsers._known) <= 1000


def test_a_few_records_wait_for_more(tmp_path):
    """With a linger a trickle is one batch every other look; many records, and what was waited for long enough, go at once."""
    file = tmp_path / "a.log"
    config = LogFiles.Config.model_validate({"include": [str(file)]})
    batches = Batches(Tail(options(config), {}), config, lambda: 1, linger=0.2)

    def written(number: int, now: float) -> int | None:
        with file.open("a") as log:
            log.write('{"event":"x"}\n' * number)
        batch = batches.next(now)
        return None if batch is None else len(batch.records)

    assert [written(1, 10.0), written(1, 10.1), written(1, 10.3)] == [None, None, 3]
    assert written(100, 11.0) == 100
    assert written(1, 12.0) is None
    assert len(batches.next(12.3).records) == 1
    batches._tail.close()


def test_a_rotation_while_records_wait_for_more_is_stored_with_them(tmp_path, rig):
    """A position that waits with its records names the place where the content is when they are stored: a restart finds nothing moved."""
    one = rig(linger=3.0, partial_idle=0)
    live, copy = tmp_path / "a.log", tmp_path / "a.log-20260301"
    live.touch()
    one.drain()
    append(live, "one", "two")
    assert not any(one.step() for _ in range(10))
    shutil.copy2(live, copy)
    os.truncate(live, 0)
    assert one.drain() == ["one", "two"]
    places = sorted(decode(value).place.path for key, value in one.stored.items() if not key.startswith("@"))
    assert places == [str(live), str(copy)]

    one.restart()
    one.events.clear()
    append(live, "three")
    for _ in range(30):
        one.step()
    assert one.bodies() == ["one", "two", "three"]
    assert one.events == []


def test_a_directory_is_not_a_glob(tmp_path):
    """A directory in place of a glob reads nothing, and the check says what to write."""
    source = LogFiles(LogFiles.Config(include=(str(tmp_path),)), None)
    assert source.doubts() == [f"{tmp_path} is a directory, of which nothing is read: write {tmp_path}/*"]


def test_what_is_open_for_too_long_is_given_out_although_more_is_there_to_read(tmp_path, rig):
    """One writer's record keeps the position back while others' backlog is read."""
    one = rig(format="auto")
    append(tmp_path / "a.log", "web-1  | 2026-11-22 10:00:00,123 ERROR shop: refused", *["web-2  | words"] * 2500)
    one.step()
    first = len(one.records)
    one.wall_ns += 3_000_000_000
    one.step()

    assert first < len(one.records) < 2500
    assert [record.body for record in one.records].count("refused") == 1
    one.drain()
    assert len(one.records) == 2501
