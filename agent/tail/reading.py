"""Reading on in one content after the other, in the order in which they were written. Thin I/O."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.tail.line_reader import ContentChangedError
from agent.tail.position import Cause
from agent.tail.reader import GzipReader
from agent.tail.stream import State
from agent.tail.table import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.tail.discover import Listings
    from agent.tail.line_reader import Piece
    from agent.tail.polling import Poller
    from agent.tail.reader import Reader
    from agent.tail.stream import Stream

_ADVANCE: Final = 8 << 20
"""Bytes of a compressed content skipped per turn on the way to the offset."""
_DEFERRALS: Final = 10
"""Times that a file is looked at again before its first read."""

Read = tuple["Stream", "Piece", "Reader"]
"""What was read of which content, and from what."""


class Reading:
    """Takes pieces of contents whose turn it is."""

    def __init__(self, listings: Listings, poller: Poller) -> None:
        self._listings = listings
        self._poller = poller
        self._table, self._pool, self._options = poller.table, poller.pool, poller.options

    def next(self, room: int, most: int) -> Read | None:
        """About `room` bytes, at most `most` lines. None = there is nothing to read now.

        A content is not read before those that were rotated away from the same place are.
        """
        for _ in range(len(self._poller.ready)):
            stream = self._poller.ready.popleft()
            if self._poller.now < stream.retry_at or self._must_wait(stream):
                self._poller.ready.append(stream)
                continue
            read = self._read(stream, room, most)
            self._poller.requeue(stream)
            if read is not None:
                return read
        return None

    def unended(self, *, at_once: bool = False) -> Iterator[Read]:
        """Last lines without an end, of files that are not written any more or were silent for long; `at_once`: however long."""
        for stream in list(self._poller.busy):
            if stream.has_partial and not stream.more and self._is_over(stream, at_once=at_once):
                read = self._take(stream, self._last_line)
                if read is not None:
                    yield read

    def _must_wait(self, stream: Stream) -> bool:
        if self._poller.succession.is_undecided(stream.home):
            return True
        return any(other.more and other.state is not State.LOST and not other.failures for other in self._table.earlier(stream))

    def _read(self, stream: Stream, room: int, most: int) -> Read | None:
        if stream.state is State.LOST:
            stream.more = False
            return None
        return self._take(stream, partial(self._next_lines, room=room, most=most))

    def _take(self, stream: Stream, take: Callable[[Stream, Reader], Piece | None]) -> Read | None:
        """Take a piece, unless the file holds something else, or can't be read now."""
        try:
            reader = self._pool.get(stream)
            piece = take(stream, reader)
        except ContentChangedError as error:
            self._disown(stream, error.cause)
        except OSError as error:
            self._poller.fail(stream, error)
        else:
            if stream.failures:
                stream.failures = 0
                self._table.unreadable.clear(stream.place.path)
            return (stream, piece, reader) if piece is not None else None
        return None

    def _next_lines(self, stream: Stream, reader: Reader, room: int, most: int) -> Piece | None:
        crash_point("tail.before_read")
        if not stream.seen and self._is_outdated(stream, reader):
            return None
        piece = self._piece(stream, reader, room, most)
        if piece is not None:
            stream.note_time(os.fstat(reader.fd).st_mtime_ns)
        return piece

    def _last_line(self, stream: Stream, reader: Reader) -> Piece | None:
        return stream.read_unended(reader, self._options.max_line_bytes, live=not stream.is_rotated)

    def _is_outdated(self, stream: Stream, reader: Reader) -> bool:
        """Whether a file of which nothing was read may hold something else than when it was looked at: then look again.

        What it held then may have been copied beside it and truncated, which changes the directory. In one that changes all the time
        we cannot wait for ever.
        """
        if stream.is_emptied(os.fstat(reader.fd).st_size):
            self._poller.lose(stream, Cause.TRUNCATED)
            return True
        directory = os.path.dirname(stream.home)
        if stream.is_rotated or stream.deferrals >= _DEFERRALS or self._listings.get(directory).is_current():
            return False
        stream.deferrals += 1
        self._poller.changed.add(directory)
        return True

    def _piece(self, stream: Stream, reader: Reader, room: int, most: int) -> Piece | None:
        piece = stream.read(reader, room, most, self._options.max_line_bytes) if self._is_verified(stream, reader) else None
        if stream.is_rotated:
            crash_point("tail.rotation_read")
        if isinstance(reader, GzipReader):
            self._note_end(stream, reader)
        return piece

    def _is_verified(self, stream: Stream, reader: Reader) -> bool:
        """Compare before the first read; False if we must first come to the offset, or wait for the compression to come there."""
        if stream.is_verified:
            return True
        if not reader.advance(stream.offset, _ADVANCE):
            return False
        if isinstance(reader, GzipReader) and not reader.finished() and not reader.read(stream.offset - 1, 1):
            stream.more = False
            return False
        stream.verify(reader)
        return True

    def _note_end(self, stream: Stream, reader: GzipReader) -> None:
        """A compressed content ends when its file does; what is not whole is counted once."""
        if stream.more or stream.drained:
            return
        cut_off = self._poller.now - stream.active_at > self._options.partial_idle
        if reader.damage or (cut_off and not reader.finished()):
            self._table.drops["gzip_bomb" if reader.is_bomb else "gzip_damaged"] += 1
            self._table.notices.append(Notice("unreadable", stream.place.path, reader.damage or "the compressed file is cut off"))
        stream.drained = reader.finished() or cut_off
        if stream.drained:
            self._table.changed[stream.key] = stream

    def _disown(self, stream: Stream, cause: Cause) -> None:
        """The file holds something else."""
        stream.disbelieve()
        mistaken = stream.place.gzip
        if mistaken:
            self._poller.succession.was_mistaken(stream)
        self._poller.lose(stream, Cause.REMOVED if mistaken else cause)
        if mistaken:
            stream.go_back()

    def _is_over(self, stream: Stream, *, at_once: bool) -> bool:
        wait = self._options.rotated_idle if stream.is_rotated else self._options.partial_idle
        return bool(wait) and (at_once or self._poller.now - max(stream.active_at, stream.left_at) >= wait)
