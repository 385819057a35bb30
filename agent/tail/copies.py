"""Finds copies of contents that still exist, or that are new as well. Thin I/O.

Contents of one log may begin alike, with a header, or with a banner that each start writes. Such a *common head* does not prove which
content a file holds.
"""

from __future__ import annotations

import os
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Final

from agent.tail.content import ContentState
from agent.tail.line_reader import ContentChangedError
from agent.tail.position import HEAD
from agent.tail.reader import COMPARED, end_of, equal_so_far, is_one_content
from agent.tail.table import FileNotice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.tail.content import Content
    from agent.tail.decide import FileCandidate
    from agent.tail.pool import Pool
    from agent.tail.reader import ContentReader
    from agent.tail.table import ContentTable

_RELATIVES: Final = 4
"""The newest contents of a log that a file is compared with."""


class CommonHeads:
    """Compares the beginnings of other files of the same log."""

    def __init__(self, table: ContentTable, pool: Pool) -> None:
        self._table = table
        self._pool = pool
        self.candidates: Sequence[FileCandidate] = ()
        """Files without a known content in this scan."""

    def relatives(self, live_path: str, *, plain: bool = False) -> list[Content]:
        """The newest contents of a live path, newest first; `plain`: only those that are not compressed."""
        there = (one for one in reversed(self._table.by_live_path.get(live_path, ())) if one.state is not ContentState.LOST)
        return list(islice((one for one in there if not (plain and one.place.gzip)), _RELATIVES))

    def is_head_of(self, content: Content, candidate: FileCandidate, file: ContentReader) -> bool | None:
        """Whether what was read of a content, with which a file begins, is a common head; None if no other file tells.

        The same file once more does not make it one: a file and its compressed form may both be there.
        """

        def goes_on(other: ContentReader) -> bool | None:
            if not content.is_continued_by(other):
                return _differs(other)
            return not (end_of(other) == end_of(file) and is_one_content(other, file))

        return self._ask(content, candidate, goes_on)

    def is_head(self, candidate: FileCandidate, content: Content | None, original: ContentReader, same: int) -> bool | None:
        """Whether the bytes that a copy has in common with its original are a common head: two files that begin with it go on differently."""
        if same > COMPARED:
            return False
        longest = original.read(0, COMPARED)
        start = longest[:same]

        def goes_on(other: ContentReader) -> bool | None:
            nonlocal longest
            data = other.read(0, COMPARED)
            if not data.startswith(start):
                return _differs(other)
            known, longest = longest, max(longest, data, key=len)
            return None if known[: len(data)] == data[: len(known)] else True

        return self._ask(content, candidate, goes_on)

    def _ask(self, content: Content | None, candidate: FileCandidate, ask: Callable[[ContentReader], bool | None]) -> bool | None:
        """Compare other files of the same log, each with the result yes, no or unknown (None); one yes is enough."""
        answer = None
        known = [one.place for one in self.relatives(candidate.live_path) if one is not content]
        new = (one for one in self.candidates if one.live_path == candidate.live_path and one.found.id not in self._table.by_id)
        others = [one.place for one in new if one.found.id != candidate.found.id]
        for place in (*known, *others[-_RELATIVES:]):
            try:
                with closing(self._pool.open(place)) as reader:
                    found = ask(reader)
            except OSError:
                continue
            if found:
                return True
            answer = found if answer is None else answer
        return answer


def _differs(reader: ContentReader) -> bool | None:
    """The result for a file that begins with other bytes: no; None if it is empty."""
    return False if reader.read(0, 1) else None


