"""Files that no known content lies in: those that a glob asks for, and those that look rotated from what is followed. Thin I/O."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from agent.tail.content import ContentState
from agent.tail.decide import FileCandidate
from agent.tail.names import is_gzip, possible_bases, without_gzip
from agent.tail.open import FileStatus, NotRegularError, first_bytes, found, resolve
from agent.tail.text_encoding import INSPECTED, not_text
from agent.tail.unreadable import NOT_REGULAR, NOT_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.tail.archives import Archives
    from agent.tail.discover import Globs, Listing, Listings
    from agent.tail.table import ContentTable, TailOptions


def regular(path: str) -> FileStatus | None:
    """A regular file at a path, not following a link; None if there is none."""
    try:
        return _regular(path)
    except OSError:
        return None


def _regular(path: str) -> FileStatus:
    status = os.stat(path, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError(0, NOT_REGULAR, path)
    return found(path, status)


def _why_not_text(path: str) -> str:
    """The reason why a file does not hold lines; empty if it does, or can't be read now."""
    if is_gzip(path):
        return ""
    try:
        return not_text(first_bytes(path, INSPECTED))
    except OSError:
        return ""


class Candidates:
    """Finds these files in directories as last read."""

    def __init__(self, table: ContentTable, globs: Globs, listings: Listings, archives: Archives, options: TailOptions) -> None:
        self._table = table
        self._globs = globs
        self._listings = listings
        self._archives = archives
        self._options = options
        self._unsure: dict[str, tuple[int, int]] = {}
        """The inode in the directory's listing and that of the file, where they differ."""
        self.dismissed: dict[tuple[int, int], int] = {}
        """Rotated files older than the agent's first start, which no glob asks for, and their times of last write: the inode may be used again."""
        self.rechecked: set[str] = set()
        self.moving: set[str] = set()
        """Live paths beside which names changed after the directory was read."""

    def find(self, directories: Iterable[str]) -> list[FileCandidate]:
        """All candidates in these directories."""
        directories = list(directories)
        self.moving.clear()
        candidates = self._included(directories)
        if self._options.follow_rotated:
            known = {one.found.path for one in candidates}
            for directory in directories:
                candidates += self._beside(self._listings.get(directory), known)
        return candidates

    def _included(self, directories: Iterable[str]) -> list[FileCandidate]:
        candidates: dict[tuple[int, int], FileCandidate] = {}
        for directory in directories:
            listing = self._listings.get(directory)
            for path in self._unknown_names(listing):
                file = self._admit(path)
                if file is not None and self._is_stale(listing, path, file):
                    self._check_again(path, self._live_path_of(path, file))
                elif file is not None and file.id not in candidates:  # another name of a file is not another file
                    candidates[file.id] = FileCandidate(file, path, self._live_path_of(path, file), included=True)
        return list(candidates.values())

    def _live_path_of(self, path: str, file: FileStatus) -> str:
        """Where the live file is that this one was, or must be: also in the directory above, or one that rotates into this one."""
        live_path = self._table.live_paths.of(path, file.path)
        if live_path in self._table.by_live_path:
            return live_path
        directory, name = os.path.split(file.path)
        bases = (name, without_gzip(name), *possible_bases(name))
        served = [one for one in self._archives.served(directory) if one != directory]
        return next(
            (known for one in served for base in bases if (known := os.path.join(one, base)) in self._table.by_live_path), live_path
        )

    def _is_stale(self, listing: Listing, path: str, file: FileStatus) -> bool:
        """Whether a name leads to another file than when the directory was read: the changes in between must be found first.

        On some file systems the two never agree, so the second time they are accepted.
        """
        entry = listing.entries[os.path.basename(path)]
        inodes = entry.inode, file.inode
        if entry.is_link or entry.inode == file.inode or self._unsure.get(path) == inodes:
            self._unsure.pop(path, None)
            return False
        self._unsure[path] = inodes
        return True

    def _unknown_names(self, listing: Listing) -> Iterator[str]:
        for name, entry in listing.entries.items():
            path = os.path.join(listing.path, name)
            known = self._table.by_id.get((listing.device, entry.inode))
            if known is not None and known.place.path == path and not entry.is_link:
                continue
            if not entry.is_dir and self._globs.match(path):
                yield path

    def _admit(self, path: str) -> FileStatus | None:
        """The file behind a name, if it may be read and is not known."""
        try:
            status = found(path, os.stat(path))
            if self._is_known(status):
                return None
            real = resolve(path, self._options.allowed_roots)
            file = _regular(real)
            if reason := _why_not_text(real):
                self._table.unreadable.note(path, NOT_TEXT, reason)
                return None
        except FileNotFoundError:
            if not os.path.islink(path):  # the directory changed since it was read, and may look the same when it is read again
                self.rechecked.add(os.path.dirname(path))
            return None
        except OSError as error:
            self.refuse(path, error)
            return None
        return file

    def _is_known(self, file: FileStatus) -> bool:
        known = self._table.by_id.get(file.id)
        if known is not None and known.state is ContentState.HELD:  # it has a name again
            self._table.move(known, known.place._replace(path=os.path.realpath(file.path)))
        return known is not None

    def refuse(self, path: str, error: OSError) -> None:
        """A file can't be read."""
        event = "not_regular" if isinstance(error, NotRegularError) else "unreadable"
        self._table.unreadable.note(path, event, error.strerror or str(error))

    def _beside(self, listing: Listing, known: set[str]) -> Iterator[FileCandidate]:
        """Files that no glob asks for, but that look like rotated ones of what is followed."""
        for path, live_path in list(self.rotated(listing)):
            if path in known or self._globs.match(path):
                continue
            status = regular(path)
            if status is None:
                self.rechecked.add(listing.path)
            elif self._is_stale(listing, path, status):
                self._check_again(path, live_path)
            elif status.id not in self._table.by_id:
                known.add(path)
                name = self._table.by_live_path[live_path][-1].name
                is_foreign = (
                    os.path.dirname(live_path) != listing.path and os.path.basename(live_path) in listing.entries
                )  # it has a live file of its own
                yield FileCandidate(status, name, live_path, included=False, may_begin=not is_foreign)

    def _check_again(self, path: str, live_path: str) -> None:
        self.moving.add(live_path)
        self.rechecked.add(os.path.dirname(path))

    def rotated(self, listing: Listing) -> Iterator[tuple[str, str]]:
        """Paths that look rotated and that hold nothing known, with the live path they were rotated from."""
        losers = {content.live_path for content in self._table.lost}
        for name, live_path in self._names(listing):
            id_ = listing.device, listing.entries[name].inode
            path = os.path.join(listing.path, name)
            is_unknown = listing.entries[name].is_file and id_ not in self._table.by_id and path not in self._table.by_live_path
            if is_unknown and (live_path in losers or not self._is_dismissed(path, id_)):
                yield path, live_path

    def _names(self, listing: Listing) -> Iterator[tuple[str, str]]:
        """The names in a directory that look rotated, and from which live path; moved into another directory a file may keep its name."""
        for directory in self._archives.served(listing.path):
            for base, names in listing.rotated().items():
                if (live_path := os.path.join(directory, base)) in self._table.by_live_path:
                    yield from ((name, live_path) for name in names)
            if directory != listing.path and self._table.live_directories[directory]:
                yield from (
                    (name, live_path)
                    for name in listing.entries
                    if (live_path := os.path.join(directory, name)) in self._table.by_live_path
                )

    def _is_dismissed(self, path: str, id_: tuple[int, int]) -> bool:
        if id_ not in self.dismissed:
            return False
        status = regular(path)
        if status is None or status.id != id_ or status.mtime_ns == self.dismissed[id_]:
            return True
        del self.dismissed[id_]
        return False

    def newest_beside(self, live_path: str) -> int:
        """The newest last write (ns) of the rotated files that no glob asks for; 0 = there are none."""
        directory, base = os.path.split(live_path)
        self.rechecked.add(directory)
        listings = [self._listings.refreshed(archive) for archive in self._archives.of(self._listings.refreshed(directory).path)]
        paths = (os.path.join(one.path, name) for one in listings for name in (*one.rotated().get(base, ()), base))
        files = (regular(path) for path in paths if path != live_path and not self._globs.match(path))
        return max((file.mtime_ns for file in files if file and file.id not in self._table.by_id), default=0)
