"""Files of /proc → values. Pure; formats as in proc(5) and the kernel's Documentation/filesystems/proc.rst."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OPEN_FILES: Final = re.compile(rb"^Max open files +(\S+)", re.MULTILINE)


class Stat(NamedTuple):
    """What we need of /proc/PID/stat. Times are clock ticks, of which there are `sysconf(_SC_CLK_TCK)` a second."""

    pid: int
    name: str
    """At most 15 bytes; the process can set it."""
    state: str
    """`Z` = has ended and was not waited for."""
    parent: int
    user: int
    system: int
    children_user: int
    """Of children that have ended and were waited for, with theirs."""
    children_system: int
    threads: int
    started: int
    """Since boot. With the pid it identifies a process; the pid alone is used again."""
    virtual: int
    """Bytes."""
    resident: int
    """Pages."""

    @property
    def identity(self) -> tuple[int, int]:
        """Of this process and no other since boot."""
        return self.pid, self.started


def parse_stat(content: bytes) -> Stat | None:
    """A line of /proc/PID/stat, None if it is none. The name stands in parentheses and may hold any byte, parentheses and blanks too."""
    head, opening, rest = content.partition(b" (")
    name, closing, tail = rest.rpartition(b") ")
    fields = tail.split()
    if not opening or not closing or len(fields) < 22:
        return None
    try:
        numbers = [int(field) for field in fields[1:22]]
        pid = int(head)
    except ValueError:
        return None
    return Stat(
        pid=pid,
        name=name.decode("utf-8", "backslashreplace"),
        state=fields[0].decode("ascii", "replace"),
        parent=numbers[0],
        user=numbers[10],
        system=numbers[11],
        children_user=numbers[12],
        children_system=numbers[13],
        threads=numbers[16],
        started=numbers[18],
        virtual=numbers[19],
        resident=numbers[20],
    )


def parse_fields(content: bytes) -> dict[str, int]:
    """The numbers of a `name: number` file (/proc/PID/status, /proc/PID/io); lines that hold no number are left out."""
    found: dict[str, int] = {}
    for line in content.splitlines():
        name, _, value = line.partition(b":")
        first = value.split(maxsplit=1)[:1]
        if first and first[0].isdigit():
            found[name.decode("ascii", "replace")] = int(first[0])
    return found


def parse_open_files(content: bytes) -> int | None:
    """The soft limit of open files in /proc/PID/limits; None if there is none."""
    match = _OPEN_FILES.search(content)
    return int(match[1]) if match and match[1].isdigit() else None


def descendants(table: Mapping[int, Stat], roots: Iterable[int]) -> set[int]:
    """The pids of the roots that exist and of everything below them."""
    children: dict[int, list[int]] = {}
    for stat in table.values():
        children.setdefault(stat.parent, []).append(stat.pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in table]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def tops(table: Mapping[int, Stat], members: set[int]) -> set[int]:
    """The members whose parent is none."""
    return {pid for pid in members if table[pid].parent not in members}