class Copies:
    """Compares files with contents that are known, and with one another."""

    def __init__(self, table: ContentTable, pool: Pool, heads: CommonHeads) -> None:
        self._table = table
        self._pool = pool
        self._heads = heads

    def is_prefix(self, candidate: FileCandidate, content: Content) -> bool:
        """Whether a file is, so far, the beginning of a content; also if that was emptied just now, because its copy is found only then."""
        with closing(self._pool.open(candidate.place)) as copy:
            try:
                original = self._pool.get(content)
                if equal_so_far(copy, original, None if candidate.gzip else candidate.found.size):
                    return True
                content.check(original)
            except ContentChangedError:
                return True
        return False

    def copied_from(self, candidate: FileCandidate) -> int:
        """Bytes of a file that were read already, because it is the copy of a content that still exists: 0 if it is not.

        A copy that has more than what was read yet is not ready: -1.
        """
        for content in self._heads.relatives(candidate.live_path, plain=True):
            if self._may_copy(content, candidate):
                with closing(self._pool.open(candidate.place)) as copy:
                    size = end_of(copy, candidate.found.size)
                    known = self._known_of(content, candidate, copy, size)
                if known:
                    is_head = self._heads.is_head(candidate, content, self._pool.get(content), known if known > 0 else content.offset)
                    if known > 0 and (is_head is None or (is_head and candidate.is_live)):
                        self._table.notices.append(FileNotice("reread" if is_head else "assumed", candidate.found.path))
                    if not is_head:
                        return known
        return 0

    def is_mere_head(self, candidate: FileCandidate, content: Content) -> bool:
        """Whether a file that is the beginning of a content is no more than other files of the same log begin with, too."""
        with closing(self._pool.open(candidate.place)) as copy:
            size = end_of(copy)
            return size is not None and bool(self._heads.is_head(candidate, content, self._pool.get(content), size))

    def _may_copy(self, content: Content, candidate: FileCandidate) -> bool:
        if candidate.is_live:
            return content.state is ContentState.HELD and not os.fstat(self._pool.get(content).fd).st_nlink
        return content.offset > HEAD

    def _known_of(self, content: Content, candidate: FileCandidate, copy: ContentReader, size: int | None) -> int:
        """Bytes of a copy that were read already: 0 if it is not a copy, -1 if that is unknown yet."""
        least = content.left_size if candidate.is_live else HEAD + 1
        if size is None or size < max(least, 1):
            return 0
        try:
            reader = self._pool.get(content)
            whole = os.fstat(reader.fd).st_size
            if not equal_so_far(copy, reader, min(size, content.offset if candidate.is_live else whole)):
                return 0
        except ContentChangedError:
            return 0
        if candidate.is_live and copy.read(0, min(size, content.offset, COMPARED)).count(b"\n") <= 1:
            self._table.notices.append(FileNotice("reread", candidate.found.path))
            return 0
        if candidate.is_live:
            is_read = content.saved.offset == content.offset  # of what is open yet, the rest may be in the copy
            return min(size, content.offset) if is_read and (content.offset == whole or size <= content.offset) else -1
        if size <= content.offset:
            return size
        return -1 if size <= whole else 0

    def is_copy_of_new(self, candidate: FileCandidate) -> bool:
        """Whether a file is the beginning of another one that is not known either: that one must be read first."""
        with closing(self._pool.open(candidate.place)) as copy:
            size = end_of(copy)
            if size is None or size <= HEAD:
                return False
            return any(
                self._is_copy_of(candidate, copy, size, other) for other in self._heads.candidates if other.live_path == candidate.live_path
            )

    def _is_copy_of(self, candidate: FileCandidate, copy: ContentReader, size: int, other: FileCandidate) -> bool:
        if other is candidate or other.found.id in self._table.by_id:
            return False
        with closing(self._pool.open(other.place)) as original:
            whole = end_of(original)
            if whole is None or _precedence(other, whole) < _precedence(candidate, size) or not equal_so_far(copy, original, size):
                return False
            return not self._heads.is_head(candidate, None, original, size)


def _precedence(candidate: FileCandidate, size: int) -> tuple[int, bool, bool, str]:
    """Sort key: of equal beginnings the longest comes last, and is the original; of equal contents the plain one, and the live one."""
    return size, not candidate.gzip, candidate.is_live, candidate.found.path
