"""The files that may hold contents that are lost: gathers the facts that `decide` decides on. Thin I/O."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from agent.tail.decide import Pair, decide, has_rotated_name, is_same_file, may_be_unread
from agent.tail.locate import is_at
from agent.tail.names import possible_bases, without_gzip
from agent.tail.open import inode_generation
from agent.tail.position import HEAD, Cause, Digest
from agent.tail.reader import COMPARED, NEAR, GzipReader, end_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.tail.archives import Archives
    from agent.tail.copies import CommonHeads
    from agent.tail.decide import Candidate, Row
    from agent.tail.pool import Pool
    from agent.tail.reader import Reader
    from agent.tail.stream import Stream


class Claim(NamedTuple):
    """A file that holds a content."""

    matched: int
    """Bytes of the content in which they are the same, as far as can be seen."""
    order: int
    """Which of the files it is, oldest first."""
    stream: Stream
    candidate: Candidate
    row: Row
    size: int | None
    """Of the file's content; None where it would take too long to find out."""

    def rank(self) -> tuple[bool, int, int, int]:
        """Sort key: what matches furthest comes first, and what decides nothing last."""
        return not self.row.is_same, -self.matched, self.order, self.stream.serial


class _Lost:
    """The lost contents, by what a file may show of them: with many files, not each can be compared with each."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        self._by_home: dict[str, list[Stream]] = defaultdict(list)
        self._by_inode: dict[int, list[Stream]] = defaultdict(list)
        self._by_head: dict[Digest, list[Stream]] = defaultdict(list)
        for stream in streams:
            self._by_home[stream.home].append(stream)
            self._by_inode[stream.place.inode].append(stream)
            if stream.head.length == HEAD:
                self._by_head[stream.head].append(stream)

    def of(self, candidate: Candidate, homes: Iterable[str], head: bytes) -> Iterable[Stream]:
        """What a file may hold: by place and name, by inode, or, if a glob asks for it, by the first bytes."""
        found = [stream for home in homes for stream in self._by_home.get(home, ())]
        found += self._by_inode.get(candidate.found.inode, ())
        if candidate.included and len(head) == HEAD:
            found += self._by_head.get(Digest.of(head), ())
        return dict.fromkeys(found)


class Claims:
    """Compares files with lost contents."""

    def __init__(self, pool: Pool, archives: Archives, heads: CommonHeads) -> None:
        self._pool = pool
        self._archives = archives
        self._heads = heads
        self._lost = _Lost(())
        self._mistaken: set[tuple[Stream, tuple[int, int]]] = set()
        """Files that looked like a lost content but were not."""

    def was_mistaken(self, stream: Stream) -> None:
        """A file was taken for a lost content, and is not."""
        self._mistaken.add((stream, stream.place.id))

    def begin(self, lost: Iterable[Stream]) -> None:
        """Begin with these contents."""
        self._lost = _Lost(lost)

    def of(self, candidate: Candidate, order: int) -> list[Claim]:
        """The lost contents that a file may hold, and those that it may not although it begins with what was read of them."""
        claims = []
        homes = self._homes(candidate.found.path)
        with closing(self._pool.open(candidate.place)) as reader:
            end = end_of(reader, candidate.found.size)
            generation = inode_generation(reader.fd)
            for stream in self._lost.of(candidate, homes, reader.read(0, HEAD)):
                if self._may_hold(stream, candidate, generation):
                    pair = self._compare(stream, candidate, reader, end, generation)
                    pair = pair._replace(is_rotated=pair.is_rotated and stream.home in homes)
                    row = decide(self._with_head(pair, stream, candidate))
                    if row.is_same or row.is_ambiguous:
                        claims.append(Claim(min(stream.offset, stream.offset if end is None else end), order, stream, candidate, row, end))
        return claims

    def _homes(self, path: str) -> list[str]:
        """The homes of which a path may be a rotated file, and the one that it is."""
        directory, name = os.path.split(path)
        bases = dict.fromkeys((name, without_gzip(name), *possible_bases(name)))
        return [os.path.join(served, base) for served in self._archives.served(directory) for base in bases]

    def _may_hold(self, stream: Stream, candidate: Candidate, generation: int) -> bool:
        """Whether to compare them at all."""
        if (stream, candidate.found.id) in self._mistaken:
            return False
        is_same_inode = candidate.found.id == stream.place.id and stream.place.generation in (0, generation)
        return stream.cause is Cause.REMOVED or not is_same_inode  # what a file holds after it was emptied is no copy of what it held

    def _compare(self, stream: Stream, candidate: Candidate, reader: Reader, end: int | None, generation: int) -> Pair:
        path, file = candidate.found.path, candidate.found
        is_shorter = end is not None and end < stream.offset
        is_same_inode = file.id == stream.place.id and stream.place.generation in (0, generation)
        return Pair(
            stream.offset,
            is_equal=self._is_equal(stream, reader, end),
            is_shorter=is_shorter,
            is_rotated=path != stream.home and has_rotated_name(stream.home, path) and not is_same_inode,
            is_live=path == stream.home,
            is_included=candidate.included and not is_same_inode,
            is_back=stream.cause is Cause.REMOVED and _is_back(stream, candidate, generation),
            is_emptied=is_shorter and end is not None and _is_just_emptied(stream, end),
            is_older=file.mtime_ns <= stream.read_mtime_ns,
            is_gone=stream.cause is not Cause.TRUNCATED,
            has_ended=stream.cause is not Cause.TRUNCATED and stream.place.path != stream.home and stream.size <= stream.offset,
            may_be_unread=may_be_unread(stream.place, stream.size, stream.mtime_ns, candidate),
        )

    def _is_equal(self, stream: Stream, reader: Reader, end: int | None) -> bool:
        if not stream.offset:
            return False
        if end is not None and end < stream.offset:
            return stream.may_begin_with(reader, end)
        if isinstance(reader, GzipReader):
            return _may_be_compressed(stream, reader)
        return stream.is_continued_by(reader)

    def _with_head(self, pair: Pair, stream: Stream, candidate: Candidate) -> Pair:
        """The same with what only matters, and only is looked for, where something is equal."""
        if not pair.is_equal or pair.is_shorter or pair.read > COMPARED:
            return pair
        with closing(self._pool.open(candidate.place)) as reader:
            is_line = reader.read(0, pair.read).count(b"\n") <= 1
            is_head = self._heads.is_head_of(stream, candidate, reader)
        return pair._replace(is_line=is_line, is_head=bool(is_head), is_alone=is_head is None)


def _is_back(stream: Stream, candidate: Candidate, generation: int) -> bool:
    """Whether a file that was gone is there again: moved away and back, or mounted anew under another device number."""
    if candidate.found.inode != stream.place.inode:
        return False
    return candidate.found.device != stream.place.device or is_same_file(stream.place, candidate.found.path, generation)


def _is_just_emptied(stream: Stream, end: int) -> bool:
    """Whether a file was emptied in its place just now, so that a copy which ends a little before what was read may be its."""
    if stream.cause is not Cause.TRUNCATED or not stream.is_uncounted or stream.offset - end > COMPARED:
        return False
    return is_at(stream.home, stream)


def _may_be_compressed(stream: Stream, reader: GzipReader) -> bool:
    """Whether a compressed file may hold what was read: where the offset is far, or the compression goes on, the rest is compared later."""
    if not stream.has_head(reader):
        return False
    return stream.offset > NEAR or stream.is_continued_by(reader) or not (reader.read(stream.offset, 1) or reader.finished())
