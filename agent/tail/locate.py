"""Finds known contents after names changed: by inode, in their own directory and in all others that are scanned.

Three words are used here and beside it. The *live path* of a content is the path of the file that it was written to, whatever that is called
now. A live path is *undecided* in a scan that found a file there or beside it which is not identified yet: nothing of it is read then, for a
bounded time, because that file may come first. *Rechecked* are directories that the next scan visits although nothing changed in them.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.tail.candidates import regular
from agent.tail.content import ContentState
from agent.tail.decide import has_rotated_name, is_same_file
from agent.tail.line_reader import ContentChangedError
from agent.tail.open import inode_generation
from agent.tail.position import Cause
from agent.tail.sightings import RESTLESS
from agent.tail.table import FileNotice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.tail.archives import Archives
    from agent.tail.content import Content
    from agent.tail.discover import Listing, Listings
    from agent.tail.pool import Pool
    from agent.tail.table import ContentTable

_PATIENT: Final = 10.0
"""Seconds after which a live path is read although scans still find undecided files there: rather out of order than too late."""
_MISSING: Final = 10.0
"""Seconds after which a file is taken for removed, in a directory that changes so fast that no reading of it is certain."""


def is_at(path: str, content: Content) -> bool:
    """Whether the file in which a content was last lies at a path."""
    status = regular(path)
    return status is not None and status.id == content.place.id


def may_be(content: Content, path: str, generation: int) -> bool:
    """Whether an inode is the same file still. Of what nothing was read, only its generation or a rotated name can tell."""
    is_told = content.offset or (content.place.generation and generation)
    return is_same_file(content.place, path, generation) and bool(
        is_told or path == content.live_path or has_rotated_name(content.live_path, path)
    )


class Undecided:
    """Files at or beside each live path that are not identified yet, and since when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._before: dict[str, dict[object, float]] = {}
        self._since: dict[str, dict[object, float]] = {}
        self._live_paths: dict[str, float] = {}
        """Live paths at which every scan found undecided files, and since when."""

    def __contains__(self, live_path: str) -> bool:
        return live_path in self._since

    def begin(self, directories: Iterable[str], now: float) -> None:
        """Begin a scan of directories: the files in them are identified again."""
        self.now, self._before = now, self._since
        self._since = {live_path: what for live_path, what in self._since.items() if os.path.dirname(live_path) not in directories}

    def add(self, live_path: str, what: object) -> None:
        """Decide nothing at a live path before the next scan, because an undecided file may come first."""
        since = self._before.get(live_path, {}).get(what, self.now)
        self._since.setdefault(live_path, {})[what] = since

    def end(self) -> None:
        """End the scan."""
        self._live_paths = {live_path: self._live_paths.get(live_path, self.now) for live_path in self._since}

    def blocks(self, live_path: str) -> bool:
        """Whether to read nothing of a live path, because it is undecided which file comes first. Never for long."""
        if self.now - self._live_paths.get(live_path, self.now) >= _PATIENT:
            return False
        return any(self.now - since < RESTLESS for since in self._since.get(live_path, {}).values())


