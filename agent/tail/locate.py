"""Where known contents are after names changed: by inode, in their own directory and in all others that are looked at.

Words used here and beside it: the *home* of a content is the path of the live file that it was written to. A home is *undecided* in a look
that found something there or beside it which may yet come first; nothing of it is read then, for a bounded time. *Rechecked* are directories
that are looked at again although nothing changes in them, because what a file there is was not clear yet.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.tail.candidates import regular
from agent.tail.decide import has_rotated_name, is_same_file
from agent.tail.line_reader import ContentChangedError
from agent.tail.open import inode_generation
from agent.tail.position import Cause
from agent.tail.sightings import RESTLESS
from agent.tail.stream import State
from agent.tail.table import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.tail.archives import Archives
    from agent.tail.discover import Listing, Listings
    from agent.tail.pool import Pool
    from agent.tail.stream import Stream
    from agent.tail.table import Table

_PATIENT: Final = 10.0
"""Seconds after which a home is read although each look finds another thing there that is not clear: rather in disorder than too late."""
_MISSING: Final = 10.0
"""Seconds after which a file is taken for removed, in a directory that changes so fast that no reading of it is certain."""


def is_at(path: str, stream: Stream) -> bool:
    """Whether the file in which a content was last lies at a path."""
    status = regular(path)
    return status is not None and status.id == stream.place.id


def may_be(stream: Stream, path: str, generation: int) -> bool:
    """Whether an inode is the same file still. Of what nothing was read, only its generation or a rotated name can tell."""
    is_told = stream.offset or (stream.place.generation and generation)
    return is_same_file(stream.place, path, generation) and bool(is_told or path == stream.home or has_rotated_name(stream.home, path))


class Undecided:
    """What is not clear yet beside each home, and since when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._before: dict[str, dict[object, float]] = {}
        self._since: dict[str, dict[object, float]] = {}
        self._homes: dict[str, float] = {}
        """Homes at which no look found everything clear, and since when."""

    def __contains__(self, home: str) -> bool:
        return home in self._since

    def begin(self, directories: Iterable[str], now: float) -> None:
        """Begin a look at directories: what was not clear in them is asked anew."""
        self.now, self._before = now, self._since
        self._since = {home: what for home, what in self._since.items() if os.path.dirname(home) not in directories}

    def add(self, home: str, what: object) -> None:
        """Take no decision at a home before the next look: what comes first may be what is not clear yet."""
        since = self._before.get(home, {}).get(what, self.now)
        self._since.setdefault(home, {})[what] = since

    def end(self) -> None:
        """The look is over."""
        self._homes = {home: self._homes.get(home, self.now) for home in self._since}

    def blocks(self, home: str) -> bool:
        """Whether to read nothing of a home, because it is not clear what comes first: but for no file for long."""
        if self.now - self._homes.get(home, self.now) >= _PATIENT:
            return False
        return any(self.now - since < RESTLESS for since in self._since.get(home, {}).values())


