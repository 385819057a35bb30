"""Finding the target's own processes in a process table: by number, by pid file, by command line, by cgroup."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.options import OptionError
from agent.parse.patterns import compile_pattern
from agent.target.processes import command_line

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

    from agent.target.processes import Table

    Finder = Callable[[Table], set[int]]
    """The table → the pids of the target's own processes."""

_KINDS: Final = ("pid", "pidfile", "name", "cgroup")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_YOUNG: Final = 60.0
"""Seconds: a younger process may still become another program (exec), so its command line is read again."""
_SLACK: Final = 2.0
"""Seconds that a pid file may be older than its process: the times are rounded, that of the boot to whole seconds."""


def check_target(value: str) -> str:
    """The target if it is written as one; OptionError if not."""
    kind, _, rest = value.partition(":")
    if kind not in _KINDS or not rest:
        raise OptionError("is no target", "write pid:N, pidfile:PATH, name:REGEX or cgroup:PATH")
    if kind == "pid" and not (rest.isascii() and rest.isdigit()):
        raise OptionError("is no process number", "write pid: and a number, as in pid:1")
    if kind == "name":
        compile_pattern(rest)
    return value


def finder(target: str) -> Finder:
    """What finds the target's processes in a table."""
    kind, _, rest = target.partition(":")
    if kind == "pid":
        return Pinned(int(rest)).find
    if kind == "pidfile":
        return lambda table: from_pidfile(Path(rest), table)
    if kind == "cgroup":
        return lambda table: members(_CGROUPS / rest.lstrip("/")) & table.processes.keys()
    return ByCommandLine(rest).find


class Pinned:
    """One process by its number, and no later one that got the same number."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._process: psutil.Process | None = None

    def find(self, table: Table) -> set[int]:
        """The process, while it lives."""
        process = table.processes.get(self._pid)
        self._process = self._process or process
        return {self._pid} if process is not None and process == self._process else set()


class ByCommandLine:
    """All processes whose command line matches, save ourselves (whose own may name the target)."""

    def __init__(self, pattern: str) -> None:
        self._pattern = compile_pattern(pattern)
        self._known: dict[psutil.Process, bool] = {}

    def find(self, table: Table) -> set[int]:
        """The matching processes. A decision is kept, unless the process is so young that it may yet become another program."""
        found: set[int] = set()
        known: dict[psutil.Process, bool] = {}
        for pid, process in table.processes.items():
            matches = self._known.get(process)
            if matches is None:
                matches = pid != os.getpid() and self._pattern.search(command_line(process)) is not None
            if process in self._known or table.age(process) > _YOUNG:
                known[process] = matches
            if matches:
                found.add(pid)
        self._known = known
        return found


def from_pidfile(path: Path, table: Table) -> set[int]:
    """The process that the file names, unless it was born after the file was written: then the number is an ended process's, used again."""
    try:
        with path.open("rb") as file:
            content, status = file.read(32).split(), os.fstat(file.fileno())
    except OSError:
        return set()
    process = table.processes.get(int(content[0])) if content and content[0].isdigit() else None
    if process is None:
        return set()
    return {process.pid} if process.create_time() <= status.st_mtime + _SLACK else set()


def members(cgroup: Path) -> set[int]:
    """The pids in a cgroup and the cgroups below it."""
    found: set[int] = set()
    for directory, _, _ in os.walk(cgroup):
        with contextlib.suppress(OSError):
            found |= {int(line) for line in Path(directory, "cgroup.procs").read_bytes().split() if line.isdigit()}
    return found
