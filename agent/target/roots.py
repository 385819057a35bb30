"""The file systems of the processes that we know: opened while a process lives, so that its files can be read when it has died of them.

A path is walked from its process's root, link by link, as the process would walk it: whatever a link says, nothing outside of the root is reached.
Nothing is opened but regular files, so that no FIFO makes us wait and no device is touched.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from agent.target.ending import PROC, began_ns, read_stat
from agent.target.program import UNKNOWN, find_program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.target.program import Program

MOST: Final = 64
"""Processes whose roots are held."""
KEPT: Final = 10.0
"""Seconds that the root of an ended process is kept: its last lines are on their way."""
LONGEST: Final = 256
"""Steps of a walk."""
LINKS: Final = 40
"""Symbolic links of a walk, as the kernel counts (path_resolution(7))."""
TICK_NS: Final = 10**9 // os.sysconf("SC_CLK_TCK")
"""How exactly the kernel tells when a process began."""
_LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Root:
    """Where a process's paths begin."""

    fd: int
    newest_ns: int | None
    """When the process began, nanoseconds since the Unix epoch: what was changed later is not what it runs. None = any time."""
    ended: float | None = None
    """When it was seen to have ended, monotonic seconds."""
    program: Program = UNKNOWN
    """The program when that could be read last: a launcher (`env`, `uv run`) becomes the program that it starts."""
    home: tuple[int, int, Path] | None = None
    """The process: pid, clock ticks from the boot to its start, and where `/proc` is."""

    def look(self) -> Program:
        """The present program, or the last one."""
        if self.home is not None:
            pid, start, proc = self.home
            begun = read_stat(pid, proc)
            if begun is not None and begun.start == start:
                self.program = find_program(pid, proc) or self.program
        return self.program


class Roots:
    """The roots of the processes that are watched."""

    def __init__(self) -> None:
        self._roots: dict[int, Root] = {}

    def follow(self, pid: int, now_ns: int, proc: Path = PROC) -> None:
        """Hold the root of a process, if we may: it takes the rights to trace it (proc_pid_root(5))."""
        begun = read_stat(pid, proc)
        if begun is None or len(self._roots) >= MOST:
            return
        self._close(pid)
        try:
            fd = os.open(proc / str(pid) / "root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        root = Root(fd, began_ns(begun.start, now_ns) + TICK_NS, home=(pid, begun.start, proc))
        root.look()
        self._roots[pid] = root

    def forget(self, pid: int, now: float) -> None:
        """Let go of an ended process's root, in a while (monotonic seconds)."""
        if pid in self._roots:
            self._roots[pid].ended = now
        for one, root in list(self._roots.items()):
            if root.ended is not None and now - root.ended > KEPT:
                self._close(one)

    def __call__(self) -> Sequence[Root]:
        """All of them, the latest first."""
        return tuple(reversed(self._roots.values()))

    def close(self) -> None:
        """Let go of all; idempotent."""
        for pid in list(self._roots):
            self._close(pid)

    def _close(self, pid: int) -> None:
        root = self._roots.pop(pid, None)
        if root is not None:
            os.close(root.fd)


@lru_cache(maxsize=1)
def own() -> Root:
    """Our own root, at any time."""
    return Root(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), None)


def open_file(root: int, path: str) -> tuple[int, str]:
    """Open a regular file for reading, as a process with this root directory would; return it with its real name.

    OSError (or ValueError, for a NUL in the path) if there is none.
    """
    walk = _Walk(root, path)
    try:
        return walk.to_file()
    finally:
        walk.close()


def open_directory(root: int, path: str) -> int:
    """Open a directory for listing, as a process with this root directory would; OSError or ValueError if there is none."""
    walk = _Walk(root, path)
    try:
        return walk.to_directory()
    finally:
        walk.close()


class _Walk:
    """One path, step by step."""

    def __init__(self, root: int, path: str) -> None:
        self._way = [root]
        """The directories we went through."""
        self._left = deque(path.split("/"))
        self._links = 0

    def to_file(self) -> tuple[int, str]:
        """Go to the end, open what is there."""
        for _ in range(LONGEST):
            name = self._left.popleft() if self._left else ""
            if name == "..":
                self._up()
            elif name not in ("", ".") and self._enter(name):
                return self._open(), name
        raise OSError(errno.ENOENT, "leads to no file")

    def to_directory(self) -> int:
        """Go to the end, open the directory there."""
        for _ in range(LONGEST):
            if not self._left:
                return os.open(f"/proc/self/fd/{self._way[-1]}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            name = self._left.popleft()
            if name == "..":
                self._up()
            elif name not in ("", ".") and self._enter(name):
                break
        raise OSError(errno.ENOTDIR, "leads to no directory")

    def _enter(self, name: str) -> bool:
        """Take a step; True if it led to what is neither directory nor link."""
        found = os.open(name, _LOOK, dir_fd=self._way[-1])
        self._way.append(found)
        mode = os.fstat(found).st_mode
        if stat.S_ISLNK(mode):
            aim = os.readlink("", dir_fd=found)
            self._up()
            self._turn(aim)
        return not stat.S_ISDIR(mode) and not stat.S_ISLNK(mode)

    def _turn(self, aim: str) -> None:
        self._links += 1
        if self._links > LINKS:
            raise OSError(errno.ELOOP, "too many links")
        while aim.startswith("/") and len(self._way) > 1:
            self._up()
        self._left.extendleft(reversed(aim.split("/")))

    def _up(self) -> None:
        """Back to the directory before; above the root there is none."""
        if len(self._way) > 1:
            os.close(self._way.pop())

    def _open(self) -> int:
        if self._left or not stat.S_ISREG(os.fstat(self._way[-1]).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        return os.open(f"/proc/self/fd/{self._way[-1]}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of all directories but the root."""
        while len(self._way) > 1:
            self._up()
