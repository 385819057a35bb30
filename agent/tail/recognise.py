"""Whether a file continues a content: compared by inode, by what was read of it, and, where nothing was read, by time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.tail.candidates import regular
from agent.tail.decide import Candidate, is_beside, is_same_file, may_be_unread
from agent.tail.position import Cause, Place
from agent.tail.reader import COMPARED, GzipReader

if TYPE_CHECKING:
    from agent.tail.reader import Reader
    from agent.tail.stream import Stream

_NEAR: Final = 8 << 20
"""Bytes that are decompressed at once to compare what lies behind them."""


def place_of(candidate: Candidate) -> Place:
    """Where a candidate lies; its inode's generation is not known without opening it."""
    return Place(candidate.found.path, *candidate.found.id, gzip=candidate.gzip)


def by_proof(stream: Stream) -> tuple[bool, int]:
    """Sort key: what nothing was read of could be taken for anything, so it is asked last."""
    return stream.offset == 0, stream.serial


def is_at(path: str, stream: Stream) -> bool:
    """Whether the file in which a content was last lies at a path."""
    status = regular(path)
    return status is not None and status.id == stream.place.id


def may_be(stream: Stream, path: str, generation: int) -> bool:
    """Whether an inode is the same file still. Of what nothing was read, only its generation or a rotated name can tell."""
    is_told = stream.offset or (stream.place.generation and generation)
    return is_same_file(stream.place, path, generation) and bool(is_told or is_beside(stream.home, path))


def is_continued(stream: Stream, candidate: Candidate, reader: Reader, generation: int) -> bool:
    """Whether a file holds what a lost content held: it is that file again, or a copy of it."""
    if stream.cause is Cause.REMOVED and is_back(stream, candidate, generation):
        return stream.is_continued_by(reader)
    return is_copy_of_lost(stream, candidate, reader, generation)


def is_back(stream: Stream, candidate: Candidate, generation: int) -> bool:
    """Whether a file that was gone is there again: moved away and back, or mounted anew under another device number."""
    if candidate.found.inode != stream.place.inode:
        return False
    return candidate.found.device != stream.place.device or is_same_file(stream.place, candidate.found.path, generation)


def is_copy_of_lost(stream: Stream, candidate: Candidate, reader: Reader, generation: int) -> bool:
    """Whether a rotation made this file of what a lost content lay in: copied, or compressed."""
    path = candidate.found.path
    if not is_beside(stream.home, path) or path == stream.home:  # a copy has a name of its own
        return False
    if candidate.found.id == stream.place.id and stream.place.generation in (0, generation):
        return False  # what a file holds after it was emptied is no copy of what it held
    if stream.offset == 0:
        return may_be_unread(stream.place, stream.size, stream.mtime_ns, candidate)
    if isinstance(reader, GzipReader):
        return may_be_compressed(stream, reader)
    if candidate.found.size < stream.offset:  # what we read last was written after the copy was made
        return is_just_emptied(stream, candidate) and stream.may_begin_with(reader, candidate.found.size)
    return stream.is_continued_by(reader)


def is_just_emptied(stream: Stream, candidate: Candidate) -> bool:
    """Whether a file was emptied in its place just now, so that a copy which ends a little before what was read is its."""
    if stream.cause is not Cause.TRUNCATED or not stream.is_uncounted or stream.offset - candidate.found.size > COMPARED:
        return False
    return is_at(stream.home, stream)


def may_be_compressed(stream: Stream, reader: GzipReader) -> bool:
    """Whether a compressed file may hold what was read: where the offset is far, or the compression goes on, the rest is compared later."""
    if not stream.has_head(reader):
        return False
    return stream.offset > _NEAR or stream.is_continued_by(reader) or not (reader.read(stream.offset, 1) or reader.finished())
