"""Copies of contents that still are there, or that are new as well. Thin I/O."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.tail.line_reader import ContentChangedError
from agent.tail.pool import Peek
from agent.tail.position import HEAD
from agent.tail.reader import COMPARED, end_of, equal_so_far
from agent.tail.stream import State
from agent.tail.table import Notice

if TYPE_CHECKING:
    from agent.tail.common_heads import CommonHeads
    from agent.tail.decide import Candidate
    from agent.tail.pool import Pool
    from agent.tail.reader import Reader
    from agent.tail.stream import Stream
    from agent.tail.table import Table


class Copies:
    """Compares files with contents that are known, and with one another."""

    def __init__(self, table: Table, pool: Pool, heads: CommonHeads) -> None:
        self._table = table
        self._pool = pool
        self._heads = heads

    def is_prefix(self, candidate: Candidate, stream: Stream) -> bool:
        """Whether a file is (as yet) the beginning of a content; also where that was emptied just now: its copy is found when that is known."""
        with Peek(self._pool, candidate.place) as copy:
            try:
                original = self._pool.get(stream)
                if equal_so_far(copy, original, None if candidate.gzip else candidate.found.size):
                    return True
                stream.check(original)
            except ContentChangedError:
                return True
        return False

    def copied_from(self, candidate: Candidate) -> int:
        """How much of a file was read already, because it is the copy of a content that still is there: 0 if it is none.

        A copy that has more than what was read yet is not ready: -1.
        """
        for stream in self._heads.relatives(candidate.home, plain=True):
            if self._may_copy(stream, candidate):
                with Peek(self._pool, candidate.place) as copy:
                    size = end_of(copy, candidate.found.size)
                    known = self._known_of(stream, candidate, copy, size)
                if known:
                    is_head = self._heads.is_head(candidate, stream, self._pool.get(stream), known if known > 0 else stream.offset)
                    if known > 0 and (is_head is None or (is_head and candidate.is_live)):
                        self._table.notices.append(Notice("reread" if is_head else "assumed", candidate.found.path))
                    if not is_head:
                        return known
        return 0

    def is_mere_head(self, candidate: Candidate, stream: Stream) -> bool:
        """Whether a file that is the beginning of a content is no more than other files of the same log begin with, too."""
        with Peek(self._pool, candidate.place) as copy:
            size = end_of(copy)
            return size is not None and bool(self._heads.is_head(candidate, stream, self._pool.get(stream), size))

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
        with Peek(self._pool, candidate.place) as copy:
            size = end_of(copy)
            if size is None or size <= HEAD:
                return False
            return any(self._is_copy_of(candidate, copy, size, other) for other in self._heads.candidates if other.home == candidate.home)

    def _is_copy_of(self, candidate: Candidate, copy: Reader, size: int, other: Candidate) -> bool:
        if other is candidate or other.found.id in self._table.by_id:
            return False
        with Peek(self._pool, other.place) as original:
            whole = end_of(original)
            if whole is None or _precedence(other, whole) < _precedence(candidate, size) or not equal_so_far(copy, original, size):
                return False
            return not self._heads.is_head(candidate, None, original, size)


def _precedence(candidate: Candidate, size: int) -> tuple[int, bool, bool, str]:
    """Sort key: of equal beginnings the longest comes last, and is the original; of equal contents the plain one, and the live one."""
    return size, not candidate.gzip, candidate.is_live, candidate.found.path