class Locator:
    """Finds known contents again by the inode of their files, and says which are lost."""

    def __init__(self, table: ContentTable, pool: Pool, listings: Listings, archives: Archives, undecided: Undecided) -> None:
        self._table = table
        self._pool = pool
        self._listings = listings
        self._archives = archives
        self._undecided = undecided
        self._missing: dict[Content, float] = {}
        """Contents that are not where they were and were not found yet, and since when."""
        self._names: dict[tuple[int, int], str] | None = None
        """A path of each file in all directories that are looked at, while it is needed."""
        self.rechecked: set[str] = set()

    def locate(self, listing: Listing) -> None:
        """Find where the contents of a directory are now."""
        names: dict[int, str] | None = None
        for content in list(self._table.in_directory.get(listing.path, ())):
            entry = listing.entries.get(os.path.basename(content.place.path))
            is_there = entry is not None and entry.inode == content.place.inode and not entry.is_link
            if is_there and self._is_used_anew(content):
                self.lose(content, Cause.REPLACED)
            if is_there or content.state is not ContentState.PLACED or is_at(content.place.path, content):
                self._missing.pop(content, None)
            else:
                names = names or {entry.inode: name for name, entry in listing.entries.items() if not entry.is_link}
                name = names.get(content.place.inode)
                path = os.path.join(listing.path, name) if name else self._elsewhere(content)
                if not self._is_on_its_way(content, listing, path):
                    self._relocate(content, path)

    def _elsewhere(self, content: Content) -> str:
        """Other places of a content's file, because rotated files may be moved into another directory; empty if there are none."""
        own = os.path.dirname(content.place.path)
        if self._names is None:
            self._names = self._listings.names()
        for archive in self._archives.of(os.path.dirname(content.live_path)):
            listing = self._listings.get(archive)
            if archive != own and listing.refresh():
                self._names.update(listing.names())
                self.rechecked.add(archive)
        path = self._names.get(content.place.id, "")
        return path if os.path.dirname(path) != own else ""

    def begin(self) -> None:
        """Begin a scan."""
        self._names = None

    def is_missing(self, content: Content) -> bool:
        """Whether a content is not where it was, and it is not certain yet where else, or that it is gone."""
        return content in self._missing

    def forget_missing(self) -> None:
        """Forget missing contents that are not known any more."""
        self._missing = {content: since for content, since in self._missing.items() if content.key in self._table.contents}

    def _is_used_anew(self, content: Content) -> bool:
        """Whether a compressed file was replaced by another with the same name and inode while no agent ran."""
        if not content.place.gzip or content.is_verified or not content.place.generation or content.state is not ContentState.PLACED:
            return False
        try:
            with closing(self._pool.open(content.place)) as reader:
                return inode_generation(reader.fd) not in {0, content.place.generation}
        except OSError:
            return False

    def _is_on_its_way(self, content: Content, listing: Listing, path: str) -> bool:
        """Whether names change faster than they are listed: then a file that is listed, but not there any more, or is not listed, may be anywhere.

        Until it is found nothing is read of its live path, though not for long: what comes next could be read before it. One that is listed
        is found sooner or later; one that is not is taken for removed when it was missing for long.
        """
        now = self._undecided.now
        since = self._missing.setdefault(content, now)
        is_gone = not path and (listing.is_certain() or now - since >= _MISSING)
        if is_gone or (path and is_at(path, content)):
            self._missing.pop(content)
            return False
        self._undecided.add(content.live_path, content)
        self.rechecked.add(listing.path)
        return True

    def _relocate(self, content: Content, path: str) -> None:
        crash_point("tail.rotation_found")
        cause = self._why_not(content, path)
        if not cause:
            self._table.notices.append(FileNotice("renamed", content.place.path))
            self._table.move(content, content.place._replace(path=path))
        elif cause is Cause.REMOVED and (held := self._pool.peek(content)) is not None and not content.place.gzip:
            self._table.hold(content, os.fstat(held.fd).st_size, self._undecided.now)
        else:
            if cause is not Cause.REMOVED:
                content.disbelieve()
            self.lose(content, cause)

    def _why_not(self, content: Content, path: str) -> Cause:
        """Why a content is not at a path whose inode has the number of its own, NONE if it is."""
        if not path or not is_at(path, content):
            return Cause.REMOVED
        held = self._pool.peek(content)
        try:
            if held is not None:  # then the inode cannot have been used again
                content.check(held)
                return Cause.NONE
            with closing(self._pool.open(content.place._replace(path=path))) as reader:
                if not may_be(content, path, inode_generation(reader.fd)):
                    return Cause.REPLACED
                content.check(reader)
        except ContentChangedError as error:
            return error.cause
        except OSError:
            pass  # it is compared when it can be read
        return Cause.NONE

    def lose(self, content: Content, cause: Cause) -> None:
        """A content is not where it was."""
        if cause is Cause.TRUNCATED:
            crash_point("tail.truncated")
        self._table.lose(content, cause, self._undecided.now)
        self._pool.release(content)

    def test(self, live_paths: Iterable[str]) -> None:
        """Where something new lies beside a live file, see whether that still is what it was: the new one may be its copy."""
        for live_path in live_paths:
            for content in list(self._table.by_live_path[live_path]):
                if content.state is not ContentState.LOST and not content.place.gzip:
                    self._test_one(content)

    def _test_one(self, content: Content) -> None:
        try:
            content.check(self._pool.get(content))
        except ContentChangedError as error:
            content.disbelieve()
            self.lose(content, error.cause)
        except OSError:
            return  # its next read reports it