class Locator:
    """Finds known contents again by the inode of their files, and says which are lost."""

    def __init__(self, table: Table, pool: Pool, listings: Listings, archives: Archives, undecided: Undecided) -> None:
        self._table = table
        self._pool = pool
        self._listings = listings
        self._archives = archives
        self._undecided = undecided
        self._missing: dict[Stream, float] = {}
        """Contents that are not where they were and were not found yet, and since when."""
        self._names: dict[tuple[int, int], str] | None = None
        """A path of each file in all directories that are looked at, while it is needed."""
        self.rechecked: set[str] = set()

    def locate(self, listing: Listing) -> None:
        """Find where the contents of a directory are now."""
        names: dict[int, str] | None = None
        for stream in list(self._table.in_directory.get(listing.path, ())):
            entry = listing.entries.get(os.path.basename(stream.place.path))
            is_there = entry is not None and entry.inode == stream.place.inode and not entry.is_link
            if is_there and self._is_used_anew(stream):
                self.lose(stream, Cause.REPLACED)
            if is_there or stream.state is not State.PLACED or is_at(stream.place.path, stream):
                self._missing.pop(stream, None)
            else:
                names = names or {entry.inode: name for name, entry in listing.entries.items() if not entry.is_link}
                name = names.get(stream.place.inode)
                path = os.path.join(listing.path, name) if name else self._elsewhere(stream)
                if not self._is_on_its_way(stream, listing, path):
                    self._relocate(stream, path)

    def _elsewhere(self, stream: Stream) -> str:
        """Where else the file of a content lies: rotated files may be moved into another directory; empty if nowhere."""
        own = os.path.dirname(stream.place.path)
        if self._names is None:
            self._names = self._listings.names()
        for archive in self._archives.of(os.path.dirname(stream.home)):
            listing = self._listings.get(archive)
            if archive != own and listing.refresh():
                self._names.update(listing.names())
                self.rechecked.add(archive)
        path = self._names.get(stream.place.id, "")
        return path if os.path.dirname(path) != own else ""

    def begin(self) -> None:
        """Begin a look."""
        self._names = None

    def is_missing(self, stream: Stream) -> bool:
        """Whether a content is not where it was, and it is not certain yet where else, or that it is gone."""
        return stream in self._missing

    def forget_missing(self) -> None:
        """What is not known any more is not missing."""
        self._missing = {stream: since for stream, since in self._missing.items() if stream.key in self._table.streams}

    def _is_used_anew(self, stream: Stream) -> bool:
        """Whether a compressed file was replaced by another with the same name and inode while nobody looked."""
        if not stream.place.gzip or stream.is_verified or not stream.place.generation or stream.state is not State.PLACED:
            return False
        try:
            with closing(self._pool.open(stream.place)) as reader:
                return inode_generation(reader.fd) not in {0, stream.place.generation}
        except OSError:
            return False

    def _is_on_its_way(self, stream: Stream, listing: Listing, path: str) -> bool:
        """Whether names change faster than we look: then a file that is listed, but not there any more, or is not listed, may be anywhere.

        Until it is found nothing is read of its home, though not for long: what comes next could be read before it. One that is listed
        is found sooner or later; one that is not is taken for removed when it was missing for long.
        """
        now = self._undecided.now
        since = self._missing.setdefault(stream, now)
        is_gone = not path and (listing.is_certain() or now - since >= _MISSING)
        if is_gone or (path and is_at(path, stream)):
            self._missing.pop(stream)
            return False
        self._undecided.add(stream.home, stream)
        self.rechecked.add(listing.path)
        return True

    def _relocate(self, stream: Stream, path: str) -> None:
        crash_point("tail.rotation_found")
        cause = self._why_not(stream, path)
        if not cause:
            self._table.notices.append(Notice("renamed", stream.place.path))
            self._table.move(stream, stream.place._replace(path=path))
        elif cause is Cause.REMOVED and (held := self._pool.peek(stream)) is not None and not stream.place.gzip:
            self._table.hold(stream, os.fstat(held.fd).st_size, self._undecided.now)
        else:
            if cause is not Cause.REMOVED:
                stream.disbelieve()
            self.lose(stream, cause)

    def _why_not(self, stream: Stream, path: str) -> Cause:
        """Why a content is not at a path whose inode has the number of its own, NONE if it is."""
        if not path or not is_at(path, stream):
            return Cause.REMOVED
        held = self._pool.peek(stream)
        try:
            if held is not None:  # then the inode cannot have been used anew
                stream.check(held)
                return Cause.NONE
            with closing(self._pool.open(stream.place._replace(path=path))) as reader:
                if not may_be(stream, path, inode_generation(reader.fd)):
                    return Cause.REPLACED
                stream.check(reader)
        except ContentChangedError as error:
            return error.cause
        except OSError:
            pass  # it is compared when it can be read
        return Cause.NONE

    def lose(self, stream: Stream, cause: Cause) -> None:
        """A content is not where it was."""
        if cause is Cause.TRUNCATED:
            crash_point("tail.truncated")
        self._table.lose(stream, cause, self._undecided.now)
        self._pool.release(stream)

    def test(self, homes: Iterable[str]) -> None:
        """Where something new lies beside a live file, see whether that still is what it was: the new one may be its copy."""
        for home in homes:
            for stream in list(self._table.by_home[home]):
                if stream.state is not State.LOST and not stream.place.gzip:
                    self._test_one(stream)

    def _test_one(self, stream: Stream) -> None:
        try:
            stream.check(self._pool.get(stream))
        except ContentChangedError as error:
            stream.disbelieve()
            self.lose(stream, error.cause)
        except OSError:
            return  # told, and tried again, when it is to be read
