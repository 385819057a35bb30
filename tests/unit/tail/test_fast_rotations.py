"""Rotations come faster than they are listed: names are other ones by the time that they are asked for, and copies come unseen."""

from __future__ import annotations

import gzip
import os

import pytest

from agent.tail.discover import Listing
from tests.support.tail_rig import Rig

EPOCH = 2_000_000_000
"""Seconds; later than whatever is made without a time of its own."""


@pytest.fixture
def rig(tmp_path):
    """A follower of `*.log`."""
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def write(path, text, tick):
    """Write at a time of our choice, in seconds."""
    path.write_text(text)
    os.utime(path, (EPOCH + tick, EPOCH + tick))


def rotate(path, *, compressed):
    """Rename, and compress with the time of the last write kept; older generations move up."""
    suffix = ".gz" if compressed else ""
    older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda one: number_of(path, one), reverse=True)
    for one in older:
        one.rename(path.with_name(f"{path.name}.{number_of(path, one) + 1}{suffix}"))
    first = path.with_name(f"{path.name}.1{suffix}")
    if compressed:
        first.write_bytes(gzip.compress(path.read_bytes()))
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        os.utime(first, ns=times)
        path.unlink()
    else:
        path.rename(first)


def number_of(path, rotated):
    """Which generation it is."""
    return int(rotated.name.removeprefix(f"{path.name}.").removesuffix(".gz"))


def copy_and_truncate(path, number):
    """A copy with the time of the original, as `cp -p` makes it."""
    copy = path.with_name(f"{path.name}-20260301-{number:06}")
    copy.write_bytes(path.read_bytes())
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    os.utime(copy, ns=times)
    os.truncate(path, 0)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("restart", [True, False])
def test_names_that_move_on_while_they_are_asked_for(rig, tmp_path, compressed, restart):
    """Twice a file is renamed between the reading of the directory and the question where it is: it is the same one still."""
    path = tmp_path / "app.log"
    write(path, "one\n", 1)
    rig.drain()
    for tick, text in enumerate(("two\n", "three\n"), 2):
        rotate(path, compressed=compressed)
        write(path, text, tick)
    for _ in range(3):  # seen, and at rest, but not read
        rig.now += 0.2
        rig.tail.scan(rig.now)
    rig.tail.table.take_notices()
    for tick, text in enumerate(("four\n", "five\n"), 4):
        rig.tail._listings.get(str(tmp_path)).refresh()
        rotate(path, compressed=compressed)
        write(path, text, tick)
        rig.now += 0.2
        rig.tail._succession.run({str(tmp_path)}, rig.now)
    lost = [notice.path for notice in rig.tail.table.take_notices() if notice.event == "removed"]
    assert set(lost) <= {str(path)}  # and not what was rotated away before
    if restart:
        rig.restart()
    rig.drain()
    for _ in range(5):
        rig.step(2.0)
    assert rig.bodies() == ["one", "two", "three", "four", "five"]
    assert not rig.drops


def test_the_newest_copy_of_an_unread_file_comes_last(rig, tmp_path):
    """The file was only seen with its third content, which is rotated away like the two before it: the oldest still comes first."""
    path = tmp_path / "app.log"
    path.touch()
    rig.drain()
    for tick in (1, 2):
        write(path, f"content {tick}\n", tick)
        copy_and_truncate(path, tick)
    write(path, "content 3\n", 3)
    rig.tail._poller.poll()
    copy_and_truncate(path, 3)
    write(path, "new\n", 4)
    assert rig.drain() == ["content 1", "content 2", "content 3", "new"]


@pytest.mark.parametrize("compressed", [True, False])
def test_an_unread_content_waits_for_the_oldest_file_to_be_found(rig, tmp_path, compressed):
    """Names change within a scan, so that only its successor is where the directory said: that one is not taken for it."""
    path = tmp_path / "app.log"
    write(path, "", 0)
    rig.drain()
    for tick, text in enumerate(("one\n", "two\n", "three\n"), 1):
        write(path, text, tick)
        if text != "three\n":
            rotate(path, compressed=compressed)
            path.touch()
    rig.restart()
    rig.now += 0.2
    rig.tail.scan(rig.now)
    find = rig.tail._succession._candidates.find

    def rotated_meanwhile(directories):
        rig.tail._succession._candidates.find = find
        rotate(path, compressed=compressed)
        write(path, "four\n", 4)
        return find(directories)

    rig.tail._succession._candidates.find = rotated_meanwhile
    rig.drain()
    for _ in range(5):
        rig.step(2.0)
    assert rig.bodies() == ["one", "two", "three", "four"]
    assert not rig.drops


