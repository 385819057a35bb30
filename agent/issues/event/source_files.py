"""Reads the workload's source files for context lines: bounded, cached, and only if they surely are the code that ran.

A path comes from a log, so whatever writes there chooses it. Only regular files are read whose real name ends in `.py`, below the root of a
process that we know; a file is not used if it differs from the line in the traceback, or if it is newer than the process.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from agent.target.roots import open_file, own

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.target.roots import Root

MAX_FILE: Final = 2 * 1024 * 1024
"""Bytes of a source file; a longer one is not read."""
MAX_FILES: Final = 64
"""Files that are remembered."""
_CHECKED: Final = 4096


def ours() -> Sequence[Root]:
    """Our own root, with files of any age."""
    return (own(),)


class SourceFiles:
    """Source files below the roots of the workload's processes."""

    def __init__(self, clean: Callable[[str], str] = str, roots: Callable[[], Sequence[Root]] = ours) -> None:
        """`clean` takes secrets out of a text; `roots` are looked through in their order."""
        self._clean = clean
        self._roots = roots
        self._files: OrderedDict[tuple[int, int, int, int], Sequence[str]] = OrderedDict()
        self._packages: dict[tuple[int, str], bool] = {}

    def lines(self, path: str, lineno: int, shown: str | None) -> Sequence[str] | None:
        """The lines of a file, None if it can't be read or is not the code that ran."""
        if not os.path.isabs(path) or not path.endswith(".py"):
            return None
        known = None if shown is None else self._clean(shown.strip())
        for root in self._roots():
            lines = self._read(root, path)
            if lines is not None and lineno <= len(lines) and known in (None, lines[lineno - 1].strip()):
                return lines
        return None

    def is_package(self, directory: str) -> bool:
        """Whether a directory holds an `__init__.py`; where no process is known, in our own file system: it may be theirs."""
        return any(self._is_package(root, directory) for root in self._roots() or ours())

    def _is_package(self, root: Root, directory: str) -> bool:
        key = root.fd, directory
        if key not in self._packages:
            if len(self._packages) >= _CHECKED:
                self._packages.clear()
            self._packages[key] = is_file(root, f"{directory}/__init__.py")
        return self._packages[key]

    def _read(self, root: Root, path: str) -> Sequence[str] | None:
        try:
            fd, name = open_file(root.fd, path)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return None
        try:
            return self._load(fd, root.newest_ns) if name.endswith(".py") else None
        except OSError:
            return None
        finally:
            os.close(fd)

    def _load(self, fd: int, newest_ns: int | None) -> Sequence[str] | None:
        status = os.fstat(fd)
        if status.st_size > MAX_FILE or (newest_ns is not None and status.st_mtime_ns > newest_ns):
            return None
        version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if version not in self._files:
            text = os.read(fd, MAX_FILE).decode("utf-8", "replace")
            self._files[version] = tuple(line.rstrip("\r") for line in self._clean(text).removesuffix("\n").split("\n"))
        self._files.move_to_end(version)
        while len(self._files) > MAX_FILES:
            self._files.popitem(last=False)
        return self._files[version]


def is_file(root: Root, path: str) -> bool:
    """Whether there is a regular file."""
    try:
        fd, _ = open_file(root.fd, path)
    except (OSError, ValueError):
        return False
    os.close(fd)
    return True
