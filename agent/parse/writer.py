"""One writer in the table of `writers`: its stream, the records that wait behind its open one, and the lines that those are made of."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.parse.dialect import KnownFormat
    from agent.parse.parsed import Parsed
    from agent.parse.writer_stream import Item, WriterStream

_offset = attrgetter("offset")
_end = attrgetter("end")


class Pieces:
    """A line that came in pieces, until its last one."""

    __slots__ = ("base", "end", "offset", "offsets", "parts", "size")

    def __init__(self, offset: int, base: Parsed) -> None:
        self.offset = self.end = offset
        self.base = base
        self.offsets: list[int] = []
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, offset: int, text: bytes) -> None:
        """One more piece."""
        self.end = offset
        self.offsets.append(offset)
        self.parts.append(text)
        self.size += len(text)


class Writer:
    """Feeds a stream. What is complete and not behind what is open can be taken."""

    __slots__ = ("_history", "_version", "lines", "stream", "waiting")

    def __init__(self, stream: WriterStream) -> None:
        self.stream = stream
        self.waiting = stream.items
        self.lines: list[int] = []
        """Offsets of the lines since the first one that may be needed again."""
        self._history = [(-1, stream.dialect.known)]
        self._version = stream.dialect.version

    def feed(self, line: bytes, now_ns: int, base: Parsed, offsets: Sequence[int]) -> None:
        """Take the next line, which stands at these `offsets` (in pieces: at several)."""
        offset = offsets[0]
        self.lines += offsets
        self.stream.feed(offset, line, now_ns, base, end=offsets[-1])
        if self.stream.dialect.version != self._version:
            self.note(offset)

    def note(self, offset: int) -> None:
        """Remember what is known since the line at an offset, if it has changed."""
        if self.stream.dialect.version != self._version:
            self._version = self.stream.dialect.version
            self._history = [*(self._history if self.limit() is not None else ()), (offset, self.stream.dialect.known)]

    def limit(self) -> int | None:
        """From where on lines are needed again, given what is open and what is complete but not taken; None: none is.

        A record that began before that and has lines behind it (one traceback in another) would be half repeated: it is needed whole.
        """
        limit = self.stream.open_offset
        if limit is not None and self.waiting:
            for item in sorted(self.waiting, key=_end, reverse=True):
                if item.end >= limit > item.offset:
                    limit = item.offset
        return limit

    def take(self) -> list[Item]:
        """The complete records that are not behind an open one, in order."""
        limit = self.limit()
        self.lines = [] if limit is None else self.lines[bisect_left(self.lines, limit) :]
        if not self.waiting:
            return []
        self.waiting.sort(key=_offset)
        count = len(self.waiting) if limit is None else bisect_left(self.waiting, limit, key=_offset)
        taken = self.waiting[:count]
        del self.waiting[:count]
        return taken

    def known(self) -> KnownFormat:
        """The knowledge of the format at the first line that is needed again."""
        limit = self.limit()
        return self._history[-1][1] if limit is None else [known for offset, known in self._history if offset < limit][-1]

    def withdraw(self, offset: int) -> None:
        """The line at an offset is another writer's."""
        self.lines = [one for one in self.lines if one != offset]