def test_seen_unread_written_renamed_and_compressed_over_kills(rig, tmp_path):
    """Seen by one agent, renamed under the eyes of the next, compressed before the third: lines that were written after it was seen do not hinder that."""
    path, plain = tmp_path / "app.log", tmp_path / "app.log.1"
    write(path, "one\n", 1)
    rig.drain()
    rotate(path, compressed=False)
    write(path, "two\n", 2)
    rig.now += 0.2
    rig.tail.scan(rig.now)
    rig.commit(rig.batches._seal())
    plain.rename(tmp_path / "app.log.2")
    write(path, "two\nand more\n", 3)
    path.rename(plain)
    write(path, "", 4)
    rig.restart()
    rig.now += 0.2
    rig.tail.scan(rig.now)
    rig.commit(rig.batches._seal())
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(plain.read_bytes()))
    os.utime(tmp_path / "app.log.1.gz", (EPOCH + 3, EPOCH + 3))
    plain.unlink()
    write(path, "three\n", 5)
    rig.restart()
    rig.drain()
    assert rig.bodies() == ["one", "two", "and more", "three"]


def step(rig, tick, change):
    """A fifth of a second passes; the directory changes between the reading of it and the question where its files are."""
    rig.now += 0.2
    rig.tail._listings.get(str(rig.root)).refresh()
    change()
    os.utime(rig.root, (EPOCH, EPOCH + tick))
    rig.tail._succession.run({str(rig.root)}, rig.now)


@pytest.fixture
def rotated(rig, tmp_path):
    """A file that was read, lies beside its successor, and is not open. All events from now on are new."""
    path = tmp_path / "app.log"
    write(path, "one\n", 1)
    rig.drain()
    rotate(path, compressed=False)
    write(path, "two\n", 2)
    rig.restart()
    rig.tail.table.take_notices()
    return tmp_path / "app.log.1"


def removed(rig):
    """How many files were taken for removed."""
    return sum(notice.event == "removed" for notice in rig.tail.table.take_notices())


def test_a_file_that_is_listed_is_never_taken_for_removed(rig, tmp_path, rotated):
    """Twenty seconds long it has another name each time that it is asked for: it is still there, and known when it comes to rest."""
    for number in range(1, 101):
        step(rig, number, lambda number=number: rotated.with_name(f"app.log.{number}").rename(rotated.with_name(f"app.log.{number + 1}")))
    taken_for_removed = removed(rig)

    assert rig.drain() == ["two"]
    assert taken_for_removed == 0
    assert [stream.place.path for stream in rig.tail.table.contents.values()] == [str(tmp_path / "app.log.101"), str(tmp_path / "app.log")]
    assert not rig.drops


def test_a_file_that_is_not_listed_is_taken_for_removed_in_the_end(rig, rotated):
    """In a directory that never rests no reading is certain: it is looked for, for ten seconds, and then it is gone."""
    rotated.unlink()
    for number in range(1, 50):
        step(rig, number, lambda: None)
    before = removed(rig)
    for number in range(50, 60):
        step(rig, number, lambda: None)

    assert (before, removed(rig)) == (0, 1)


def test_the_compressed_form_of_what_is_missing_is_not_read_anew(rig, tmp_path, monkeypatch):
    """Names change so fast that no reading of the directory is certain: a read file is missing, and its compressed form has moved on."""
    live, first = tmp_path / "app.log", tmp_path / "app.log.1"
    write(live, "one\ntwo\n", 1)
    assert rig.drain() == ["one", "two"]
    live.rename(first)
    write(live, "", 2)
    rig.step()
    monkeypatch.setattr(Listing, "is_certain", lambda _: False)
    (tmp_path / "app.log.2.gz").write_bytes(gzip.compress(first.read_bytes()))
    os.utime(tmp_path / "app.log.2.gz", (EPOCH + 3, EPOCH + 3))
    first.unlink()
    write(live, "three\n", 4)
    for _ in range(20):
        rig.step()
    monkeypatch.undo()
    rig.drain()
    assert rig.bodies() == ["one", "two", "three"]


@pytest.mark.parametrize("link_followed", [True, False])  # the first question about a file, and the second
@pytest.mark.parametrize("name", ["new.log", "app.log.1"])
def test_a_file_that_is_gone_when_it_is_asked_for_and_comes_back(rig, tmp_path, monkeypatch, name, link_followed):
    """Its directory looks the same before and after, as where the inode of a removed file is used again for one of the same name."""
    write(tmp_path / "app.log", "one\n", 1)
    rig.drain()
    write(tmp_path / name, "two\n", 2)
    stat = os.stat

    def gone(path, **options):
        if str(path).endswith(name) and options.get("follow_symlinks", True) <= link_followed:
            raise FileNotFoundError(path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", gone)
    rig.step()
    rig.step()
    monkeypatch.setattr(os, "stat", stat)
    rig.drain()
    for _ in range(5):
        rig.step(2.0)
    assert rig.bodies() == ["one", "two"]
