"""A file that was seen but not read yet has nothing to be known by but its size: it is not mistaken for what comes after it."""

from __future__ import annotations

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
    """As logrotate does it, and the writer goes on; each writes at a time of its own."""
    to.write_bytes(path.read_bytes())
    os.utime(to, (2_000_000_000, 2_000_000_000))
    os.truncate(path, 0)
    path.write_text(more)
    os.utime(path, (2_000_000_001, 2_000_000_001))


def read_before_looking(rig):
    """As if looking for files took so long that its time has not come again."""
    rig.tail._look_at = rig.now + 3.0


def read_before_polling(rig):
    """As if the truncation came between polling and reading."""
    rig.batches._look_at = rig.now + 1.0


@pytest.mark.parametrize("too_late", [read_before_looking, read_before_polling])
@pytest.mark.parametrize("restart", [True, False])
def test_truncated_before_it_was_read(rig, tmp_path, too_late, restart):
    """Seen by a look, then copied and truncated before anything was read: the copy is read, and first."""
    path = tmp_path / "app.log"
    path.write_text("".join(LINES))
    rig.tail.look(rig.now)
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
    """Seen when it was empty, it got a content that is in a copy by now, and another one: its size tells nothing, the directory does."""
    path = tmp_path / "app.log"
    path.touch()
    rig.tail.look(rig.now)
    path.write_text("first\n")
    copy_and_truncate(path, tmp_path / "app.log-20260301-000001", "second and longer\n")
    rig.tail._poll()
    read_before_polling(rig)
    rig.step()
    assert rig.drain() == ["first", "second and longer"]


def test_a_directory_that_changes_all_the_time_does_not_keep_us_from_reading(rig, tmp_path):
    """The first read is not put off for ever."""
    (tmp_path / "app.log").write_text("one\n")
    for number in range(20):
        rig.tail.look(rig.now)
        (tmp_path / f"other-{number}").touch()
        read_before_polling(rig)
        rig.step()
    assert rig.tail.table.streams
    assert all(stream.offset for stream in rig.tail.table.streams.values())


def test_truncated_before_it_was_read_and_killed(rig, tmp_path):
    """The same where an agent only saw the file before it was killed: its size is stored."""
    path = tmp_path / "app.log"
    path.write_text("".join(LINES))
    rig.tail.look(rig.now)
    rig.commit(rig.batches._seal())
    copy_and_truncate(path, tmp_path / "app.log-20260301-000001", "second\n")
    rig.restart()
    assert rig.drain() == [line.rstrip() for line in LINES] + ["second"]


@pytest.mark.parametrize("too_late", [read_before_looking, read_before_polling])
def test_what_was_truncated_before_it_was_read_is_counted(rig, tmp_path, too_late):
    """No copy was made: nobody has those bytes any more."""
    path = tmp_path / "app.log"
    path.write_text("".join(LINES))
    size = path.stat().st_size
    rig.tail.look(rig.now)
    path.write_text("second\n")
    too_late(rig)
    assert rig.drain() == ["second"]
    assert rig.drops == {"truncated_window": size}
