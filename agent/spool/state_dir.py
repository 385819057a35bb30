"""The state directory while an agent has it: made for it alone, locked, and other things in the place of its files moved aside."""

from __future__ import annotations

import os
import resource
import stat
from typing import TYPE_CHECKING, Final, Self

from agent.errors import UnavailableError
from agent.spool import paths, quota
from agent.spool.ballast import Ballast
from agent.spool.database import log_of
from agent.spool.lock import Lock
from agent.spool.paths import BALLAST_FILE, FILE, FRESH, HISTORY, LOCK_FILE, MARKER, RESTORED, SOCKET
from agent.spool.values import Exposed, LogRemoved, Misplaced, SpoolRemoved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.spool.values import SpoolEvent

_DATABASES: Final = (FILE, RESTORED, FRESH, HISTORY)
_FILES: Final = (
    *_DATABASES,
    *(f"{name}{suffix}" for name in _DATABASES for suffix in ("-wal", "-shm", "-journal")),
    *(LOCK_FILE, BALLAST_FILE, MARKER, f"{MARKER}.new"),
)
SMALLEST_VOLUME: Final = 4 << 20
"""Bytes: in a smaller one the file, its log and the ballast get into each other's way."""
_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class StateDir:
    """The directory: locked, with a ballast that its disk can bear. Made by `take`."""

    def __init__(self, path: Path, quota_bytes: int, limit: quota.Limits, ballast: Ballast, lock: Lock) -> None:
        self.path = path
        self.file = path / FILE
        self.limit = limit
        """By the quota and by what the disk could bear at the start, or can by now if that is more."""
        self.ballast = ballast
        self.lock = lock
        self.powered = lock.before is not None and lock.before.has_not_lost_power
        """Whether the machine has certainly run on since the file was written."""
        self._quota = quota_bytes

    @classmethod
    def take(cls, path: Path, quota_bytes: int) -> tuple[Self, list[SpoolEvent]]:
        """Make it ready and lock it; return it with the events to report.

        SpoolLockedError names who has it; ConfigError: the quota is too small; UnavailableError: its volume is; OSError.
        """
        events = list(prepare(path))
        limit = quota.limits(_affordable(path, quota_bytes))
        ballast = Ballast(path / BALLAST_FILE, limit.ballast)
        found = cls(path, quota_bytes, limit, ballast, Lock(path / LOCK_FILE))
        return found, [*events, *found._missing()]

    def _missing(self) -> Iterator[SpoolEvent]:
        """Report files of the last agent that are missing."""
        before, log = self.lock.before, log_of(self.file)
        if before is not None and before.spool and not paths.size(self.file) and not paths.size(log):
            yield SpoolRemoved(self.file)
        elif before is not None and before.wal and paths.is_there(self.file) and not paths.is_there(log):
            yield LogRemoved(self.file)

    def grown(self) -> quota.Limits | None:
        """Return the limits that quota and disk allow now if these are more than before. OSError."""
        now = quota.limits(_affordable(self.path, self._quota))
        if now.quota <= self.limit.quota:
            return None
        self.limit = now
        return now

    def mark(self, *, log: bool) -> None:
        """Note for the next start whether the write-ahead log must exist. OSError."""
        self.lock.mark(wal=log)


def prepare(directory: Path) -> list[SpoolEvent]:
    """Make the directory ready; return the events to report. OSError; UnavailableError: the volume is too small."""
    paths.make(directory)
    status = os.statvfs(directory)
    size = status.f_blocks * status.f_frsize
    if 0 < size < SMALLEST_VOLUME:
        raise UnavailableError(
            f"the volume of the state directory {directory} has {size} bytes: give it at least {SMALLEST_VOLUME} (4 MiB), better 128 MiB"
        )
    return [*exposure(directory), *clear(directory)]


def exposure(directory: Path) -> Iterator[Exposed]:
    """Report that others can write in the directory, or put another one in its place."""
    status, above = directory.stat(), directory.resolve().parent.stat()
    if status.st_uid not in (0, os.geteuid()):
        yield Exposed(directory, f"it belongs to the user {status.st_uid}")
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield Exposed(directory, f"its mode is {stat.S_IMODE(status.st_mode):04o}")
    elif above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        yield Exposed(directory, f"the mode of the directory above it is {stat.S_IMODE(above.st_mode):04o}")


def clear(directory: Path) -> Iterator[Misplaced]:
    """Move aside what has the name of one of our files and is not a regular file. A link is moved itself, and never followed."""
    for name in (*_FILES, SOCKET):
        path = directory / name
        try:
            kind = stat.S_IFMT(path.lstat().st_mode)
        except FileNotFoundError:
            continue
        if kind not in ((stat.S_IFSOCK, stat.S_IFREG) if name == SOCKET else (stat.S_IFREG,)):
            yield Misplaced(path, _KINDS.get(kind, "not a file"), path.rename(paths.free_name(directory, f"misplaced-{{}}-{name}")))


def _affordable(directory: Path, quota_bytes: int) -> int:
    """Bytes that quota, disk and file size limit allow now. OSError."""
    status = os.statvfs(directory)
    ours = sum(paths.size(path) for path in (directory / FILE, log_of(directory / FILE), directory / BALLAST_FILE))
    return quota.affordable(quota_bytes, status.f_bavail * status.f_frsize + ours, resource.getrlimit(resource.RLIMIT_FSIZE)[0])
