"""Follows all files of one source: scans directories, polls files, and returns pieces. The component above turns them into records.

There is no notification by the kernel: a scan costs one `stat` per directory and per busy file.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, Final

from agent.tail.content import ContentState
from agent.tail.discover import Globs, Listings
from agent.tail.line_reader import ContentChangedError
from agent.tail.names import glob_root
from agent.tail.open import found, is_within
from agent.tail.polling import Poller
from agent.tail.pool import Pool
from agent.tail.reading import Reading
from agent.tail.succession import Succession
from agent.tail.table import ContentTable, LivePaths
from agent.tail.unreadable import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.tail.content import Content
    from agent.tail.table import TailOptions

_SCAN_SHARE: Final = 100
"""The pause after a scan, as a multiple of its duration: scans take one percent of the time at most."""
_LONGEST_WAIT: Final = 10.0
"""The longest such pause, seconds."""
_UNREAD_PATIENCE: Final = 3.0
"""Seconds for which a lost content is searched if nothing of it was read."""
_RECHECK: Final = 1.0
"""Seconds between scans at files that may be copies, if they are in more than a few directories."""
_FEW: Final = 20


class Tail:
    """Call `scan` every poll interval, then `read` until it returns None. Not restartable: make a new one from the stored positions."""

    def __init__(self, options: TailOptions, stored: Mapping[str, bytes], clock: Callable[[], float] = monotonic) -> None:
        self._options = options
        self._clock = clock
        self._globs = Globs(options.include, options.exclude)
        self.table = ContentTable(stored, LivePaths(self._globs.match))
        self.pool = Pool(options.max_open_files, options.max_gzip_bytes, options.max_gzip_ratio)
        self._listings = Listings(clock)
        self._succession = Succession(self.table, self.pool, self._globs, self._listings, options)
        # what the configuration does not ask for any more keeps its position, and rests
        followed = [content for content in self.table.contents.values() if self._globs.match(content.name)]
        self._poller = Poller(self.table, self.pool, self._succession, options, followed)
        reading = Reading(self._listings, self._poller)
        self.read, self.unended = reading.next, reading.unended
        self._scan_at = self._recheck_at = 0.0
        self._now = 0.0

    def close(self) -> None:
        """Release all files."""
        self.pool.close()

    def scan(self, now: float) -> None:
        """Find the changes. `now` is monotonic seconds."""
        self._now = self._poller.now = now
        self._poller.poll()
        if now >= self._scan_at:
            begin = self._clock()
            self._list()
            self._scan_at = now + min(_LONGEST_WAIT, max(self._options.poll_interval, (self._clock() - begin) * _SCAN_SHARE))
        self._recheck()
        if self._poller.changed:
            self._bring_up_to_date()
        self._poller.end_held()
        self._forget()

    def text(self, content: Content, start: int) -> bytes:
        """The bytes that were read of a content from an offset on; empty if it can't be read now."""
        if content.state is ContentState.LOST:  # in its place may be another
            return b""
        try:
            return self.pool.get(content).read(start, content.offset - start)
        except (OSError, ContentChangedError):
            return b""

    def silent_for(self, content: Content) -> float:
        """Seconds since a file grew last; while it is not read to its end, its next lines are not late but waiting for us."""
        return 0.0 if content.more else self._now - content.active_at

    def has_more(self) -> bool:
        """Whether there is something that can be read, now or when it is known what it continues."""
        return any(one.more and one.state is not ContentState.LOST and not one.failures for one in self.table.contents.values())

    def unmatched(self) -> list[str]:
        """The globs for which there is no file now, be it one that can't be read."""
        known = [content.name for content in self.table.contents.values() if content.state is not ContentState.LOST]
        refused = [path for path, _ in self.table.unreadable]
        paths = [*known, *refused]
        return [
            include
            for include in self._options.include
            if not any(map(Globs([include], self._options.exclude).match, paths))
            and not is_within(f"{glob_root(include)}/", tuple(refused))
        ]

    # -- scanning

    def _list(self) -> None:
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
        self._poller.changed |= self._listings.changed

    def _note_links(self, directory: str) -> None:
        """A link may lead elsewhere although its own directory did not change."""
        for path in self._listings.get(directory).links:
            if self._globs.match(path) and self._leads_to_unknown(path):
                self._poller.changed.add(directory)

    def _leads_to_unknown(self, path: str) -> bool:
        try:
            return found(path, os.stat(path)).id not in self.table.by_id
        except OSError:
            return False

    def _recheck(self) -> None:
        """A copy must be known for one before its original is read on, for a kill would make us forget that we had seen it."""
        if len(self._succession.rechecked) <= _FEW or self._now >= self._recheck_at:
            self._recheck_at = self._now + _RECHECK
            self._poller.changed |= self._succession.rechecked

    def _bring_up_to_date(self) -> None:
        changed, self._poller.changed = sorted(self._poller.changed), set()
        for directory in changed:
            self._listings.get(directory).refresh()
        self._succession.run(changed, self._now, from_end=self.table.is_first_start and self._options.from_end)
        self.table.is_first_start = False
        touched, self.table.touched = self.table.touched, []
        for content in touched:
            if self._globs.match(content.name):
                self._poller.follow(content)

    def _forget(self) -> None:
        for content in [one for one in self.table.lost if self._now - one.left_at > self._patience(one)]:
            if content.left_at == 0.0:  # lost before this start: its time begins again
                content.left_at = self._now
                continue
            self._succession.forget(content)
            self._poller.forget(content)

    def _patience(self, content: Content) -> float:
        """Seconds for which a lost content is kept: a live file of which nothing was read could be taken for any other.

        The last one of a live path stays longer, for with it is forgotten that what was rotated there is for us.
        """
        was_live = content.place.path == content.live_path
        is_spare = was_live and not content.offset and len(self.table.by_live_path[content.live_path]) > 1
        return _UNREAD_PATIENCE if is_spare else self._options.forget_after
