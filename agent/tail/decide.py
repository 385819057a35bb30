"""Which file holds what: the decisions about rotation, from values to values. Pure.

What the usual rotations leave behind, and how a content is found again:

    rename, create        the inode has a new name                                 → followed by inode
    copy, truncate        the inode has other content; a new file has the old one  → found by content
    rename, compress      the inode is gone; a new .gz has its content             → found by content
    remove, create        the inode is gone, or used anew                          → nothing: the content is gone
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from agent.tail.names import is_gzip, is_rotated, rotation_number

if TYPE_CHECKING:
    from agent.tail.open import Found
    from agent.tail.position import Place


class Candidate(NamedTuple):
    """A file that no known content lies in."""

    found: Found
    name: str
    """The path it was found under, by a glob or beside a known file."""
    home: str
    """Where a successor of it is to be expected."""
    included: bool
    """Whether a glob asks for it; else it only matters if it continues something known."""

    @property
    def is_live(self) -> bool:
        """Whether it lies where the live file is to be expected."""
        return self.found.path == self.home

    @property
    def gzip(self) -> bool:
        """Whether its content is compressed."""
        return is_gzip(self.found.path)


def is_same_file(place: Place, path: str, generation: int) -> bool:
    """Whether a file with the inode of a place is the same file still.

    Where the file system tells no generation, the same inode under the same name may as well be a new file: then it is one.
    """
    if not place.generation or not generation:
        return path != place.path
    return generation == place.generation


def may_be_unread(place: Place, size: int, mtime_ns: int, candidate: Candidate) -> bool:
    """Whether a file may hold a content of which nothing was read: there is nothing to compare but its size and the time of the last write.

    What was plain may have been written after it was seen. A compressed one that is gone is nowhere else.
    """
    return not place.gzip and candidate.found.mtime_ns >= mtime_ns and (candidate.gzip or candidate.found.size >= size)


def is_beside(home: str, path: str) -> bool:
    """Whether a path is the home of a content, or what a rotation makes of it."""
    return os.path.dirname(path) == os.path.dirname(home) and (path == home or is_rotated(os.path.basename(home), os.path.basename(path)))


def by_age(candidate: Candidate) -> tuple[object, ...]:
    """Sort key: oldest content first, live files last. Renaming and compressing keep the time of the last write.

    Where that is the same, because the clock ticks every few milliseconds only, numbers go down with time, and dates and counts go up.
    """
    path = candidate.found.path
    number = rotation_number(path)
    return number is None and not candidate.gzip, candidate.found.mtime_ns, -(number or 0), candidate.gzip, len(path), path


def bytes_missed(size: int, offset: int, copied: int = 0) -> int:
    """Bytes that were seen in a file and are nowhere any more: `copied` of them are in a copy."""
    return max(0, size - max(offset, copied))
