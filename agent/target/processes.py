"""The process table, as psutil reads it, wherever it is mounted.

A process is a `psutil.Process`, which equals only itself: it is known by its number and its start.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_OPEN_FILES: Final = re.compile(rb"^Max open files +(\S+)", re.MULTILINE)


class Table(NamedTuple):
    """All processes that can be seen, at one moment."""

    processes: Mapping[int, psutil.Process]
    parents: Mapping[int, int]
    """Pid → pid of its parent."""
    now: float
    """Seconds since the Unix epoch."""

    def age(self, process: psutil.Process) -> float:
        """Seconds since a process began."""
        return max(0.0, self.now - process.create_time())

    def age_of_oldest(self, members: Iterable[psutil.Process]) -> float | None:
        """Seconds that the first of them has run; None if there is none.

        psutil remembers the moment when a process began. It is looked up again, because the moment of the boot, from which it is reckoned, moves
        when the clock is set.
        """
        oldest = min(members, key=psutil.Process.create_time, default=None)
        if oldest is None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            oldest = psutil.Process(oldest.pid)
        return self.age(oldest)

    def descendants(self, roots: Iterable[int]) -> set[int]:
        """The pids of the roots that exist and of everything below them. One pass for all roots, where `children` reads the table for each."""
        children: dict[int, list[int]] = {}
        for pid, parent in self.parents.items():
            children.setdefault(parent, []).append(pid)
        found: set[int] = set()
        waiting = [pid for pid in roots if pid in self.parents]
        while waiting:
            pid = waiting.pop()
            if pid not in found:
                found.add(pid)
                waiting += children.get(pid, ())
        return found

    def tops(self, members: set[int]) -> set[int]:
        """The members whose parent is none."""
        return {pid for pid in members if self.parents[pid] not in members}


@contextlib.contextmanager
def mounted(root: Path) -> Iterator[None]:
    """Have psutil read the table that is mounted at `root`; what is made inside stays with it. The setting is the whole process's, so it is given back."""
    before, psutil.PROCFS_PATH = psutil.PROCFS_PATH, str(root)
    try:
        yield
    finally:
        psutil.PROCFS_PATH = before


class Reader:
    """Reads the table again and again. It keeps what it has made, as `process_iter` does, of one mount only."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def read(self, now: float) -> Table:
        """The present table. Processes that end meanwhile, or that we may not see, are left out; so is, once, a process that has the number of one that ended.

        Raises OSError where no table is mounted.
        """
        before, self._known = self._known, {}
        parents: dict[int, int] = {}
        for pid in _pids():
            with contextlib.suppress(psutil.Error):
                process = before.get(pid) or psutil.Process(pid)
                parents[pid] = process.ppid()  # raises if the number is another process's by now
                self._known[pid] = process
        return Table(self._known, parents, now)


def _pids() -> list[int]:
    try:
        return psutil.pids()
    except IndexError:  # psutil's, where there is no lowest one
        raise ProcessLookupError(f"{psutil.PROCFS_PATH} shows no process: it is not a mounted process table") from None


def command_line(process: psutil.Process) -> str:
    """The arguments, joined by blanks; of a kernel thread, or of what may not be looked at, nothing."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    return " ".join(words).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def open_files_limit(root: Path, pid: int) -> int | None:
    """The soft limit of open files; None if there is none, or the process has ended.

    psutil's `rlimit` asks the kernel by number, which is another process's where `root` is another machine's or container's table, and wants
    CAP_SYS_RESOURCE for other users' processes; any user may read the file.
    """
    try:
        return parse_open_files((root / str(pid) / "limits").read_bytes())
    except OSError:
        return None


def parse_open_files(content: bytes) -> int | None:
    """The soft limit of open files in /proc/PID/limits (proc(5)); None if there is none."""
    match = _OPEN_FILES.search(content)
    return int(match[1]) if match and match[1].isdigit() else None
