"""Adding up a process tree, sample by sample, so that no counter falls when a process ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable
    from collections.abc import Set as AbstractSet

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

    def add_cpu(self, user: float, system: float) -> None:
        """Add processor time in seconds: also of one that has ended and waits to be waited for (a zombie), which has nothing else."""
        self.user += user
        self.system += system

    def add_memory(self, resident: int, virtual: int) -> None:
        """Add bytes."""
        self.resident += resident
        self.virtual += virtual

    def add_switches(self, voluntary: int, involuntary: int) -> None:
        """Add context switches."""
        self.voluntary += voluntary
        self.involuntary += involuntary

    def add_files(self, count: int, limit: int | None) -> None:
        """Add open files, and look how near their process is to its limit, if it has one."""
        self.files += count
        if limit:
            self.files_use = max(self.files_use, count / limit)

    def add_disk(self, read: int, written: int) -> None:
        """Add bytes that the storage moved."""
        self.read += read
        self.written += written


class Monotone:
    """A sum over living processes, made one that never falls.

    A process that is waited for hands its processor time and I/O to its parent, so usually nothing is lost. A loss nevertheless (no process
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
    """Figures that outlive the processes: counters, exits, restarts, and since when."""

    def __init__(self) -> None:
        self.counted = {name: Monotone() for name in COUNTED}
        self.exits = 0
        self.restarts = 0
        self._alive: AbstractSet[Hashable] = frozenset()
        self._zombies: AbstractSet[Hashable] = frozenset()
        self._mains: AbstractSet[Hashable] = frozenset()
        self._vacant = 0
        """Main processes that have ended and were not replaced."""
        self._start_ns = 0

    def note(
        self, usage: Usage, alive: AbstractSet[Hashable], mains: AbstractSet[Hashable], zombies: AbstractSet[Hashable] = frozenset()
    ) -> None:
        """Take a sample: its sums, the living processes, the topmost among them, and those that have ended and wait for their parent.

        A process that no sample saw alive is counted as an exit by its zombie.
        """
        for name, sum_ in self.counted.items():
            sum_.note(getattr(usage, name))
        self.exits += len(self._alive - alive) + len(zombies - self._zombies - self._alive)
        self._vacant += len(self._mains - alive)
        replaced = min(self._vacant, len(mains - self._alive))
        self.restarts += replaced
        self._vacant -= replaced
        self._alive, self._mains, self._zombies = alive, mains, zombies

    def since(self, now_ns: int, age: float | None) -> int:
        """When the counters began, nanoseconds since the Unix epoch: with the first process that was seen. `age` is the oldest one's, in seconds."""
        if not self._start_ns and age is not None:
            self._start_ns = now_ns - round(age * 1e9)
        return self._start_ns or now_ns
