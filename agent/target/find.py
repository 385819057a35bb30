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
    import psutil

    from agent.target.processes import Table

_KINDS: Final = ("pid", "pidfile", "name", "cgroup")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_YOUNG: Final = 60.0
"""Seconds: a younger process may still become another program (exec), so its command line is read again."""
_SLACK: Final = 10.0
"""Seconds that a pid file may be older than its process: the boot's time is rounded, and from it, which moves when the clock is set, the process's
is reckoned; a file's time does not move."""


def check_target(value: str) -> str:
    """The target if it is written as one; OptionError if not."""
    kind, _, rest = value.partition(":")
    if kind not in _KINDS or not rest:
        raise OptionError("is not a target", "write pid:N, pidfile:PATH, name:REGEX or cgroup:PATH")
    if kind == "pid" and not (rest.isascii() and rest.isdigit()):
        raise OptionError("is not a process number", "write pid: and a number, as in pid:1")
    if kind == "name":
        compile_pattern(rest)
    return value


class Finder:
    """Finds a target's own processes in the table, again and again."""

    why = ""
    """Why the last search has found none, in a sentence; empty if it has."""

    def find(self, table: Table) -> set[int]:
        """The pids of the target's own processes."""
        raise NotImplementedError


def finder(target: str) -> Finder:
    """The finder of a target."""
    kind, _, rest = target.partition(":")
    if kind == "pid":
        return Pinned(int(rest))
    if kind == "pidfile":
        return PidFile(Path(rest))
    return Cgroup(_CGROUPS / rest.lstrip("/")) if kind == "cgroup" else ByCommandLine(rest)


class Pinned(Finder):
    """One process by its number, and no later one that got the same number."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._process: psutil.Process | None = None

    def find(self, table: Table) -> set[int]:
        """The process, while it lives."""
        process = table.processes.get(self._pid)
        self._process = self._process or process
        if process is not None and process == self._process:
            self.why = ""
            return {self._pid}
        gone = f"the process {self._pid} has ended" + (", and another one has its number" if process else "")
        self.why = gone if self._process else f"there is no process {self._pid} that we can see"
        return set()


class ByCommandLine(Finder):
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
        self.why = "" if found else "no command line matches it"
        return found


class PidFile(Finder):
    """The process that a file names, unless it was born after the file was written: then the number is an ended process's, used again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, table: Table) -> set[int]:
        """The process, while the file names it."""
        try:
            with self._path.open("rb") as file:
                content, written = file.read(32).split(), os.fstat(file.fileno()).st_mtime
        except OSError as error:
            return self._none(f"the file can't be read: {error.strerror}")
        if not content or not content[0].isdigit():
            return self._none("the file holds no process number")
        process = table.processes.get(int(content[0]))
        if process is None:
            return self._none(f"there is no process {content[0].decode()}, which the file names")
        if process.create_time() > written + _SLACK:
            older = f"the file is {process.create_time() - written:.0f} s older than the process {process.pid}, which it names"
            return self._none(f"{older}: the number was used again, or the clock was set; have the file written again")
        self.why = ""
        return {process.pid}

    def _none(self, why: str) -> set[int]:
        self.why = why
        return set()


class Cgroup(Finder):
    """The members of a cgroup."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, table: Table) -> set[int]:
        """The processes that can be seen of those in the cgroup and in the cgroups below it."""
        found = members(self._path) & table.processes.keys()
        self.why = "" if found else "no process is in it" if self._path.is_dir() else f"there is no cgroup {self._path}"
        return found


def members(cgroup: Path) -> set[int]:
    """The pids in a cgroup and the cgroups below it."""
    found: set[int] = set()
    for directory, _, _ in os.walk(cgroup):
        with contextlib.suppress(OSError):
            found |= {int(line) for line in Path(directory, "cgroup.procs").read_bytes().split() if line.isdigit()}
    return found
