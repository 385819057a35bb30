"""A file that was seen but not read yet has nothing to be known by but its size: it is not mistaken for what comes after it."""

from __future__ import annotations

import gzip
import os

import pytest

from tests.support.tail_rig import Rig

LINES = [f"line {number} of the first\n" for number in range(100)]


@pytest.fixture
def rig(tmp_path):
    """A follower of `*.log`."""
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def copy_and_truncate(path, to, more):
    """As logrotate does it, and the writer continues; each writes at a time of its own."""
    to.write_bytes(path.read_bytes())
    os.utime(to, (2_000_000_000, 2_000_000_000))
    os.truncate(path, 0)
    path.write_text(more)
    os.utime(path, (2_000_000_001, 2_000_000_001))


def read_before_looking(rig):
    """As if looking for files took so long that its time has not come again."""
    rig.tail._scan_at = rig.now + 3.0


def read_before_polling(rig):
    """As if the truncation came between polling and reading."""
    rig.batches._scan_at = rig.now + 1.0


@pytest.mark.parametrize("too_late", [read_before_looking, read_before_polling])
@pytest.mark.parametrize("restart", [True, False])
def test_truncated_before_it_was_read(rig, tmp_path, too_late, restart):
    """Seen by a scan, then copied and truncated before anything was read: the copy is read, and first."""
    path = tmp_path / "app.log"
    path.write_text("".join(LINES))
    rig.tail.scan(rig.now)
    copy_and_truncate(path, tmp_path / "app.log-20260301-000001", "second\n")
    too_late(rig)
    for _ in range(8):
        rig.step()
    if restart:
        rig.restart()
    rig.drain()
    assert rig.bodies() == [line.rstrip() for line in LINES] + ["second"]
    assert not rig.drops


def test_filled_copied_and_filled_again_before_it_was_read(rig, tmp_path):
    """Seen when it was empty, it got a content that is in a copy by now, and another one: its size does not show that, the directory does."""
    path = tmp_path / "app.log"
    path.touch()
    rig.tail.scan(rig.now)
    path.write_text("first\n")
    copy_and_truncate(path, tmp_path / "app.log-20260301-000001", "second and longer\n")
    rig.tail._poller.poll()
    read_before_polling(rig)
    rig.step()
    assert rig.drain() == ["first", "second and longer"]


def test_a_directory_that_changes_all_the_time_does_not_keep_us_from_reading(rig, tmp_path):
    """The first read is not put off for ever."""
    (tmp_path / "app.log").write_text("one\n")
    for number in range(20):
        rig.tail.scan(rig.now)
        (tmp_path / f"other-{number}").touch()
        read_before_polling(rig)
        rig.step()
    assert rig.tail.table.contents
    assert all(stream.offset for stream in rig.tail.table.contents.values())


def test_truncated_before_it_was_read_and_killed(rig, tmp_path):
    """The same where an agent only saw the file before it was killed: its size is stored."""
    path = tmp_path / "app.log"
    path.write_text("".join(LINES))
    rig.tail.scan(rig.now)
    rig.commit(rig.batches._seal())
    copy_and_truncate(path, tmp_path / "app.log-20260301-000001", "second\n")
    rig.restart()
    assert rig.drain() == [line.rstrip() for line in LINES] + ["second"]


@pytest.mark.parametrize("too_late", [read_before_looking, read_before_polling])
def test_what_was_truncated_before_it_was_read_is_counted(rig, tmp_path, too_late):
    """No copy was made: those bytes are gone."""
    path = tmp_path / "app.log"
    path.write_text("".join(LINES))
    size = path.stat().st_size
    rig.tail.scan(rig.now)
    path.write_text("second\n")
    too_late(rig)
    assert rig.drain() == ["second"]
    assert rig.drops == {"truncated_window": size}


# -- what is beside a file that was never seen as the live one


