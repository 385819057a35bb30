"""Contents that are new: enters them into the table, behind what was written before them. Thin I/O."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from agent.tail.open import inode_generation
from agent.tail.reader import COMPARED
from agent.tail.stream import State

if TYPE_CHECKING:
    from agent.tail.candidates import Candidates
    from agent.tail.decide import Candidate
    from agent.tail.pool import Pool
    from agent.tail.position import Place
    from agent.tail.stream import Stream
    from agent.tail.table import Table


class NewContents:
    """Begins contents."""

    def __init__(self, table: Table, pool: Pool, candidates: Candidates) -> None:
        self._table = table
        self._pool = pool
        self._candidates = candidates
        self.now = 0.0

    def begin(self, candidate: Candidate, *, from_end: bool) -> None:
        """Read a file from its beginning; `from_end`: from its present end."""
        if candidate.home not in self._table.by_home:
            self._table.raise_horizon(candidate.home, self._candidates.newest_beside(candidate.home))
        stream = self.add(candidate)
        if not candidate.is_live:
            self._put_younger_last(stream)
        if from_end:
            self._skip_present(stream)

    def add(self, candidate: Candidate) -> Stream:
        """Enter a content at offset 0 into the table."""
        stream = self._table.add(candidate.name, candidate.home, self._place_of(candidate), self.now)
        stream.size, stream.mtime_ns = candidate.found.size, candidate.found.mtime_ns
        stream.note_read()
        return stream

    def _place_of(self, candidate: Candidate) -> Place:
        """The place, with the inode's generation from the beginning: before anything is read, nothing else tells the file again."""
        place = candidate.place
        try:
            with closing(self._pool.open(place)) as reader:
                return place._replace(generation=inode_generation(reader.fd))
        except OSError:  # it will be known when it can be opened
            return place

    def _put_younger_last(self, new: Stream) -> None:
        """What was written before a rotation comes first, also where what came later was known before: as long as nothing of that was read."""
        unread = [one for one in self._table.by_home[new.home] if one is not new and not one.offset]
        for stream in unread:
            was_live = stream.place.path == new.home
            if (was_live and stream.state is State.PLACED) or (stream.mtime_ns, was_live) > (new.mtime_ns, False):
                self._table.put_last(stream)

    def _skip_present(self, stream: Stream) -> None:
        """Begin behind the last whole line: one that is being written now will be read whole."""
        if stream.place.gzip:
            stream.drained, stream.more = True, False
            return
        try:
            reader = self._pool.get(stream)
            end = reader.read(max(0, stream.size - COMPARED), min(stream.size, COMPARED))
            unended = len(end) - end.rfind(b"\n") - 1 if b"\n" in end else 0
            self.skip(stream, stream.size - unended)
        except OSError as error:  # then it is read from its beginning once it can be: rather too much than too little
            self._candidates.refuse(stream.name, error)

    def skip(self, stream: Stream, size: int) -> None:
        """Take what is before an offset as read."""
        reader = self._pool.get(stream)
        stream.start_at(size, reader)
        stream.position(size, b"", reader)
