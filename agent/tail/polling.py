"""Checks the size and time of each file for something to read. Thin I/O.

Files that were silent for long are asked in turn, a few per scan, so that ten thousand of them cost no more than a few hundred.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.retry import Backoff
from agent.tail.content import ContentState
from agent.tail.line_reader import ContentChangedError
from agent.tail.open import found
from agent.tail.position import Cause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.tail.content import Content
    from agent.tail.open import FileStatus
    from agent.tail.pool import Pool
    from agent.tail.succession import Succession
    from agent.tail.table import ContentTable, TailOptions

SILENT: Final = 30.0
"""Seconds without growth after which a file is polled in turn with the others that are silent."""
TURN: Final = 250
"""Silent files polled per scan."""
_BACKOFF: Final = Backoff(first=0.5, longest=30.0)


class Poller:
    """Notes the growth, truncation and loss of files; `ready` is the queue of contents that may have more to read."""

    def __init__(self, table: ContentTable, pool: Pool, succession: Succession, options: TailOptions, followed: Iterable[Content]) -> None:
        """Poll `followed`, and contents that are added later."""
        self.table = table
        self.pool = pool
        self.succession = succession
        self.options = options
        self.busy = dict.fromkeys(followed)
        self._silent: deque[Content] = deque()
        self.ready: deque[Content] = deque()
        self._queued: set[Content] = set()
        self.changed: set[str] = set()
        """Directories in which a file has changed its identity: they must be scanned."""
        self.now = 0.0

    def poll(self) -> None:
        """Check all files whose turn it is."""
        for content in list(self.busy):
            self.poll_one(content)
            if self._is_silent(content):
                del self.busy[content]
                self._silent.append(content)
        for _ in range(min(TURN, len(self._silent))):
            self._poll_silent(self._silent.popleft())

    def follow(self, content: Content) -> None:
        """A content is new or was moved."""
        self.busy[content] = None
        self.poll_one(content)

    def forget(self, content: Content) -> None:
        """A content is not known any more."""
        self.busy.pop(content, None)
        self.pool.release(content)

    def poll_one(self, content: Content) -> None:
        """Check one file."""
        if content.state is ContentState.LOST or self.now < content.retry_at:
            return
        try:
            self._note(content, self._status(content))
        except FileNotFoundError:
            self.miss(content)
        except OSError as error:
            self.fail(content, error)
        if content.more and content not in self._queued:
            self._queued.add(content)
            self.ready.append(content)

    def requeue(self, content: Content) -> None:
        """A content had its turn. It gets another if it has more."""
        if content.more and content.state is not ContentState.LOST:
            self.ready.append(content)
        else:
            self._queued.discard(content)

    def _poll_silent(self, content: Content) -> None:
        if content in self.busy or content.key not in self.table.contents:
            return
        self.poll_one(content)
        if content.active_at == self.now:
            self.busy[content] = None
        else:
            self._silent.append(content)

    def _is_silent(self, content: Content) -> bool:
        waits = content.more or content.has_partial or content.state is ContentState.HELD
        return self.now - content.active_at > SILENT and not waits

    def _status(self, content: Content) -> FileStatus:
        path = content.place.path
        if content.state is ContentState.HELD:
            return found(path, os.fstat(self.pool.get(content).fd))
        status = found(path, os.stat(path, follow_symlinks=False))
        if status.id != content.place.id:
            raise FileNotFoundError(errno.ENOENT, "another file by now", path)
        return status

    def _note(self, content: Content, status: FileStatus) -> None:
        """Compare the status with what was seen last."""
        changed = (status.size, status.mtime_ns) != (content.size, content.mtime_ns)
        if content.is_emptied(status.size):
            self.lose(content, self._why_shorter(content))
            return
        if changed or content.active_at == 0.0:
            content.active_at = self.now
        content.more = content.more or changed or (not content.drained if content.place.gzip else status.size > content.seen)
        content.drained = content.drained and not changed
        if not content.place.gzip and status.size < content.seen:
            content.forget_ahead()
        content.size, content.mtime_ns, content.is_polled = status.size, status.mtime_ns, True

    def _why_shorter(self, content: Content) -> Cause:
        """Whether a file was truncated, or its inode used again: then no copy of it was made."""
        try:
            self.pool.get(content)
        except ContentChangedError as error:
            return error.cause
        except OSError:
            pass  # the more usual is assumed
        return Cause.TRUNCATED

    # -- what is not there any more, or can't be read

    def lose(self, content: Content, cause: Cause) -> None:
        """A file does not hold the content any more."""
        self.changed.add(os.path.dirname(content.live_path))
        self.changed.add(os.path.dirname(content.place.path))
        self.succession.lose(content, cause)

    def miss(self, content: Content) -> None:
        """A file is not where it was."""
        if content.state is ContentState.HELD:  # it was closed on us, and has no name
            self.lose(content, Cause.REMOVED)
        self.changed.add(os.path.dirname(content.place.path))

    def fail(self, content: Content, error: OSError) -> None:
        """A file that cannot be read now is tried again later, from where we are: never from its beginning."""
        if isinstance(error, FileNotFoundError):
            self.miss(content)
            return
        if error.errno == errno.ESTALE:
            self.pool.release(content)
        content.failures += 1
        content.retry_at = self.now + _BACKOFF.delay(content.failures, 1.0)
        self.table.unreadable.note(content.place.path, "unreadable", error.strerror or str(error))

    def end_held(self) -> None:
        """Let go of removed files that were read to their end, and of those that were held for too long."""
        held = [content for content in self.busy if content.state is ContentState.HELD]
        kept = 0
        for content in sorted(held, key=attrgetter("left_at"), reverse=True):
            kept += content.lag()
            is_read = not content.more and self.now - max(content.active_at, content.left_at) >= self.options.rotated_idle
            over = kept > self.options.max_held_bytes or self.now - content.left_at > self.options.max_held_age
            if over or (is_read and not content.has_partial):
                crash_point("tail.rotation_closed")
                self.lose(content, Cause.REMOVED)
