"""Resource usage of a process tree: CPU, memory, threads, file descriptors, context switches, disk I/O.

It reads /proc only, needs no capability for most of it, and says which figures it could not read and what would allow them. It never reads an
environment; it reads command lines only to find a target by one, and hands none on. When the target is away its counters stay where they
are and its gauges are gone; when it comes back, perhaps as another process, they go on: a sum over a tree never falls.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import Field, field_validator

from agent.component import ComponentConfig, Context
from agent.metrics import Kind, Metric, Observation
from agent.parse.proc import descendants, tops
from agent.target.find import check_target, finder
from agent.target.procfs import ProcDir
from agent.target.usage import TICKS, History, Usage
from agent.telemetry import FiguresUnreadable, TargetChanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.parse.proc import Stat

_CPU: Final = Metric("process.cpu.time", Kind.COUNTER, "s", "Processor time of the target's processes, the ended ones included.")
_RSS: Final = Metric(
    "process.memory.usage", Kind.UPDOWN, "By", "Resident memory of the target's processes; pages that they share count for each."
)
_VIRTUAL: Final = Metric("process.memory.virtual", Kind.UPDOWN, "By", "Virtual memory of the target's processes.")
_THREADS: Final = Metric("process.thread.count", Kind.UPDOWN, "{thread}", "Threads of the target's processes.")
_FDS: Final = Metric(
    "process.unix.file_descriptor.count", Kind.UPDOWN, "{file_descriptor}", "File descriptors that the target's processes have open."
)
_FD_USE: Final = Metric(
    "process.unix.file_descriptor.utilization",
    Kind.GAUGE,
    "1",
    "Open file descriptors against the soft limit, of the process that is nearest to it.",
)
_SWITCHES: Final = Metric("process.context_switches", Kind.COUNTER, "{context_switch}", "Context switches of the target's processes.")
_DISK: Final = Metric("process.disk.io", Kind.COUNTER, "By", "Bytes that the target's processes made the storage read and write.")
_UPTIME: Final = Metric("process.uptime", Kind.GAUGE, "s", "How long the target's oldest process has run.")
_PROCESSES: Final = Metric("outrider.target.processes", Kind.GAUGE, "{process}", "Processes of the target.")
_EXITS: Final = Metric(
    "outrider.target.exits", Kind.COUNTER, "{process}", "Processes of the target that have ended, as far as samples saw them."
)
_RESTARTS: Final = Metric(
    "outrider.target.restarts", Kind.COUNTER, "{restart}", "Main processes of the target that came after one that had ended."
)

_REMEDY: Final = "run the agent as the target's user, or give it CAP_SYS_PTRACE"


class ProcessTreeConfig(ComponentConfig):
    """A target to measure."""

    target: str
    """Whose resources: `pid:N`, `pidfile:PATH`, `name:REGEX` (searched in the command line) or `cgroup:PATH` (its members)."""
    children: bool = True
    """Count the target's descendants as well."""
    proc_dir: Path = Field(default=Path("/proc"))
    """Where the process table is mounted; `/host/proc`, say, where a container shows the machine's there."""

    @field_validator("target")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        return check_target(value)


class ProcessTree:
    """The sampler."""

    Config: ClassVar = ProcessTreeConfig

    def __init__(self, config: ProcessTreeConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._proc = ProcDir(config.proc_dir)
        self._find = finder(config.target, self._proc)
        self._history = History()
        self._told: set[str] = set()
        self._present: bool | None = None

    def sample(self) -> Sequence[Observation]:
        """The present figures of the tree."""
        table = self._proc.table()
        uptime = self._proc.uptime()
        roots = self._find(table, uptime) & table.keys()
        members = [table[pid] for pid in (descendants(table, roots) if self._config.children else roots)]
        alive = {stat.pid: stat for stat in members if stat.state != "Z"}
        usage = self._measure(members)
        self._history.note(usage, {stat.identity for stat in alive.values()}, {alive[pid].identity for pid in tops(table, set(alive))})
        self._tell(present=bool(alive))
        age = uptime - min(stat.started for stat in alive.values()) / TICKS if alive else None
        labels = {"scope": "process_tree", "target": self._config.target}
        return list(_observations(self._history, usage, age, labels, self._history.since(self._context.clock.wall_ns(), age)))

    async def close(self) -> None:
        """Nothing is held."""

    def _measure(self, members: Iterable[Stat]) -> Usage:
        usage = Usage()
        for stat in members:
            usage.add(stat)
            if stat.state != "Z":
                usage.add_switches(self._proc.fields(stat.pid, "status"))
                usage.add_files(self._proc.open_files(stat.pid), self._proc.open_files_limit(stat.pid))
                usage.add_disk(self._proc.fields(stat.pid, "io"))
        for figures in sorted(usage.unreadable - self._told):
            self._told.add(figures)
            self._context.telemetry.emit(FiguresUnreadable(self._context.name, figures, _REMEDY))
        return usage

    def _tell(self, *, present: bool) -> None:
        if present is not self._present:
            self._present = present
            self._context.telemetry.emit(TargetChanged(self._context.name, self._config.target, "found" if present else "gone"))


def _observations(history: History, usage: Usage, age: float | None, labels: dict[str, str], start_ns: int) -> Iterable[Observation]:
    total = {name: one.total for name, one in history.counted.items()}
    yield Observation(_PROCESSES, usage.processes, labels)
    yield Observation(_EXITS, history.exits, labels)
    yield Observation(_RESTARTS, history.restarts, labels)
    for mode in ("user", "system"):
        yield Observation(_CPU, total[mode], {**labels, "cpu.mode": mode}, start_ns)
    for kind in ("voluntary", "involuntary"):
        yield Observation(_SWITCHES, total[kind], {**labels, "process.context_switch.type": kind}, start_ns)
    if "disk I/O" not in usage.unreadable:
        yield Observation(_DISK, total["read"], {**labels, "disk.io.direction": "read"}, start_ns)
        yield Observation(_DISK, total["written"], {**labels, "disk.io.direction": "write"}, start_ns)
    if age is not None:
        yield from _gauges(usage, age, labels)


def _gauges(usage: Usage, age: float, labels: dict[str, str]) -> Iterable[Observation]:
    yield Observation(_UPTIME, age, labels)
    yield Observation(_RSS, usage.resident, labels)
    yield Observation(_VIRTUAL, usage.virtual, labels)
    yield Observation(_THREADS, usage.threads, labels)
    if "file descriptors" not in usage.unreadable:
        yield Observation(_FDS, usage.files, labels)
        yield Observation(_FD_USE, usage.files_use, labels)
