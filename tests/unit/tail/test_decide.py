"""The decisions about rotation."""

from __future__ import annotations

import itertools

import pytest

from agent.tail.decide import FileCandidate, Pair, Row, by_age, bytes_missed, decide, has_rotated_name, is_same_file, may_be_unread
from agent.tail.open import FileStatus, is_within, may_follow
from agent.tail.position import FilePlace


def candidate(path: str, mtime_ns: int = 0, size: int = 3) -> FileCandidate:
    """A file."""
    return FileCandidate(FileStatus(path, 1, 2, size, mtime_ns), path, path, included=False)


def test_by_age():
    """The oldest content comes first, the live file last; the number decides where the time does not."""
    files = [candidate("/l/a.log", 1), candidate("/l/a.log.1", 9), candidate("/l/a.log.3.gz", 5), candidate("/l/a.log.4", 5)]
    assert [one.found.path for one in sorted(files, key=by_age)] == ["/l/a.log.4", "/l/a.log.3.gz", "/l/a.log.1", "/l/a.log"]


@pytest.mark.parametrize(
    ("known", "path", "now", "same"),
    [(5, "/l/a", 5, True), (5, "/l/b", 5, True), (5, "/l/a", 6, False), (0, "/l/a", 0, False), (0, "/l/b", 0, True), (5, "/l/b", 0, True)],
)
def test_is_same_file(known, path, now, same):
    """The generation tells whether an inode was used again; without one, the same name is taken for a new file."""
    assert is_same_file(FilePlace("/l/a", 1, 2, known), path, now) is same


def test_bytes_missed():
    """Bytes that were seen, but neither read nor copied, are missed."""
    assert [bytes_missed(10, 4), bytes_missed(10, 4, 7), bytes_missed(10, 12), bytes_missed(10, 4, 20)] == [6, 3, 0, 0]


def test_links():
    """A link may lead below the allowed directories, or to what its owner could read anyhow."""
    assert is_within("/l/x", ("/l",))
    assert not is_within("/lx", ("/l",))
    assert is_within("/x", ("/",))
    assert may_follow(0, 5)
    assert may_follow(5, 5)
    assert not may_follow(5, 0)


@pytest.mark.parametrize(
    ("path", "gzip", "mtime", "expected"),
    [
        ("/l/a.log", False, 10, True),
        ("/l/a.log", False, 11, True),
        ("/l/a.log", False, 9, False),
        ("/l/a.log.1", False, 10, True),
        ("/l/a.log.1", False, 11, True),
        ("/l/a.log.1", False, 9, False),
        ("/l/a.log.1.gz", True, 10, False),
    ],
)
def test_what_may_be_an_unread_content(path, gzip, mtime, expected):
    """A plain file may have been written since it was seen; a compressed one that is gone is nowhere else."""
    place = FilePlace(path, 1, 2, gzip=gzip)
    assert may_be_unread(place, 3, 10, candidate("/l/a.log.2.gz", mtime)) == expected


@pytest.mark.parametrize(("copy", "size", "expected"), [("/l/a.log.2", 3, True), ("/l/a.log.2", 2, False), ("/l/a.log.2.gz", 2, True)])
def test_a_copy_is_not_shorter_than_what_was_seen(copy, size, expected):
    """A content only grows; how long it is in a compressed file is not known."""
    assert may_be_unread(FilePlace("/l/a.log", 1, 2), 3, 10, candidate(copy, 10, size)) == expected


def test_of_the_same_tick_by_name():
    """Two rotations within one tick of the clock: numbers go down with time, dates and counts go up."""
    dated = ["/l/a.log-20260301-000009", "/l/a.log-20260301-000010"]
    numbered = ["/l/a.log.10", "/l/a.log.9"]
    for names in (dated, numbered):
        assert [one.found.path for one in sorted((candidate(name, 5) for name in reversed(names)), key=by_age)] == names


EQUAL = Pair(read=500, is_equal=True)
COPY = EQUAL._replace(is_rotated=True)
LIVE = EQUAL._replace(is_live=True, is_gone=True)
SHORT = COPY._replace(is_shorter=True, is_emptied=True)


@pytest.mark.parametrize(
    ("pair", "row"),
    [
        (Pair(read=0), Row.OTHER),
        (Pair(read=0, is_rotated=True, may_be_unread=True), Row.UNREAD),
        (Pair(read=0, is_live=True, may_be_unread=True), Row.OTHER),
        (Pair(read=0, is_back=True), Row.AGAIN),
        (EQUAL._replace(is_back=True), Row.AGAIN),
        (EQUAL._replace(is_back=True, is_equal=False), Row.OTHER),
        (COPY, Row.COPIED),
        (COPY._replace(is_equal=False), Row.OTHER),
        (COPY._replace(is_head=True), Row.COPIED_HEAD),
        (COPY._replace(is_head=True, has_ended=True), Row.ENDED),
        (COPY._replace(has_ended=True), Row.COPIED),
        (SHORT, Row.LATER),
        (SHORT._replace(is_older=True), Row.CUT_SHORT),
        (SHORT._replace(is_older=True, is_emptied=False), Row.OTHER),
        (SHORT._replace(is_older=True, is_rotated=False, is_live=True, is_gone=True), Row.OTHER),
        (LIVE, Row.REWRITTEN),
        (LIVE._replace(is_gone=False), Row.OTHER),
        (LIVE._replace(is_head=True), Row.HEAD),
        (LIVE._replace(is_line=True), Row.HEAD),
        (LIVE._replace(is_alone=True), Row.REWRITTEN_ALONE),
        (EQUAL, Row.OTHER),
        (EQUAL._replace(is_included=True), Row.COPIED),
        (EQUAL._replace(is_included=True, is_head=True), Row.OTHER),
        (EQUAL._replace(is_included=True, is_line=True), Row.OTHER),
    ],
)
def test_the_table(pair, row):
    """Each row of the table: what was read, what is there, and which content the file holds."""
    assert decide(pair) is row


def test_what_is_equal_in_nothing_is_never_the_same():
    """Without anything in common a file holds no content of which something was read, whatever else is so."""
    names = [name for name in Pair._fields if name not in {"read", "is_equal", "is_shorter"}]
    for values in itertools.product((False, True), repeat=len(names)):
        assert not decide(Pair(read=1, **dict(zip(names, values, strict=True)))).is_same


def test_what_has_ended_or_is_a_head_repeats_rather_than_is_lost():
    """An ambiguous row at the live path, where nothing was compared but a head, takes the file for a new one."""
    assert (Row.HEAD.is_same, Row.HEAD.is_ambiguous) == (False, True)
    assert (Row.ENDED.is_same, Row.ENDED.is_ambiguous) == (False, False)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/l/a.log.1", True),
        ("/l/old/a.log-20260301.gz", True),
        ("/archive/a.log", True),
        ("/archive/a.log.gz", True),
        ("/l/a.log", False),
        ("/l/b.log.1", False),
    ],
)
def test_names_that_rotations_give(path, expected):
    """Beside the live file a rotated one has another name; in another directory it may keep it."""
    assert has_rotated_name("/l/a.log", path) is expected
