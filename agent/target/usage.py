"""Adding up a process tree, sample by sample, so that no counter falls when a process ends. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.parse.proc import Stat

TICKS: Final = os.sysconf("SC_CLK_TCK")
"""Clock ticks a second."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
COUNTED: Final = ("user", "system", "voluntary", "involuntary", "read", "written")
"""The sums that are counters."""


@dataclass(slots=True)
class Usage:
    """The sums of one sample over the living processes."""

    processes: int = 0
    user: float = 0.0
    """Seconds, with the children that were waited for; so is `system`."""
    system: float = 0.0
    resident: int = 0
    virtual: int = 0
    threads: int = 0
    voluntary: int = 0
    involuntary: int = 0
    files: int = 0
    files_use: float = 0.0
    """Of the process that is nearest to its limit, 0 to 1."""
    read: int = 0
    written: int = 0
    unreadable: set[str] = field(default_factory=set)

    def add(self, stat: Stat) -> None:
        """Add what /proc/PID/stat says.

        One that has ended and waits to be waited for (a zombie) still has its processor time and nothing else.
        """
        self.processes += stat.state != "Z"
        self.user += (stat.user + stat.children_user) / TICKS
        self.system += (stat.system + stat.children_system) / TICKS
        self.resident += stat.resident * _PAGE
        self.virtual += stat.virtual
        self.threads += stat.threads

    def add_switches(self, fields: Mapping[str, int] | None) -> None:
        """Add what /proc/PID/status says; None = may not be read."""
        if fields is None:
            self.unreadable.add("context switches")
            return
        self.voluntary += fields.get("voluntary_ctxt_switches", 0)
        self.involuntary += fields.get("nonvoluntary_ctxt_switches", 0)

    def add_files(self, count: int | None, limit: int | None) -> None:
        """Add the number of open files; None = may not be read."""
        if count is None:
            self.unreadable.add("file descriptors")
            return
        self.files += count
        if limit:
            self.files_use = max(self.files_use, count / limit)

    def add_disk(self, fields: Mapping[str, int] | None) -> None:
        """Add what /proc/PID/io says; None = may not be read."""
        if fields is None:
            self.unreadable.add("disk I/O")
            return
        self.read += fields.get("read_bytes", 0)
        self.written += fields.get("write_bytes", 0)


class Monotone:
    """A sum over living processes, made one that never falls.

    A process that is waited for hands its processor time and I/O to its parent, so usually nothing is lost. What is lost all the same (nobody
    waited, the whole tree was replaced) shows as a fall of the sum, and is carried from then on.
    """

    def __init__(self) -> None:
        self._last = 0.0
        self._carried = 0.0

    def note(self, value: float) -> None:
        """Take the sum of this sample."""
        self._carried += max(0.0, self._last - value)
        self._last = value

    @property
    def total(self) -> float:
        """The sum that never falls."""
        return self._carried + self._last


class History:
    """What outlives the processes: counters, exits, restarts, and since when."""

    def __init__(self) -> None:
        self.counted = {name: Monotone() for name in COUNTED}
        self.exits = 0
        self.restarts = 0
        self._alive: set[tuple[int, int]] = set()
        self._mains: set[tuple[int, int]] = set()
        self._vacant = 0
        """Main processes that have ended and were not replaced."""
        self._start_ns = 0

    def note(self, usage: Usage, alive: set[tuple[int, int]], mains: set[tuple[int, int]]) -> None:
        """Take a sample: its sums, and the identities of the living processes and of the topmost among them."""
        for name, sum_ in self.counted.items():
            sum_.note(getattr(usage, name))
        self.exits += len(self._alive - alive)
        self._vacant += len(self._mains - alive)
        replaced = min(self._vacant, len(mains - self._alive))
        self.restarts += replaced
        self._vacant -= replaced
        self._alive, self._mains = alive, mains

    def since(self, now_ns: int, age: float | None) -> int:
        """When the counters began, nanoseconds since the Unix epoch: with the first process that was seen. `age` is the oldest one's, in seconds."""
        if not self._start_ns and age is not None:
            self._start_ns = now_ns - round(age * 1e9)
        return self._start_ns or now_ns
