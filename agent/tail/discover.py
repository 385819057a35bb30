"""The directories and their names. Thin I/O: a directory is read again only when its time stamp has changed.

Directories change in place while they are read, and two changes within one tick of the clock leave the same time stamp. So a directory is
read again until the tick of its last change has passed: only then does an unchanged time stamp mean unchanged content.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.tail.names import compile_glob, glob_depth, glob_root, possible_bases
from agent.tail.unreadable import DIRECTORY, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_TICK: Final = 0.02
"""Seconds within which a directory may change twice under one time stamp: the kernel's clock ticks every 10 ms at the slowest."""
_COARSE_TICK: Final = 2.0
"""The same where the file system stores whole seconds."""


class DirectoryEntry(NamedTuple):
    """One name in a directory."""

    inode: int
    is_link: bool
    is_dir: bool
    is_file: bool


class Listing:
    """One directory as last read. `entries` is empty while the directory does not exist."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self.path = path
        self._clock = clock
        self.device = 0
        self.entries: dict[str, DirectoryEntry] = {}
        self.links: list[str] = []
        """Paths of the symbolic links."""
        self.error: OSError | None = None
        """The reason why it could not be read. Its entries are kept then, because they may still exist."""
        self._stamp: tuple[int, int, int] | None = None
        self._stamped_at = 0.0
        """The time when this time stamp was first seen."""
        self._is_confirmed = False
        """The directory was read once more under the same time stamp."""
        self._is_settled = False
        """That reading came after the tick of its last change."""
        self._rotated: dict[str, list[str]] | None = None

    def refresh(self) -> bool:
        """Read the directory if it may have changed; return whether its entries did (also: at the first time)."""
        try:
            status = os.stat(self.path)
            stamp = (status.st_dev, status.st_ino, status.st_mtime_ns)
            same, first = stamp == self._stamp, self._stamp is None
            if same and self._is_settled:
                return False
            now = self._clock()
            entries = _read(self.path)
        except (FileNotFoundError, NotADirectoryError):
            changed = bool(self.entries)
            self.entries, self.links, self._stamp, self._rotated, self.error = {}, [], None, None, None
            return changed
        except OSError as error:
            self.error = error
            return False
        changed = first or entries != self.entries
        self.links = [os.path.join(self.path, name) for name, entry in entries.items() if entry.is_link]
        self._rotated = None if changed else self._rotated
        self.entries, self.device, self.error = entries, status.st_dev, None
        self._stamp, self._stamped_at = stamp, self._stamped_at if same else now
        self._is_confirmed, self._is_settled = same, same and now - self._stamped_at >= _tick(status.st_mtime_ns)
        return changed

    def is_certain(self) -> bool:
        """Whether the entries are those of this moment: nothing changed since the directory was read, nor while it was."""
        return self._is_confirmed and self.is_current()

    def is_current(self) -> bool:
        """Whether nothing seems to have changed since the directory was read: its time stamp is the same."""
        try:
            status = os.stat(self.path)
        except OSError:
            return True
        return (status.st_dev, status.st_ino, status.st_mtime_ns) == self._stamp

    def names(self) -> Iterator[tuple[tuple[int, int], str]]:
        """Device and inode of each regular file, with its path."""
        return (((self.device, entry.inode), os.path.join(self.path, name)) for name, entry in self.entries.items() if entry.is_file)

    def rotated(self) -> dict[str, list[str]]:
        """The names here that look like what a rotation makes of a name, by that name."""
        if self._rotated is None:
            self._rotated = {}
            for name in self.entries:
                for base in possible_bases(name):
                    self._rotated.setdefault(base, []).append(name)
        return self._rotated


def _tick(mtime_ns: int) -> float:
    return _TICK if mtime_ns % 10**9 else _COARSE_TICK


def _read(path: str) -> dict[str, DirectoryEntry]:
    with os.scandir(path) as names:
        return {
            one.name: DirectoryEntry(one.inode(), one.is_symlink(), one.is_dir(follow_symlinks=False), one.is_file(follow_symlinks=False))
            for one in names
        }


class Globs:
    """The files that the configuration asks for."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        """Take absolute globs."""
        self.roots = [(glob_root(pattern), glob_depth(pattern)) for pattern in include]
        self._include = [compile_glob(pattern) for pattern in include]
        self._exclude = [compile_glob(pattern) for pattern in exclude]
        self._hidden = any("/." in pattern for pattern in include)

    def match(self, path: str) -> bool:
        """Whether a path is included and not excluded."""
        return any(one.match(path) for one in self._include) and not any(one.match(path) for one in self._exclude)

    def directories(self, listings: Listings) -> Iterator[Listing]:
        """Every directory in which a file may match, parents first; each is refreshed on the way."""
        seen: set[str] = set()
        for root, depth in self.roots:
            yield from self._below(listings, root, depth, seen)

    def _below(self, listings: Listings, root: str, depth: int | None, seen: set[str]) -> Iterator[Listing]:
        waiting = [(root, depth)]
        while waiting:
            path, left = waiting.pop()
            listing = listings.refreshed(path)
            if path not in seen:
                seen.add(path)
                yield listing
            if left != 0:
                waiting += [(os.path.join(path, name), left and left - 1) for name in self._children(listing, left)]

    def _children(self, listing: Listing, left: int | None) -> Iterable[str]:
        """Directories to go down into; links to directories only where the depth bounds a loop."""
        for name, entry in listing.entries.items():
            if (entry.is_dir or (entry.is_link and left is not None)) and (self._hidden or not name.startswith(".")):
                yield name


class Survey(NamedTuple):
    """The number of a glob's files, and those that can't be read."""

    found: int
    """Names that match it."""
    refused: dict[str, Refusal]
    """Files and directories that can't be read, and the reasons."""


def survey(include: str, exclude: Sequence[str]) -> Survey:
    """List the matches once. Opens nothing."""
    globs, found, refused = Globs([include], exclude), 0, dict[str, Refusal]()
    for listing in globs.directories(Listings()):
        if listing.error is not None:
            refused[listing.path] = Refusal(DIRECTORY, listing.error.strerror or str(listing.error))
        paths = [
            path for name, entry in listing.entries.items() if not entry.is_dir and globs.match(path := os.path.join(listing.path, name))
        ]
        found += len(paths)
        for path in paths:
            if not os.access(path, os.R_OK, effective_ids=True) and os.path.exists(path):
                refused[path] = Refusal("unreadable", os.strerror(errno.EACCES))
    return Survey(found, refused)


class Listings:
    """All directories that are scanned, each read at most once per scan."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, Listing] = {}
        self._listed: set[str] = set()
        self.changed: set[str] = set()
        """Paths of the directories whose entries changed in this scan."""

    def begin(self) -> None:
        """Begin a scan: directories that were not in the last one are forgotten."""
        self._known = {path: listing for path, listing in self._known.items() if path in self._listed}
        self._listed = set()
        self.changed = set()

    def refreshed(self, path: str) -> Listing:
        """The directory as it is now."""
        listing = self.get(path)
        if path not in self._listed:
            self._listed.add(path)
            if listing.refresh():
                self.changed.add(path)
        return listing

    def names(self) -> dict[tuple[int, int], str]:
        """A path of each file in the directories as last read, by device and inode."""
        return {file: path for listing in self._known.values() for file, path in listing.names()}

    def get(self, path: str) -> Listing:
        """The directory as last read."""
        if (known := self._known.get(path)) is None:
            known = self._known[path] = Listing(path, self._clock)
        return known
