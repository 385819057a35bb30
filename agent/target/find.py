"""Finding the target's own processes in a process table: by number, by pid file, by command line, by cgroup."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.options import OptionError
from agent.parse.patterns import compile_pattern
from agent.target.usage import TICKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.parse.proc import Stat
    from agent.target.procfs import ProcDir

    Finder = Callable[[Mapping[int, Stat], float], set[int]]
    """The table and the uptime in seconds → the pids of the target's own processes."""

_KINDS: Final = ("pid", "pidfile", "name", "cgroup")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_YOUNG: Final = 60.0
"""Seconds: a younger process may still become another program (exec), so its command line is read again."""
_SLACK: Final = 2.0
"""Seconds that a pid file may be older than its process: both times are rounded."""


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


def finder(target: str, proc: ProcDir) -> Finder:
    """What finds the target's processes in a table, given the uptime in seconds."""
    kind, _, rest = target.partition(":")
    if kind == "pid":
        return Pinned(int(rest)).find
    if kind == "pidfile":
        return lambda table, uptime: from_pidfile(Path(rest), table, uptime)
    if kind == "cgroup":
        return lambda table, _uptime: members(_CGROUPS / rest) & table.keys()
    return ByCommandLine(rest, proc).find


class Pinned:
    """One process by its number, and no later one that got the same number."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._identity: tuple[int, int] | None = None

    def find(self, table: Mapping[int, Stat], _uptime: float) -> set[int]:
        """The process, while it lives."""
        stat = table.get(self._pid)
        if stat is None:
            return set()
        self._identity = self._identity or stat.identity
        return {self._pid} if stat.identity == self._identity else set()


class ByCommandLine:
    """All processes whose command line matches, save ourselves (whose own may name the target)."""

    def __init__(self, pattern: str, proc: ProcDir) -> None:
        self._pattern = compile_pattern(pattern)
        self._proc = proc
        self._known: dict[tuple[int, int], bool] = {}

    def find(self, table: Mapping[int, Stat], uptime: float) -> set[int]:
        """The matching processes. A decision is kept, unless the process is so young that it may yet become another program."""
        yes: set[int] = set()
        living = {stat.identity: stat for stat in table.values() if stat.pid != os.getpid()}
        known = {identity: self._known[identity] for identity in living if identity in self._known}
        for identity, stat in living.items():
            if identity not in known:
                matches = self._pattern.search(self._proc.command_line(stat.pid)) is not None
                if uptime - stat.started / TICKS > _YOUNG:
                    known[identity] = matches
                if matches:
                    yes.add(stat.pid)
        self._known = known
        return yes | {pid for (pid, _), matches in known.items() if matches}


def from_pidfile(path: Path, table: Mapping[int, Stat], uptime: float) -> set[int]:
    """The process that the file names, unless it was born after the file was written: then the number is an ended process's, used again."""
    try:
        with path.open("rb") as file:
            content, status = file.read(32).split(), os.fstat(file.fileno())
    except OSError:
        return set()
    stat = table.get(int(content[0])) if content and content[0].isdigit() else None
    if stat is None:
        return set()
    written_ago = time.time() - status.st_mtime
    return {stat.pid} if uptime - stat.started / TICKS >= written_ago - _SLACK else set()


def members(cgroup: Path) -> set[int]:
    """The pids in a cgroup and the cgroups below it."""
    found: set[int] = set()
    for directory, _, _ in os.walk(cgroup):
        with contextlib.suppress(OSError):
            found |= {int(line) for line in Path(directory, "cgroup.procs").read_bytes().split() if line.isdigit()}
    return found
