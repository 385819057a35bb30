"""The ballast: disk space that is reserved and given up on a full disk, where SQLite can neither delete nor write its log back without some."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.spool import paths

if TYPE_CHECKING:
    from pathlib import Path


class Ballast:
    """The file that reserves the space; CockroachDB calls it a ballast file too."""

    def __init__(self, path: Path, size: int) -> None:
        """Touch nothing yet. `size`: bytes; on a small disk an eighth of what is free."""
        self._path = path
        status = os.statvfs(path.parent)
        self._wanted = min(size, status.f_bavail * status.f_frsize // 8)

    @property
    def size(self) -> int:
        """The bytes that it reserves now."""
        return paths.size(self._path)

    def drop(self) -> bool:
        """Give it up; return whether it reserved anything."""
        return self.size > 0 and paths.remove(self._path)

    def take(self) -> bool:
        """Reserve it, where the disk has four times as much free: else it would soon be given up again. Return whether it is reserved."""
        if self.size >= self._wanted:
            return True
        status = os.statvfs(self._path.parent)
        if status.f_bavail * status.f_frsize < 4 * self._wanted:
            return False
        return self._reserve()

    def _reserve(self) -> bool:
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return False
        try:
            os.fchmod(handle, 0o600)
            os.ftruncate(handle, 0)
            os.posix_fallocate(handle, 0, self._wanted)
        except OSError:
            paths.remove(self._path)
            return False
        finally:
            os.close(handle)
        return True
