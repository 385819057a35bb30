"""The decisions which file holds which content after a rotation, from values to values. Pure.

What the usual rotations leave behind, and how a content is found again:

    rename, create        the inode has a new name                                 → followed by inode
    copy, truncate        the inode has other content; a new file has the old one  → found by content
    rename, compress      the inode is gone; a new .gz has its content             → found by content
    write again, rename    the inode is gone; a new file of its name begins with it → found by content
    remove, create        the inode is gone, or used again                          → nothing: the content is gone

`decide` is the one rule for what is found by content. A content is known by what was read of it: its head, and the bytes before the
offset. Contents of one log may begin alike (a header, a banner), so what was read proves something only where it is more than such a
head; it is one as far as another file of the same log begins with the same bytes. Of all contents that a file may hold, the one of which
most was read has it. Each row of the table is provable, or ambiguous: there two histories leave the same files behind.

    row              what was read of the content, and the file                           the file holds             row is
    ---------------  -------------------------------------------------------------------  -------------------------  -----------
    IN PLACE         equal, in the file where it was read                                 that content, from there   provable (1)
    COPY             the file is the beginning of one that still is there, and is read    nothing to read            provable (2)
    COPY_ALONE       as COPY, but no other file tells whether it is more than a head      nothing to read            ambiguous (3)
    AGAIN            equal, and the inode is the one that was gone                        that content, from there   provable
    COPIED           equal, more than a head; the file has a rotated name                 that content, from there   provable
    COPIED_HEAD      equal, but only a head; the file has a rotated name                  that content, from there   ambiguous (3)
    ENDED            equal, but only a head, and the content had ended there              another content            provable
    CUT_SHORT        equal as far as the file goes, which ends before what was read, was  that content, to its end   provable
                     last written before that, and appears when the content is truncated
    LATER            as CUT_SHORT, but last written after what was read                   another content            provable
    REWRITTEN        equal, more than a head; at the live path, and the old inode is gone that content, from there   provable
    REWRITTEN_ALONE  as REWRITTEN, but no other file tells whether it is more than a head that content, from there   ambiguous (3)
    HEAD             as REWRITTEN, but only a head or a single line                       another content            ambiguous (4)
    UNREAD           nothing was read; the file is no older and no shorter than was seen  that content               provable (5)
    OTHER            differs, or has no name that a rotation gives                        another content            provable

(1) A file that is emptied, and holds the same bytes again when it is looked at next, was not emptied, as far as can be seen.
(2) If it is longer than 1 KiB, and more than a head: `copies` compares the bytes of both.
(3) The content was found, or it was destroyed while there was nothing but a head in it: then a head is missing, of which an equal one was
    read. (4) The file is a new one, or the content was rewritten: then its head comes again. Both are events (`assumed`, `reread`), so counted.
(5) Nothing can be lost or come again by it; it keeps the order.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from agent.tail.names import is_gzip, is_rotated, rotation_number, without_gzip
from agent.tail.position import FilePlace

if TYPE_CHECKING:
    from agent.tail.open import FileStatus


class FileCandidate(NamedTuple):
    """A file without a known content."""

    found: FileStatus
    name: str
    """The path it was found under, by a glob or beside a known file."""
    live_path: str
    """The path where its successor is expected."""
    included: bool
    """Whether a glob asks for it; else it only matters if it continues something known."""
    may_begin: bool = True
    """Whether it is read as something new if it holds nothing known and is from our time, though no glob asks for it."""

    @property
    def is_live(self) -> bool:
        """Whether it lies where the live file is expected."""
        return self.found.path == self.live_path

    @property
    def place(self) -> FilePlace:
        """Its place; the inode's generation is unknown until it is opened."""
        return FilePlace(self.found.path, *self.found.id, gzip=self.gzip)

    @property
    def gzip(self) -> bool:
        """Whether its content is compressed."""
        return is_gzip(self.found.path)


class Row(Enum):
    """A row of the table above: whether the file holds the content, and whether that is ambiguous."""

    OTHER = 0, False, False
    UNREAD = 1, True, False
    AGAIN = 2, True, False
    COPIED = 3, True, False
    COPIED_HEAD = 4, True, True
    CUT_SHORT = 5, True, False
    LATER = 6, False, False
    REWRITTEN = 7, True, False
    REWRITTEN_ALONE = 10, True, True
    HEAD = 8, False, True
    ENDED = 9, False, False

    @property
    def is_same(self) -> bool:
        """Whether the file holds the content."""
        return self.value[1]

    @property
    def is_ambiguous(self) -> bool:
        """Whether another history would leave the same files."""
        return self.value[2]