def write(path, text, tick):
    """Write at a time of our choice, in seconds."""
    path.write_text(text)
    os.utime(path, (2_000_000_000 + tick, 2_000_000_000 + tick))


@pytest.mark.parametrize("restart", [True, False])
def test_a_copy_that_came_unseen_is_read_though_the_live_file_was_seen_first(rig, tmp_path, restart):
    """A content was written, copied and truncated before its successor was seen, by a scan whose listing did not show the copy yet."""
    path = tmp_path / "app.log"
    write(path, "one\n", 1)
    rig.drain()
    write(path, "3\n", 3)
    rig.now += 10.0
    rig.tail.scan(rig.now)
    rig.commit(rig.batches._seal())
    for number, text in enumerate(("one\n", "two\n"), 1):
        write(tmp_path / f"app.log-20260301-00000{number}", text, number)
    if restart:
        rig.restart()
    assert rig.drain() == ["two", "3"]


def test_rotated_files_from_before_our_time_stay_unread(rig, tmp_path):
    """A file that was rotated before its live file was first seen is not read, whatever name it gets, also after a restart; later ones are."""
    path, old = tmp_path / "app.log", tmp_path / "app.log.1"
    write(old, "old\n", 1)
    write(path, "one\n", 2)
    assert rig.drain() == ["one"]
    rig.restart()
    old.rename(tmp_path / "app.log.2")
    path.rename(old)
    write(path, "two\n", 3)
    assert rig.drain() == ["two"]
    rig.restart()
    assert rig.drain() == []


def test_an_inode_of_an_unread_rotated_file_used_anew_is_read(rig, tmp_path):
    """The number of a file from before our time is given to a copy that was made unseen."""
    path, old = tmp_path / "app.log", tmp_path / "app.log-20260301-000001"
    write(old, "old\n", 1)
    write(path, "one\n", 2)
    assert rig.drain() == ["one"]
    write(old, "two\n", 3)  # the same inode for certain, with another content
    old.rename(tmp_path / "app.log-20260301-000002")
    assert rig.drain() == ["two"]


def test_a_live_path_of_which_nothing_was_read_is_not_new_when_its_file_comes_late(rig, tmp_path):
    """Seen empty, filled and compressed, and all of it comes seconds after the file was gone: the rotated one is for us."""
    path = tmp_path / "app.log"
    path.touch()
    rig.drain()
    path.unlink()
    for _ in range(4):
        rig.step(2.0)
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(b"one\n"))
    write(path, "two\n", 2)
    rig.drain()
    assert sorted(rig.bodies()) == ["one", "two"]


def test_what_was_read_and_forgotten_is_not_read_again(rig, tmp_path):
    """A rotated file was away for longer than it is remembered, and comes back under another inode."""
    path, rotated = tmp_path / "app.log", tmp_path / "app.log.1"
    write(path, "one\n", 1)
    rig.drain()
    path.rename(rotated)
    write(path, "two\n", 2)
    rig.drain()
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "far" / "away" / "keeps-the-inode").hardlink_to(rotated)
    rotated.unlink()
    for _ in range(4):
        rig.step(200.0)
    rig.restart()
    write(rotated, "one\n", 1)
    assert rig.drain() == []


def test_emptied_between_reading_and_storing(rig, tmp_path, monkeypatch):
    """A record was still open when its file was copied and truncated, right after it was read: the copy continues where we were."""
    path = tmp_path / "app.log"
    write(path, "one\ntwo\n", 1)
    store = rig.batches._store

    def truncated_first(*arguments):
        if not (tmp_path / "app.log-20260301-000001").exists():
            copy_and_truncate(path, tmp_path / "app.log-20260301-000001", "three, four and five\n")
        store(*arguments)

    monkeypatch.setattr(rig.batches, "_store", truncated_first)
    rig.step()
    rig.restart()
    rig.drain()
    assert rig.bodies() == ["one", "two", "three, four and five"]
