"""Reads one content after the other, in the order in which they were written. Thin I/O."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.record import Drop
from agent.tail.content import ContentState
from agent.tail.line_reader import ContentChangedError
from agent.tail.position import Cause
from agent.tail.reader import GzipReader
from agent.tail.table import FileNotice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.tail.content import Content
    from agent.tail.discover import Listings
    from agent.tail.line_reader import Piece
    from agent.tail.polling import Poller
    from agent.tail.reader import ContentReader

_ADVANCE: Final = 8 << 20
"""Bytes of a compressed content skipped per turn on the way to the offset."""
_DEFERRALS: Final = 10
"""Number of times that a file is checked again before its first read."""

Read = tuple["Content", "Piece", "ContentReader"]
"""The content, the piece of it that was read, and the reader."""


class Reading:
    """Reads pieces of the contents whose turn it is."""

    def __init__(self, listings: Listings, poller: Poller) -> None:
        self._listings = listings
        self._poller = poller
        self._table, self._pool, self._options = poller.table, poller.pool, poller.options

    def next(self, room: int, most: int) -> Read | None:
        """About `room` bytes, at most `most` lines. None = there is nothing to read now.

        A content is not read before those that were rotated away from the same place are.
        """
        for _ in range(len(self._poller.ready)):
            content = self._poller.ready.popleft()
            if self._poller.now < content.retry_at or self._must_wait(content):
                self._poller.ready.append(content)
                continue
            read = self._read(content, room, most)
            self._poller.requeue(content)
            if read is not None:
                return read
        return None

    def unended(self, *, at_once: bool = False) -> Iterator[Read]:
        """Last lines without an end, of files that are not written any more or were silent for long; `at_once`: however long."""
        for content in list(self._poller.busy):
            if content.has_partial and not content.more and self._is_over(content, at_once=at_once):
                read = self._take(content, self._last_line)
                if read is not None:
                    yield read

    def _must_wait(self, content: Content) -> bool:
        if self._poller.succession.is_undecided(content.live_path):
            return True
        return any(other.more and other.state is not ContentState.LOST and not other.failures for other in self._table.earlier(content))

    def _read(self, content: Content, room: int, most: int) -> Read | None:
        if content.state is ContentState.LOST:
            content.more = False
            return None
        return self._take(content, partial(self._next_lines, room=room, most=most))

    def _take(self, content: Content, take: Callable[[Content, ContentReader], Piece | None]) -> Read | None:
        """Take a piece, unless the file holds something else, or can't be read now."""
        try:
            reader = self._pool.get(content)
            piece = take(content, reader)
        except ContentChangedError as error:
            self._disown(content, error.cause)
        except OSError as error:
            self._poller.fail(content, error)
        else:
            if content.failures:
                content.failures = 0
                self._table.unreadable.clear(content.place.path)
            return (content, piece, reader) if piece is not None else None
        return None

    def _next_lines(self, content: Content, reader: ContentReader, room: int, most: int) -> Piece | None:
        crash_point("tail.before_read")
        if not content.seen and self._is_outdated(content, reader):
            return None
        piece = self._piece(content, reader, room, most)
        if piece is not None:
            content.note_time(os.fstat(reader.fd).st_mtime_ns)
        return piece

    def _last_line(self, content: Content, reader: ContentReader) -> Piece | None:
        return content.read_unended(reader, self._options.max_line_bytes, live=not content.is_rotated)

    def _is_outdated(self, content: Content, reader: ContentReader) -> bool:
        """Whether a file of which nothing was read may hold something else than when it was looked at: then look again.

        Its bytes of then may have been copied beside it and truncated, which changes the directory. In one that changes all the time
        we cannot wait for ever.
        """
        if content.is_emptied(os.fstat(reader.fd).st_size):
            self._poller.lose(content, Cause.TRUNCATED)
            return True
        directory = os.path.dirname(content.live_path)
        if content.is_rotated or content.deferrals >= _DEFERRALS or self._listings.get(directory).is_current():
            return False
        content.deferrals += 1
        self._poller.changed.add(directory)
        return True

    def _piece(self, content: Content, reader: ContentReader, room: int, most: int) -> Piece | None:
        piece = content.read(reader, room, most, self._options.max_line_bytes) if self._is_verified(content, reader) else None
        if content.is_rotated:
            crash_point("tail.rotation_read")
        if isinstance(reader, GzipReader):
            self._note_end(content, reader)
        return piece

    def _is_verified(self, content: Content, reader: ContentReader) -> bool:
        """Compare before the first read; False if we must first come to the offset, or wait for the compression to come there."""
        if content.is_verified:
            return True
        if not reader.advance(content.offset, _ADVANCE):
            return False
        if isinstance(reader, GzipReader) and not reader.finished() and not reader.read(content.offset - 1, 1):
            content.more = False
            return False
        content.verify(reader)
        return True

    def _note_end(self, content: Content, reader: GzipReader) -> None:
        """A compressed content ends when its file does; what is not whole is counted once."""
        if content.more or content.drained:
            return
        cut_off = self._poller.now - content.active_at > self._options.partial_idle
        if reader.damage or (cut_off and not reader.finished()):
            self._table.drops[Drop.GZIP_BOMB if reader.is_bomb else Drop.GZIP_DAMAGED] += 1
            self._table.notices.append(FileNotice("unreadable", content.place.path, reader.damage or "the compressed file is cut off"))
        content.drained = reader.finished() or cut_off
        if content.drained:
            self._table.changed[content.key] = content

    def _disown(self, content: Content, cause: Cause) -> None:
        """The file holds something else."""
        content.disbelieve()
        mistaken = content.place.gzip
        if mistaken:
            self._poller.succession.was_mistaken(content)
        self._poller.lose(content, Cause.REMOVED if mistaken else cause)
        if mistaken:
            content.go_back()

    def _is_over(self, content: Content, *, at_once: bool) -> bool:
        wait = self._options.rotated_idle if content.is_rotated else self._options.partial_idle
        return bool(wait) and (at_once or self._poller.now - max(content.active_at, content.left_at) >= wait)
