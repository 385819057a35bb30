"""Enters new contents into the table, behind those that were written before them. Thin I/O."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from agent.tail.content import ContentState
from agent.tail.open import inode_generation
from agent.tail.reader import COMPARED

if TYPE_CHECKING:
    from agent.tail.candidates import Candidates
    from agent.tail.content import Content
    from agent.tail.decide import FileCandidate
    from agent.tail.pool import Pool
    from agent.tail.position import FilePlace
    from agent.tail.table import ContentTable


class NewContents:
    """Begins contents."""

    def __init__(self, table: ContentTable, pool: Pool, candidates: Candidates) -> None:
        self._table = table
        self._pool = pool
        self._candidates = candidates
        self.now = 0.0

    def begin(self, candidate: FileCandidate, *, from_end: bool) -> None:
        """Read a file from its beginning; `from_end`: from its present end."""
        if candidate.live_path not in self._table.by_live_path:
            self._table.raise_horizon(candidate.live_path, self._candidates.newest_beside(candidate.live_path))
        content = self.add(candidate)
        if not candidate.is_live:
            self._put_younger_last(content)
        if from_end:
            self._skip_present(content)

    def add(self, candidate: FileCandidate) -> Content:
        """Enter a content at offset 0 into the table."""
        content = self._table.add(candidate.name, candidate.live_path, self._place_of(candidate), self.now)
        content.size, content.mtime_ns = candidate.found.size, candidate.found.mtime_ns
        content.note_read()
        return content

    def _place_of(self, candidate: FileCandidate) -> FilePlace:
        """The place, with the inode's generation from the beginning: before anything is read, nothing else tells the file again."""
        place = candidate.place
        try:
            with closing(self._pool.open(place)) as reader:
                return place._replace(generation=inode_generation(reader.fd))
        except OSError:  # it will be known when it can be opened
            return place

    def _put_younger_last(self, new: Content) -> None:
        """Put younger contents of which nothing was read behind this one: lines come in the order in which they were written."""
        unread = [one for one in self._table.by_live_path[new.live_path] if one is not new and not one.offset]
        for content in unread:
            was_live = content.place.path == new.live_path
            if (was_live and content.state is ContentState.PLACED) or (content.mtime_ns, was_live) > (new.mtime_ns, False):
                self._table.put_last(content)

    def _skip_present(self, content: Content) -> None:
        """Begin behind the last whole line: one that is being written now will be read whole."""
        if content.place.gzip:
            content.drained, content.more = True, False
            return
        try:
            reader = self._pool.get(content)
            end = reader.read(max(0, content.size - COMPARED), min(content.size, COMPARED))
            unended = len(end) - end.rfind(b"\n") - 1 if b"\n" in end else 0
            self.skip(content, content.size - unended)
        except OSError as error:  # then it is read from its beginning once it can be: rather too much than too little
            self._candidates.refuse(content.name, error)

    def skip(self, content: Content, size: int) -> None:
        """Count the bytes before an offset as read."""
        reader = self._pool.get(content)
        content.start_at(size, reader)
        content.position(size, b"", reader)
