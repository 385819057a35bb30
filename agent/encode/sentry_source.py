"""Reads the workload's source files for context lines: bounded, cached, and only what is surely the code that ran.

A path comes from a log, so anybody who can write there can name one. Nothing is read but regular files whose real name ends in `.py`, and
nothing of a file is told that differs from what the traceback shows, or that is newer than the process it is told of.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_FILE: Final = 2 * 1024 * 1024
"""Bytes of a source file; a longer one is not read."""
MAX_FILES: Final = 64
"""Files that are remembered."""
_CHECKED: Final = 4096


class SourceFiles:
    """Source files below a root. `newest` says up to when (seconds since the Unix epoch) a file may have been changed; None = any time."""

    def __init__(
        self, clean: Callable[[str], str] = str, root: Callable[[], str] = str, newest: Callable[[], float | None] = lambda: None
    ) -> None:
        """`clean` takes secrets out of a text; `root` is put before every path (`/proc/7/root`)."""
        self._clean = clean
        self._root = root
        self._newest = newest
        self._files: OrderedDict[str, tuple[tuple[int, int, int], Sequence[str]]] = OrderedDict()
        self._packages: dict[str, bool] = {}

    def lines(self, path: str, lineno: int, shown: str | None) -> Sequence[str] | None:
        """The lines of a file, None if it can't be read or is not what ran."""
        lines = self._read(path) if os.path.isabs(path) and path.endswith(".py") else None
        if lines is None or lineno > len(lines):
            return None
        if shown is not None and self._clean(shown.strip()) != lines[lineno - 1].strip():
            return None
        return lines

    def is_package(self, directory: str) -> bool:
        """Whether a directory holds an `__init__.py`."""
        path = self._root() + directory
        if path not in self._packages:
            if len(self._packages) >= _CHECKED:
                self._packages.clear()
            self._packages[path] = os.path.isfile(os.path.join(path, "__init__.py"))
        return self._packages[path]

    def _read(self, path: str) -> Sequence[str] | None:
        try:
            real = os.path.realpath(self._root() + path)
            if not real.endswith(".py"):
                return None
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return None
        try:
            return self._load(path, descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def _load(self, path: str, descriptor: int) -> Sequence[str] | None:
        status = os.fstat(descriptor)
        newest = self._newest()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE or (newest is not None and status.st_mtime > newest):
            return None
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        if path not in self._files or self._files[path][0] != version:
            text = os.read(descriptor, MAX_FILE).decode("utf-8", "replace")
            self._files[path] = version, tuple(line.rstrip("\r") for line in self._clean(text).removesuffix("\n").split("\n"))
        self._files.move_to_end(path)
        while len(self._files) > MAX_FILES:
            self._files.popitem(last=False)
        return self._files[path][1]