class Pair(NamedTuple):
    """A content that is not where it was, and a file without a known content: all facts of a decision."""

    read: int
    """Bytes of the content that were read."""
    is_equal: bool = False
    """The remembered part of these bytes is in the file, as far as the file goes."""
    is_shorter: bool = False
    """The file ends before them."""
    is_head: bool = False
    """Another file of the same log begins with these bytes."""
    is_alone: bool = False
    """There is no other file of the same log that could tell whether they are such a head."""
    is_line: bool = False
    """They are one line."""
    is_rotated: bool = False
    """The file has a name and a place that rotations give to the content's file."""
    is_live: bool = False
    """The file lies where the content's live file is expected."""
    is_included: bool = False
    """A glob asks for the file."""
    is_back: bool = False
    """The file's inode is the content's, which was gone."""
    is_emptied: bool = False
    """The file that held the content is emptied: that still is where it was, nothing was written into the gap between copy and truncation
    but what is at the end of what was read, and it was found just now."""
    is_older: bool = False
    """The file was last written no later than what was read last."""
    is_gone: bool = False
    """The content's file has no name any more."""
    has_ended: bool = False
    """The content's file had been rotated away, and was read to its end."""
    may_be_unread: bool = False
    """Time and size do not contradict that the file holds a content of which nothing was read."""


def decide(pair: Pair) -> Row:
    """The row of the table that a pair falls in."""
    if pair.is_back and not pair.is_shorter and (pair.is_equal or not pair.read):
        return Row.AGAIN
    if not pair.read:
        return Row.UNREAD if pair.is_rotated and pair.may_be_unread else Row.OTHER
    if not pair.is_equal:
        return Row.OTHER
    if pair.is_shorter:
        return _decide_shorter(pair)
    if pair.is_live:
        return _decide_live(pair)
    if pair.is_rotated:
        return _decide_rotated(pair)
    return Row.COPIED if pair.is_included and not (pair.is_head or pair.is_line) else Row.OTHER


def _decide_shorter(pair: Pair) -> Row:
    if not (pair.is_rotated and pair.is_emptied):
        return Row.OTHER
    return Row.CUT_SHORT if pair.is_older else Row.LATER


def _decide_live(pair: Pair) -> Row:
    if not pair.is_gone:
        return Row.OTHER
    if pair.is_head or pair.is_line:
        return Row.HEAD
    return Row.REWRITTEN_ALONE if pair.is_alone else Row.REWRITTEN


def _decide_rotated(pair: Pair) -> Row:
    if not pair.is_head:
        return Row.COPIED
    return Row.ENDED if pair.has_ended else Row.COPIED_HEAD


def is_same_file(place: FilePlace, path: str, generation: int) -> bool:
    """Whether a file with the inode of a place is the same file still.

    Where the file system tells no generation, the same inode under the same name may as well be a new file: then it is one.
    """
    if not place.generation or not generation:
        return path != place.path
    return generation == place.generation


def may_be_unread(place: FilePlace, size: int, mtime_ns: int, candidate: FileCandidate) -> bool:
    """Whether a file may hold a content of which nothing was read: there is nothing to compare but its size and the time of the last write.

    What was plain may have been written after it was seen. A compressed one that is gone is nowhere else.
    """
    return not place.gzip and candidate.found.mtime_ns >= mtime_ns and (candidate.gzip or candidate.found.size >= size)


def has_rotated_name(live_path: str, path: str) -> bool:
    """Whether a path is what a rotation makes of a live path: another name beside it; in another directory it may keep its name."""
    base, name = os.path.basename(live_path), os.path.basename(path)
    return is_rotated(base, name) or (path != live_path and without_gzip(name) == base)


def by_age(candidate: FileCandidate) -> tuple[object, ...]:
    """Sort key: oldest content first, live files last. Renaming and compressing keep the time of the last write.

    Where that is the same, because the clock ticks every few milliseconds only, numbers go down with time, and dates and counts go up.
    """
    path = candidate.found.path
    number = rotation_number(path)
    return number is None and not candidate.gzip, candidate.found.mtime_ns, -(number or 0), candidate.gzip, len(path), path


def bytes_missed(size: int, offset: int, copied: int = 0) -> int:
    """Number of bytes that were seen in a file and are lost; `copied` of them are in a copy."""
    return max(0, size - max(offset, copied))
