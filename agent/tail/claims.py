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
    from agent.tail.content import Content
    from agent.tail.copies import CommonHeads
    from agent.tail.decide import FileCandidate, Row
    from agent.tail.pool import Pool
    from agent.tail.reader import ContentReader


class Claim(NamedTuple):
    """A file that holds a content."""

    matched: int
    """Bytes of the content that are known to be equal."""
    order: int
    """Which of the files it is, oldest first."""
    content: Content
    candidate: FileCandidate
    row: Row
    size: int | None
    """Size of the file's content; None where measuring would take too long."""

    def rank(self) -> tuple[bool, int, int, int]:
        """Sort key: what matches furthest comes first, and what decides nothing last."""
        return not self.row.is_same, -self.matched, self.order, self.content.serial


class _Lost:
    """The lost contents, by what a file may show of them: with many files, not each can be compared with each."""

    def __init__(self, contents: Iterable[Content]) -> None:
        self._by_live_path: dict[str, list[Content]] = defaultdict(list)
        self._by_inode: dict[int, list[Content]] = defaultdict(list)
        self._by_head: dict[Digest, list[Content]] = defaultdict(list)
        for content in contents:
            self._by_live_path[content.live_path].append(content)
            self._by_inode[content.place.inode].append(content)
            if content.head.length == HEAD:
                self._by_head[content.head].append(content)

    def of(self, candidate: FileCandidate, live_paths: Iterable[str], head: bytes) -> Iterable[Content]:
        """The contents that a file may hold: by place and name, by inode, or, if a glob asks for it, by the first bytes."""
        found = [content for live_path in live_paths for content in self._by_live_path.get(live_path, ())]
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
        self._mistaken: set[tuple[Content, tuple[int, int]]] = set()
        """Files that looked like a lost content but were not."""

    def was_mistaken(self, content: Content) -> None:
        """Note that a file does not hold the lost content that it was taken for."""
        self._mistaken.add((content, content.place.id))

    def begin(self, lost: Iterable[Content]) -> None:
        """Begin with these contents."""
        self._lost = _Lost(lost)

    def of(self, candidate: FileCandidate, order: int) -> list[Claim]:
        """The lost contents that a file may hold, and those that it may not although it begins with what was read of them."""
        claims = []
        live_paths = self._live_paths(candidate.found.path)
        with closing(self._pool.open(candidate.place)) as reader:
            end = end_of(reader, candidate.found.size)
            generation = inode_generation(reader.fd)
            for content in self._lost.of(candidate, live_paths, reader.read(0, HEAD)):
                if self._may_hold(content, candidate, generation):
                    pair = self._compare(content, candidate, reader, end, generation)
                    pair = pair._replace(is_rotated=pair.is_rotated and content.live_path in live_paths)
                    row = decide(self._with_head(pair, content, candidate))
                    if row.is_same or row.is_ambiguous:
                        claims.append(
                            Claim(min(content.offset, content.offset if end is None else end), order, content, candidate, row, end)
                        )
        return claims

    def _live_paths(self, path: str) -> list[str]:
        """The live paths of which a path may be a rotated file, and the one that it is."""
        directory, name = os.path.split(path)
        bases = dict.fromkeys((name, without_gzip(name), *possible_bases(name)))
        return [os.path.join(served, base) for served in self._archives.served(directory) for base in bases]

    def _may_hold(self, content: Content, candidate: FileCandidate, generation: int) -> bool:
        """Whether a comparison is worth its cost."""
        if (content, candidate.found.id) in self._mistaken:
            return False
        is_same_inode = candidate.found.id == content.place.id and content.place.generation in (0, generation)
        return content.cause is Cause.REMOVED or not is_same_inode  # a file that was emptied does not hold a copy of its earlier content

    def _compare(self, content: Content, candidate: FileCandidate, reader: ContentReader, end: int | None, generation: int) -> Pair:
        path, file = candidate.found.path, candidate.found
        is_shorter = end is not None and end < content.offset
        is_same_inode = file.id == content.place.id and content.place.generation in (0, generation)
        return Pair(
            content.offset,
            is_equal=self._is_equal(content, reader, end),
            is_shorter=is_shorter,
            is_rotated=path != content.live_path and has_rotated_name(content.live_path, path) and not is_same_inode,
            is_live=path == content.live_path,
            is_included=candidate.included and not is_same_inode,
            is_back=content.cause is Cause.REMOVED and _is_back(content, candidate, generation),
            is_emptied=is_shorter and end is not None and _is_just_emptied(content, end),
            is_older=file.mtime_ns <= content.read_mtime_ns,
            is_gone=content.cause is not Cause.TRUNCATED,
            has_ended=content.cause is not Cause.TRUNCATED and content.is_at_end,
            may_be_unread=may_be_unread(content.place, content.size, content.mtime_ns, candidate),
        )

    def _is_equal(self, content: Content, reader: ContentReader, end: int | None) -> bool:
        if not content.offset:
            return False
        if end is not None and end < content.offset:
            return content.may_begin_with(reader, end)
        if isinstance(reader, GzipReader):
            return _may_be_compressed(content, reader)
        return content.is_continued_by(reader)

    def _with_head(self, pair: Pair, content: Content, candidate: FileCandidate) -> Pair:
        """The same facts, completed by those that matter only if something is equal."""
        if not pair.is_equal or pair.is_shorter or pair.read > COMPARED:
            return pair
        with closing(self._pool.open(candidate.place)) as reader:
            is_line = reader.read(0, pair.read).count(b"\n") <= 1
            is_head = self._heads.is_head_of(content, candidate, reader)
        return pair._replace(is_line=is_line, is_head=bool(is_head), is_alone=is_head is None)


def _is_back(content: Content, candidate: FileCandidate, generation: int) -> bool:
    """Whether a missing file has returned: moved away and back, or mounted again under another device number."""
    if candidate.found.inode != content.place.inode:
        return False
    return candidate.found.device != content.place.device or is_same_file(content.place, candidate.found.path, generation)


def _is_just_emptied(content: Content, end: int) -> bool:
    """Whether a file was emptied in its place just now, so that a copy which ends a little before what was read may be its."""
    if content.cause is not Cause.TRUNCATED or not content.is_uncounted or content.offset - end > COMPARED:
        return False
    return is_at(content.live_path, content)


def _may_be_compressed(content: Content, reader: GzipReader) -> bool:
    """Whether a compressed file may hold what was read: where the offset is far, or the compression continues, the rest is compared later."""
    if not content.has_head(reader):
        return False
    return content.offset > NEAR or content.is_continued_by(reader) or not (reader.read(content.offset, 1) or reader.finished())
