"""Asking for each file's size and time whether there is something to read. Thin I/O.

Files that were silent for long are asked in turn, a few per look, so that ten thousand of them cost no more than a few hundred.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.retry import Backoff
from agent.tail.line_reader import ContentChangedError
from agent.tail.open import found
from agent.tail.position import Cause
from agent.tail.stream import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.tail.open import Found
    from agent.tail.pool import Pool
    from agent.tail.stream import Stream
    from agent.tail.succession import Succession
    from agent.tail.table import Options, Table

SILENT: Final = 30.0
"""Seconds without growth after which a file is polled in turn with the others that are silent."""
TURN: Final = 250
"""Silent files polled per look."""
_BACKOFF: Final = Backoff(first=0.5, longest=30.0)


class Poller:
    """Notes the growth, truncation and loss of files; `ready` is the queue of contents that may have more to read."""

    def __init__(self, table: Table, pool: Pool, succession: Succession, options: Options, followed: Iterable[Stream]) -> None:
        """Poll `followed`, and what is followed later."""
        self.table = table
        self.pool = pool
        self.succession = succession
        self.options = options
        self.busy = dict.fromkeys(followed)
        self._silent: deque[Stream] = deque()
        self.ready: deque[Stream] = deque()
        self._queued: set[Stream] = set()
        self.changed: set[str] = set()
        """Directories in which a file is not what it was: they are to be looked at."""
        self.now = 0.0

    def poll(self) -> None:
        """Ask for all files whose turn it is."""
        for stream in list(self.busy):
            self.poll_one(stream)
            if self._is_silent(stream):
                del self.busy[stream]
                self._silent.append(stream)
        for _ in range(min(TURN, len(self._silent))):
            self._poll_silent(self._silent.popleft())

    def follow(self, stream: Stream) -> None:
        """A content is new or was moved."""
        self.busy[stream] = None
        self.poll_one(stream)

    def forget(self, stream: Stream) -> None:
        """A content is not known any more."""
        self.busy.pop(stream, None)
        self.pool.release(stream)

    def poll_one(self, stream: Stream) -> None:
        """Ask for one file."""
        if stream.state is State.LOST or self.now < stream.retry_at:
            return
        try:
            self._note(stream, self._status(stream))
        except FileNotFoundError:
            self.miss(stream)
        except OSError as error:
            self.fail(stream, error)
        if stream.more and stream not in self._queued:
            self._queued.add(stream)
            self.ready.append(stream)

    def requeue(self, stream: Stream) -> None:
        """A content had its turn: it gets another if it has more."""
        if stream.more and stream.state is not State.LOST:
            self.ready.append(stream)
        else:
            self._queued.discard(stream)

    def _poll_silent(self, stream: Stream) -> None:
        if stream in self.busy or stream.key not in self.table.streams:
            return
        self.poll_one(stream)
        if stream.active_at == self.now:
            self.busy[stream] = None
        else:
            self._silent.append(stream)

    def _is_silent(self, stream: Stream) -> bool:
        waits = stream.more or stream.has_partial or stream.state is State.HELD
        return self.now - stream.active_at > SILENT and not waits

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
            self.lose(stream, self._why_shorter(stream))
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

    # -- what is not there any more, or can't be read

    def lose(self, stream: Stream, cause: Cause) -> None:
        """A file does not hold the content any more."""
        self.changed.add(os.path.dirname(stream.home))
        self.changed.add(os.path.dirname(stream.place.path))
        self.succession.lose(stream, cause)

    def miss(self, stream: Stream) -> None:
        """A file is not where it was."""
        if stream.state is State.HELD:  # it was closed on us, and has no name
            self.lose(stream, Cause.REMOVED)
        self.changed.add(os.path.dirname(stream.place.path))

    def fail(self, stream: Stream, error: OSError) -> None:
        """A file that cannot be read now is tried again later, from where we are: never from its beginning."""
        if isinstance(error, FileNotFoundError):
            self.miss(stream)
            return
        if error.errno == errno.ESTALE:
            self.pool.release(stream)
        stream.failures += 1
        stream.retry_at = self.now + _BACKOFF.delay(stream.failures, 1.0)
        self.table.unreadable.note(stream.place.path, "unreadable", error.strerror or str(error))

    def end_held(self) -> None:
        """Let go of removed files that were read to their end, and of those that were held for too long."""
        held = [stream for stream in self.busy if stream.state is State.HELD]
        kept = 0
        for stream in sorted(held, key=attrgetter("left_at"), reverse=True):
            kept += stream.lag()
            is_read = not stream.more and self.now - max(stream.active_at, stream.left_at) >= self.options.rotated_idle
            over = kept > self.options.max_held_bytes or self.now - stream.left_at > self.options.max_held_age
            if over or (is_read and not stream.has_partial):
                crash_point("tail.rotation_closed")
                self.lose(stream, Cause.REMOVED)
