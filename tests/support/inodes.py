"""A file system whose inodes do not depend on chance: numbers are used again at once, each time with another generation.

The real numbers depend on what else is written to the disk, and on how long ago a file was removed. Questions of the follower to the operating
system are answered with our numbers, and a directory is listed in our order.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

_REAL = {"stat": os.stat, "fstat": os.fstat, "lstat": os.lstat, "scandir": os.scandir, "open": os.open, "close": os.close}


class Inodes:
    """Numbers and generations by the real number of each file that is there."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._numbers: dict[int, int] = {}
        self._generations: dict[int, int] = {}
        self._created = 0
        self._open: Counter[int] = Counter()
        """How often the follower has each file open."""
        self._descriptors: dict[int, int] = {}
        self._removed: set[int] = set()

    def create(self, path: Path) -> None:
        """A file or directory was made."""
        real, self._created = _REAL["stat"](path).st_ino, self._created + 1
        used = set(self._numbers.values())
        self._numbers[real] = next(number for number in range(1, len(used) + 2) if number not in used)
        self._generations[real] = self._created

    def remove(self, path: Path) -> None:
        """A name of a file is about to be removed."""
        status = _REAL["stat"](path)
        if status.st_nlink == 1:
            self._removed.add(status.st_ino)
            self._free(status.st_ino)

    def _free(self, real: int) -> None:
        if real in self._removed and not self._open[real]:
            self._removed.discard(real)
            del self._numbers[real]

    def close_left(self) -> None:
        """The follower was killed: what it had open is closed."""
        for fd in list(self._descriptors):
            self._close(fd)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the operating system answer with our numbers."""
        ioctl = fcntl.ioctl
        try:
            os.stat, os.fstat, os.lstat = (self._status(name) for name in ("stat", "fstat", "lstat"))
            os.scandir, os.open, os.close, fcntl.ioctl = self._scan, self._open_file, self._close, self._generation
            yield
        finally:
            for name, call in _REAL.items():
                setattr(os, name, call)
            fcntl.ioctl = ioctl

    def _status(self, name: str) -> Callable[..., os.stat_result]:
        def call(*args: object, **options: object) -> os.stat_result:
            status = _REAL[name](*args, **options)
            mode, inode, *rest = status[:10]
            times = {"st_atime_ns": status.st_atime_ns, "st_mtime_ns": status.st_mtime_ns}
            return os.stat_result((mode, self._numbers.get(inode, 0), *rest), times)

        return call

    def _open_file(self, *args: object, **options: object) -> int:
        fd = _REAL["open"](*args, **options)
        real = self._descriptors[fd] = _REAL["fstat"](fd).st_ino
        self._open[real] += 1
        return fd

    def _close(self, fd: int) -> None:
        _REAL["close"](fd)
        real = self._descriptors.pop(fd)
        self._open[real] -= 1
        self._free(real)

    def _generation(self, fd: int, _request: int, _argument: bytes) -> bytes:
        return self._generations[self._descriptors[fd]].to_bytes(8, "little")

    @contextmanager
    def _scan(self, path: str) -> Iterator[list[Entry]]:
        with _REAL["scandir"](path) as names:
            entries = [Entry(one, self._numbers.get(one.inode(), 0)) for one in sorted(names, key=lambda one: one.name)]
        self._chance.shuffle(entries)
        yield entries


class Entry(NamedTuple):
    """As `os.DirEntry`."""

    real: os.DirEntry[str]
    number: int

    @property
    def name(self) -> str:
        return self.real.name

    def inode(self) -> int:
        return self.number

    def is_symlink(self) -> bool:
        return self.real.is_symlink()

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self.real.is_dir(follow_symlinks=follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self.real.is_file(follow_symlinks=follow_symlinks)
