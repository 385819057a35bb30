"""Following all files of one source: looks, polls, and hands out pieces. The component above turns them into records.

Polling is the truth: a look costs one `stat` per directory and per busy file. Files that were silent for long are polled in turn, a few
per look, so that ten thousand of them cost no more than a few hundred.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.retry import Backoff
from agent.tail.discover import Globs, Listings
from agent.tail.line_reader import ContentChangedError
from agent.tail.names import glob_root
from agent.tail.open import found, is_within
from agent.tail.pool import Pool
from agent.tail.position import Cause
from agent.tail.reader import GzipReader
from agent.tail.stream import State
from agent.tail.succession import Succession
from agent.tail.table import Homes, Notice, Options, Table
from agent.tail.unreadable import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from agent.tail.line_reader import Piece
    from agent.tail.open import Found
    from agent.tail.reader import Reader
    from agent.tail.stream import Stream

SILENT: Final = 30.0
"""Seconds without growth after which a file is polled in turn with the others that are silent."""
TURN: Final = 250
"""Silent files polled per look."""
_ADVANCE: Final = 8 << 20
"""Bytes of a compressed content skipped per turn on the way to the offset."""
_LOOK_SHARE: Final = 100
"""Looking for files waits this many times as long as it took: it costs one percent at most."""
_UNREAD_PATIENCE: Final = 3.0
"""Seconds for which a content is looked for of which nothing was read."""
_RECHECK: Final = 1.0
"""Seconds between looks at files that may be copies, if they are in more than a few directories."""
_FEW: Final = 20
_DEFERRALS: Final = 10
"""Times that a file is looked at again before its first read."""
_BACKOFF: Final = Backoff(first=0.5, longest=30.0)


class Tail:
    """Call `look` every poll interval, then `read` until it returns None. Not restartable: make a new one from the stored positions."""

    def __init__(self, options: Options, stored: Mapping[str, bytes], clock: Callable[[], float] = monotonic) -> None:
        self.options = options
        self._clock = clock
        self._globs = Globs(options.include, options.exclude)
        self.table = Table(stored, Homes(self._globs.match))
        self.pool = Pool(options.max_open, options.gzip_limit, options.gzip_ratio)
        self._listings = Listings(clock)
        self._succession = Succession(self.table, self.pool, self._globs, self._listings, options)
        # what the configuration does not ask for any more keeps its position, and rests
        self._busy = dict.fromkeys(stream for stream in self.table.streams.values() if self._globs.match(stream.name))
        self._silent: deque[Stream] = deque()
        self._ready: deque[Stream] = deque()
        self._queued: set[Stream] = set()
        self._dirty: set[str] = set()
        self._look_at = self._recheck_at = 0.0
        self.now = 0.0

    def close(self) -> None:
        """Release all files."""
        self.pool.close()

    # -- looking

    def look(self, now: float) -> None:
        """Find out what changed. `now` is monotonic seconds."""
        self.now = now
        self._poll()
        if now >= self._look_at:
            begin = self._clock()
            self._scan()
            self._look_at = now + min(10.0, max(self.options.poll_interval, (self._clock() - begin) * _LOOK_SHARE))
        self._recheck()
        if self._dirty:
            self._bring_up_to_date()
        self._end_held()
        self._forget()

    def unmatched(self) -> list[str]:
        """The globs for which there is no file now, be it one that can't be read."""
        known = [stream.name for stream in self.table.streams.values() if stream.state is not State.LOST]
        refused = [path for path, _ in self.table.unreadable]
        paths = [*known, *refused]
        return [
            include
            for include in self.options.include
            if not any(map(Globs([include], self.options.exclude).match, paths)) and not is_within(f"{glob_root(include)}/", tuple(refused))
        ]

    def _scan(self) -> None:
        self._listings.begin()
        for listing in self._globs.directories(self._listings):
            self._note_links(listing.path)
            if listing.error is not None:
                self.table.unreadable.note(listing.path, DIRECTORY, listing.error.strerror or str(listing.error))
            elif self.table.unreadable:
                self.table.unreadable.clear(listing.path)
        for directory in list(self.table.in_directory):
            self._listings.refreshed(directory)
        self._succession.archives.refresh()
        self._dirty |= self._listings.changed

    def _recheck(self) -> None:
        """A copy must be known for one before its original is read on, for a kill would make us forget that we had seen it."""
        if len(self._succession.rechecked) <= _FEW or self.now >= self._recheck_at:
            self._recheck_at = self.now + _RECHECK
            self._dirty |= self._succession.rechecked

    def _note_links(self, directory: str) -> None:
        """A link may lead elsewhere although its own directory did not change."""
        for path in self._listings.get(directory).links:
            if self._globs.match(path) and self._leads_to_unknown(path):
                self._dirty.add(directory)

    def _leads_to_unknown(self, path: str) -> bool:
        try:
            return found(path, os.stat(path)).id not in self.table.by_id
        except OSError:
            return False

    def _bring_up_to_date(self) -> None:
        for directory in self._dirty:
            self._listings.get(directory).refresh()
        first = self.table.is_first_start
        self._succession.run(sorted(self._dirty), self.now, from_end=first and self.options.from_end)
        self.table.is_first_start = False
        self._dirty = set()
        touched, self.table.touched = self.table.touched, []
        for stream in touched:
            if self._globs.match(stream.name):
                self._busy[stream] = None
                self._poll_one(stream)

    def _forget(self) -> None:
        for stream in [one for one in self.table.lost if self.now - one.left_at > self._patience(one)]:
            if stream.left_at == 0.0:  # lost before this start: its time begins anew
                stream.left_at = self.now
                continue
            self._succession.forget(stream)
            self._drop(stream)

    def _patience(self, stream: Stream) -> float:
        """What nothing was read of could be taken for anything, if it was live; a rotated file is known by its inode and its time.

        The last one of a home stays longer, for with it is forgotten that what was rotated there is for us.
        """
        was_live = stream.place.path == stream.home
        is_spare = was_live and not stream.offset and len(self.table.by_home[stream.home]) > 1
        return _UNREAD_PATIENCE if is_spare else self.options.forget_after

    def _drop(self, stream: Stream) -> None:
        self._busy.pop(stream, None)
        self.pool.release(stream)

    # -- polling

    def _poll(self) -> None:
        for stream in list(self._busy):
            self._poll_one(stream)
            if self._is_silent(stream):
                del self._busy[stream]
                self._silent.append(stream)
        for _ in range(min(TURN, len(self._silent))):
            self._poll_silent(self._silent.popleft())

    def _poll_silent(self, stream: Stream) -> None:
        if stream in self._busy or stream.key not in self.table.streams:
            return
        self._poll_one(stream)
        if stream.active_at == self.now:
            self._busy[stream] = None
        else:
            self._silent.append(stream)

    def _is_silent(self, stream: Stream) -> bool:
        waits = stream.more or stream.has_partial or stream.state is State.HELD
        return self.now - stream.active_at > SILENT and not waits

    def _poll_one(self, stream: Stream) -> None:
        if stream.state is State.LOST or self.now < stream.retry_at:
            return
        try:
            self._note(stream, self._status(stream))
        except FileNotFoundError:
            self._miss(stream)
        except OSError as error:
            self._fail(stream, error)
        if stream.more and stream not in self._queued:
            self._queued.add(stream)
            self._ready.append(stream)

    def _status(self, stream: Stream) -> Found:
        path = stream.place.path
        if stream.state is State.HELD:
            return found(path, os.fstat(self.pool.get(stream).fd))
        status = found(path, os.stat(path, follow_symlinks=False))
        if status.id != stream.place.id:
            raise FileNotFoundError(errno.ENOENT, "another file by now", path)
        return status

    def _note(self, stream: Stream, status: Found) -> None:
        """Compare the status with what was seen last."""
        changed = (status.size, status.mtime_ns) != (stream.size, stream.mtime_ns)
        if stream.is_emptied(status.size):
            self._lose(stream, self._why_shorter(stream))
            return
        if changed or stream.active_at == 0.0:
            stream.active_at = self.now
        stream.more = stream.more or changed or (not stream.drained if stream.place.gzip else status.size > stream.seen)
        stream.drained = stream.drained and not changed
        if not stream.place.gzip and status.size < stream.seen:
            stream.look_again()
        stream.size, stream.mtime_ns = status.size, status.mtime_ns

    def _why_shorter(self, stream: Stream) -> Cause:
        """Whether a file was truncated, or its inode used anew: then no copy of it was made."""
        try:
            self.pool.get(stream)
        except ContentChangedError as error:
            return error.cause
        except OSError:
            pass  # the more usual is assumed
        return Cause.TRUNCATED

    def _lose(self, stream: Stream, cause: Cause) -> None:
        self._dirty.add(os.path.dirname(stream.home))
        self._dirty.add(os.path.dirname(stream.place.path))
        self._succession.lose(stream, cause)

    def _end_held(self) -> None:
        """Let go of removed files that were read to their end, and of those that were held for too long."""
        held = [stream for stream in self._busy if stream.state is State.HELD]
        held.sort(key=_left_at, reverse=True)
        kept = 0
        for stream in held:
            kept += stream.lag()
            is_read = not stream.more and self.now - max(stream.active_at, stream.left_at) >= self.options.rotated_idle
            over = kept > self.options.held_bytes or self.now - stream.left_at > self.options.held_age
            if over or (is_read and not stream.has_partial):
                crash_point("tail.rotation_closed")
                self._lose(stream, Cause.REMOVED)

    def has_more(self) -> bool:
        """Whether there is something that can be read, now or when it is known what it continues."""
        return any(one.more and one.state is not State.LOST and not one.failures for one in self.table.streams.values())

    # -- reading

    def read(self, room: int, most: int) -> tuple[Stream, Piece, Reader] | None:
        """Read on in the file whose turn it is: about `room` bytes, at most `most` lines. None = there is nothing to read now.

        A content is not read before those that were rotated away from the same place are.
        """
        for _ in range(len(self._ready)):
            stream = self._ready.popleft()
            if self.now < stream.retry_at or self._must_wait(stream):
                self._ready.append(stream)
                continue
            read = self._read(stream, room, most)
            if stream.more and stream.state is not State.LOST:
                self._ready.append(stream)
            else:
                self._queued.discard(stream)
            if read is not None:
                return read
        return None

    def _must_wait(self, stream: Stream) -> bool:
        if self._succession.is_undecided(stream.home):
            return True
        return any(other.more and other.state is not State.LOST and not other.failures for other in self.table.earlier(stream))

    def _read(self, stream: Stream, room: int, most: int) -> tuple[Stream, Piece, Reader] | None:
        if stream.state is State.LOST:
            stream.more = False
            return None
        try:
            crash_point("tail.before_read")
            reader = self.pool.get(stream)
            if not stream.seen and self._is_outdated(stream, reader):
                return None
            piece = self._piece(stream, reader, room, most)
            if piece is not None:
                stream.note_time(os.fstat(reader.fd).st_mtime_ns)
        except ContentChangedError as error:
            self._disown(stream, error.cause)
            return None
        except OSError as error:
            self._fail(stream, error)
            return None
        if stream.failures:
            stream.failures = 0
            self.table.unreadable.clear(stream.place.path)
        return (stream, piece, reader) if piece is not None else None

    def _is_outdated(self, stream: Stream, reader: Reader) -> bool:
        """Whether a file of which nothing was read may hold something else than when it was looked at: then look again.

        What it held then may have been copied beside it and truncated, which changes the directory. In one that changes all the time
        we cannot wait for ever.
        """
        if stream.is_emptied(os.fstat(reader.fd).st_size):
            self._lose(stream, Cause.TRUNCATED)
            return True
        directory = os.path.dirname(stream.home)
        if stream.is_rotated or stream.deferrals >= _DEFERRALS or self._listings.get(directory).is_current():
            return False
        stream.deferrals += 1
        self._dirty.add(directory)
        return True

    def _piece(self, stream: Stream, reader: Reader, room: int, most: int) -> Piece | None:
        piece = stream.read(reader, room, most, self.options.max_line) if self._is_verified(stream, reader) else None
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

    def _disown(self, stream: Stream, cause: Cause) -> None:
        """The file holds something else."""
        stream.disbelieve()
        mistaken = stream.place.gzip
        if mistaken:
            self._succession.was_mistaken(stream)
        self._lose(stream, Cause.REMOVED if mistaken else cause)
        if mistaken:
            stream.go_back()

    def _note_end(self, stream: Stream, reader: GzipReader) -> None:
        """A compressed content ends when its file does; what is not whole is counted once."""
        if stream.more or stream.drained:
            return
        cut_off = self.now - stream.active_at > self.options.partial_idle
        if reader.damage or (cut_off and not reader.finished()):
            self.table.drops["gzip_bomb" if reader.is_bomb else "gzip_damaged"] += 1
            self.table.notices.append(Notice("unreadable", stream.place.path, reader.damage or "the compressed file is cut off"))
        stream.drained = reader.finished() or cut_off
        if stream.drained:
            self.table.changed[stream.key] = stream

    def _miss(self, stream: Stream) -> None:
        if stream.state is State.HELD:  # it was closed on us, and has no name
            self._lose(stream, Cause.REMOVED)
        self._dirty.add(os.path.dirname(stream.place.path))

    def _fail(self, stream: Stream, error: OSError) -> None:
        """A file that cannot be read now is tried again later, from where we are: never from its beginning."""
        if isinstance(error, FileNotFoundError):
            self._miss(stream)
            return
        if error.errno == errno.ESTALE:
            self.pool.release(stream)
        stream.failures += 1
        stream.retry_at = self.now + _BACKOFF.delay(stream.failures, 1.0)
        self.table.unreadable.note(stream.place.path, "unreadable", error.strerror or str(error))

    # -- what is left when nothing comes any more

    def unended(self, *, at_once: bool = False) -> Iterator[tuple[Stream, Piece, Reader]]:
        """Last lines without an end, of files that are not written any more or were silent for long; `at_once`: however long."""
        for stream in list(self._busy):
            if stream.has_partial and not stream.more and self._is_over(stream, at_once=at_once):
                read = self._read_unended(stream)
                if read is not None:
                    yield read

    def _is_over(self, stream: Stream, *, at_once: bool) -> bool:
        wait = self.options.rotated_idle if stream.is_rotated else self.options.partial_idle
        return bool(wait) and (at_once or self.now - max(stream.active_at, stream.left_at) >= wait)

    def _read_unended(self, stream: Stream) -> tuple[Stream, Piece, Reader] | None:
        try:
            reader = self.pool.get(stream)
            piece = stream.read_unended(reader, self.options.max_line, live=not stream.is_rotated)
        except ContentChangedError as error:
            self._disown(stream, error.cause)
            return None
        except OSError as error:
            self._fail(stream, error)
            return None
        return (stream, piece, reader) if piece is not None else None

    def text(self, stream: Stream, start: int) -> bytes:
        """What was read of a content from an offset on; empty if it can't be read now."""
        if stream.state is State.LOST:  # in its place may be another
            return b""
        try:
            return self.pool.get(stream).read(start, stream.offset - start)
        except (OSError, ContentChangedError):
            return b""

    def silent_for(self, stream: Stream) -> float:
        """Seconds since a file grew last; while it is not read to its end, its next lines are not late but waiting for us."""
        return 0.0 if stream.more else self.now - stream.active_at


def _left_at(stream: Stream) -> float:
    return stream.left_at
