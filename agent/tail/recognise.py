"""What a file has in common with a content: gathers what `decide` decides on. Thin I/O."""

from __future__ import annotations

import os
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.tail.decide import Pair, decide, has_rotated_name, is_same_file, may_be_unread
from agent.tail.line_reader import ContentChangedError
from agent.tail.locate import is_at
from agent.tail.names import possible_bases, without_gzip
from agent.tail.open import inode_generation
from agent.tail.pool import Peek
from agent.tail.position import HEAD, Cause, Digest, Place
from agent.tail.reader import COMPARED, GzipReader, equal_so_far
from agent.tail.stream import State
from agent.tail.table import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agent.tail.archives import Archives
    from agent.tail.decide import Candidate, Row
    from agent.tail.pool import Pool
    from agent.tail.reader import Reader
    from agent.tail.stream import Stream
    from agent.tail.table import Table

_NEAR: Final = 8 << 20
"""Bytes that are decompressed at once to compare what lies behind them."""
_RELATIVES: Final = 4
"""The newest contents of a home that a file is compared with."""


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


def place_of(candidate: Candidate) -> Place:
    """Where a candidate lies; its inode's generation is not known without opening it."""
    return Place(candidate.found.path, *candidate.found.id, gzip=candidate.gzip)


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


class Recognizer:
    """Compares files with contents."""

    def __init__(self, table: Table, pool: Pool, archives: Archives) -> None:
        self._table = table
        self._pool = pool
        self._archives = archives
        self._lost = _Lost(())
        self._candidates: Sequence[Candidate] = ()
        self._mistaken: set[tuple[Stream, tuple[int, int]]] = set()
        """Files that looked like a lost content but were not."""

    def was_mistaken(self, stream: Stream) -> None:
        """A file was taken for a lost content, and is not."""
        self._mistaken.add((stream, stream.place.id))

    # -- contents that are lost

    def begin(self, candidates: Sequence[Candidate]) -> None:
        """Begin with these files: what is lost now is what they may hold."""
        self._lost = _Lost(self._table.lost)
        self._candidates = candidates

    def claims(self, candidate: Candidate, order: int) -> list[Claim]:
        """The lost contents that a file may hold, and those that it may not although it begins with what was read of them."""
        claims = []
        homes = self._homes(candidate.found.path)
        with Peek(self._pool, place_of(candidate)) as reader:
            end = reader.end(_NEAR) if isinstance(reader, GzipReader) else candidate.found.size
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
        with Peek(self._pool, place_of(candidate)) as reader:
            is_line = reader.read(0, pair.read).count(b"\n") <= 1

            def is_other(other: Reader) -> bool | None:  # not the same once more: a file and its compressed form may be there both
                if not stream.is_continued_by(other):
                    return _differs(other)
                return not (_end(other) == _end(reader) and _is_copy(other, reader))

            is_head = self._is_common(stream, candidate, is_other)
        return pair._replace(is_line=is_line, is_head=bool(is_head), is_alone=is_head is None)

    def _is_common(self, stream: Stream | None, candidate: Candidate, ask: Callable[[Reader], bool | None]) -> bool | None:
        """Whether another file of the same log tells that what a content and a file have in common is a mere head; None if none tells.

        `ask` says of one file: yes, no, or nothing (None). One yes is enough.
        """
        answer = None
        known = [one.place for one in self._relatives(candidate.home) if one is not stream]
        new = (one for one in self._candidates if one.home == candidate.home and one.found.id not in self._table.by_id)
        others = [place_of(one) for one in new if one.found.id != candidate.found.id]
        for place in (*known, *others[-_RELATIVES:]):
            try:
                with Peek(self._pool, place) as reader:
                    told = ask(reader)
            except OSError:
                continue
            if told:
                return True
            answer = told if answer is None else answer
        return answer

    def _relatives(self, home: str, *, plain: bool = False) -> list[Stream]:
        """The newest contents of a home, newest first; `plain`: only those that are not compressed."""
        there = (one for one in reversed(self._table.by_home.get(home, ())) if one.state is not State.LOST)
        return list(islice((one for one in there if not (plain and one.place.gzip)), _RELATIVES))

    # -- contents that are still there

    def copied_from(self, candidate: Candidate) -> int:
        """How much of a file was read already, because it is the copy of a content that still is there: 0 if it is none.

        A copy that has more than what was read yet is not ready: -1.
        """
        for stream in self._relatives(candidate.home, plain=True):
            if self._may_copy(stream, candidate):
                with Peek(self._pool, place_of(candidate)) as copy:
                    size = copy.end(_NEAR) if isinstance(copy, GzipReader) else candidate.found.size
                    known = self._known_of(stream, candidate, copy, size)
                if known:
                    is_head = self._is_head(candidate, stream, self._pool.get(stream), known if known > 0 else stream.offset)
                    if known > 0 and (is_head is None or (is_head and candidate.is_live)):
                        self._table.notices.append(Notice("reread" if is_head else "assumed", candidate.found.path))
                    if not is_head:
                        return known
        return 0

    def is_mere_head(self, candidate: Candidate, stream: Stream) -> bool:
        """Whether a file that is the beginning of a content is no more than other files of the same log begin with, too."""
        with Peek(self._pool, place_of(candidate)) as copy:
            size = _end(copy)
            return size is not None and bool(self._is_head(candidate, stream, self._pool.get(stream), size))

    def _may_copy(self, stream: Stream, candidate: Candidate) -> bool:
        if candidate.is_live:
            return stream.state is State.HELD and not os.fstat(self._pool.get(stream).fd).st_nlink
        return stream.offset > HEAD

    def _known_of(self, stream: Stream, candidate: Candidate, copy: Reader, size: int | None) -> int:
        """How much of a copy was read already: 0 if it is none, -1 if it can't be said yet."""
        least = stream.left_size if candidate.is_live else HEAD + 1
        if size is None or size < max(least, 1):
            return 0
        try:
            reader = self._pool.get(stream)
            whole = os.fstat(reader.fd).st_size
            if not equal_so_far(copy, reader, min(size, stream.offset if candidate.is_live else whole)):
                return 0
        except ContentChangedError:
            return 0
        if candidate.is_live and copy.read(0, min(size, stream.offset, COMPARED)).count(b"\n") <= 1:
            self._table.notices.append(Notice("reread", candidate.found.path))
            return 0
        if candidate.is_live:
            is_read = stream.saved.offset == stream.offset  # of what is open yet, the rest may be in the copy
            return min(size, stream.offset) if is_read and (stream.offset == whole or size <= stream.offset) else -1
        if size <= stream.offset:
            return size
        return -1 if size <= whole else 0

    def is_copy_of_new(self, candidate: Candidate) -> bool:
        """Whether a file is the beginning of another one that is not known either: that one is to be read first."""
        with Peek(self._pool, place_of(candidate)) as copy:
            size = _end(copy)
            if size is None or size <= HEAD:
                return False
            return any(self._is_copy_of(candidate, copy, size, other) for other in self._candidates if other.home == candidate.home)

    def _is_copy_of(self, candidate: Candidate, copy: Reader, size: int, other: Candidate) -> bool:
        if other is candidate or other.found.id in self._table.by_id:
            return False
        with Peek(self._pool, place_of(other)) as original:
            whole = _end(original)
            if whole is None or _precedence(other, whole) < _precedence(candidate, size) or not equal_so_far(copy, original, size):
                return False
            return not self._is_head(candidate, None, original, size)

    def _is_head(self, candidate: Candidate, stream: Stream | None, original: Reader, same: int) -> bool | None:
        """Whether what a copy has in common with its original is a mere head: two files that begin with it go on differently."""
        if same > COMPARED:
            return False
        longest = original.read(0, COMPARED)
        start = longest[:same]

        def goes_on(other: Reader) -> bool | None:
            nonlocal longest
            data = other.read(0, COMPARED)
            if not data.startswith(start):
                return _differs(other)
            known, longest = longest, max(longest, data, key=len)
            return None if known[: len(data)] == data[: len(known)] else True

        return self._is_common(stream, candidate, goes_on)


def _precedence(candidate: Candidate, size: int) -> tuple[int, bool, bool, str]:
    """Sort key: of equal beginnings the longest comes last, and is the original; of equal contents the plain one, and the live one."""
    return size, not candidate.gzip, candidate.is_live, candidate.found.path


def _end(reader: Reader) -> int | None:
    """How long a content is; None if that is unknown."""
    return reader.end(_NEAR) if isinstance(reader, GzipReader) else os.fstat(reader.fd).st_size


def _differs(reader: Reader) -> bool | None:
    """The answer of a file that begins in another way than what is asked about: no; one that is empty tells nothing."""
    return False if reader.read(0, 1) else None


def _is_copy(reader: Reader, original: Reader) -> bool:
    """Whether one of two contents is the beginning of the other: then they are one, and no two that begin alike."""
    end, whole = _end(reader), _end(original)
    return end is not None and whole is not None and equal_so_far(reader, original, min(end, whole))


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
    return stream.offset > _NEAR or stream.is_continued_by(reader) or not (reader.read(stream.offset, 1) or reader.finished())
