"""Resource usage of a process tree: CPU, memory, threads, file descriptors, context switches, disk I/O.

psutil reads it, without any capability for most of it; figures that could not be read, and what would allow them, are reported. It never reads an
environment; it reads command lines only to find a target by one, and hands none on. When the target is away its counters stay where they
are and its gauges are gone; when it comes back, perhaps as another process, they continue: a sum over a tree never falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import Field, field_validator

from agent.component import ComponentConfig, Context
from agent.metrics import Kind, Metric, Observation
from agent.options import FilePath  # noqa: TC001 - pydantic reads it
from agent.target.find import check_target, finder
from agent.target.measure import add_cpu, add_figures
from agent.target.processes import Reader, mounted
from agent.target.usage import History, Usage
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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

_REMEDY: Final = "run the agent as the target's user, or give it CAP_SYS_PTRACE (disk I/O also needs a kernel that counts it)"


@dataclass(frozen=True, slots=True)
class FiguresUnreadable(Event):
    """Figures that could not be read, and what would allow it. Reported once per component and figure."""

    name = "figures unreadable"
    level = Level.WARNING
    labels = ("component", "figures")
    component: str
    figures: str
    remedy: str


@dataclass(frozen=True, slots=True)
class TargetChanged(Event):
    """The observed process appeared or ended."""

    name = "target changed"
    labels = ("component", "what")
    component: str
    target: str
    what: str
    """`found` or `gone`."""
    reason: str = ""
    """The reason why it is gone."""


class ProcessTreeConfig(ComponentConfig):
    """A target to measure."""

    target: str
    """The process to measure: `pid:N`, `pidfile:PATH`, `name:REGEX` (searched in the command line) or `cgroup:PATH` (its members)."""
    children: bool = True
    """Count the target's descendants as well."""
    proc_dir: FilePath = Field(default=Path("/proc"))
    """Mount point of the process table, such as `/host/proc` where a container shows the machine's there."""

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
        self._reader = Reader()
        self._finder = finder(config.target)
        self._history = History()
        self._reported: set[str] = set()
        self._present: bool | None = None
        self.proc_dir = config.proc_dir
        self.mains: frozenset[int] = frozenset()
        """The topmost processes of the last sample: the host watches them for their ends."""

    def doubts(self) -> list[str]:
        """Why there is no such process now."""
        target = finder(self._config.target)
        try:
            with mounted(self._config.proc_dir):
                found = target.find(Reader().read(self._context.clock.wall_ns() / 1e9))
        except OSError as error:
            return [f"{self._config.proc_dir} holds no process table: {error.strerror}; name another proc_dir"]
        return [] if found else [self._absence(target.why)]

    def troubles(self) -> list[str]:
        """The same of the last sample."""
        return [self._absence(self._finder.why)] if self._present is False else []

    def _absence(self, why: str) -> str:
        return f"{self._config.target} is not there now: {why}"

    def sample(self) -> Sequence[Observation]:
        """The present figures of the tree."""
        now_ns = self._context.clock.wall_ns()
        with mounted(self._config.proc_dir):
            table = self._reader.read(now_ns / 1e9)
            roots = self._finder.find(table)
            members = table.descendants(roots) if self._config.children else roots
            usage = Usage()
            alive, zombies = add_cpu(usage, [table.processes[pid] for pid in members])
            for process in alive:
                add_figures(usage, process, self._config.proc_dir)
            age = table.age_of_oldest(alive)
        mains = {table.processes[pid] for pid in table.tops({process.pid for process in alive})}
        self.mains = frozenset(main.pid for main in mains)
        self._history.note(usage, set(alive), mains, zombies)
        self._tell(usage.unreadable, present=bool(alive))
        labels = {"scope": "process_tree", "target": self._config.target}
        return list(_observations(self._history, usage, age, labels, self._history.since(now_ns, age)))

    async def close(self) -> None:
        """Nothing is held."""

    def _tell(self, unreadable: set[str], *, present: bool) -> None:
        for figures in sorted(unreadable - self._reported):
            self._reported.add(figures)
            self._context.telemetry.emit(FiguresUnreadable(self._context.name, figures, _REMEDY))
        if present is not self._present:
            self._present = present
            self._context.telemetry.emit(
                TargetChanged(self._context.name, self._config.target, "found" if present else "gone", self._finder.why)
            )


def _observations(history: History, usage: Usage, age: float | None, labels: dict[str, str], start_ns: int) -> Iterable[Observation]:
    total = {name: one.total for name, one in history.counted.items()}
    yield Observation(_PROCESSES, usage.processes, labels)
    yield Observation(_EXITS, history.exits, labels)
    yield Observation(_RESTARTS, history.restarts, labels)
    for mode in ("user", "system"):
        yield Observation(_CPU, total[mode], {**labels, "cpu.mode": mode}, start_ns)
    if "context switches" not in usage.unreadable:
        for kind in ("voluntary", "involuntary"):
            yield Observation(_SWITCHES, total[kind], {**labels, "process.context_switch.type": kind}, start_ns)
    if "disk I/O" not in usage.unreadable:
        yield Observation(_DISK, total["read"], {**labels, "disk.io.direction": "read"}, start_ns)
        yield Observation(_DISK, total["written"], {**labels, "disk.io.direction": "write"}, start_ns)
    if age is not None:
        yield from _gauges(usage, age, labels)


def _gauges(usage: Usage, age: float, labels: dict[str, str]) -> Iterable[Observation]:
    yield Observation(_UPTIME, age, labels)
    if "memory" not in usage.unreadable:
        yield Observation(_RSS, usage.resident, labels)
        yield Observation(_VIRTUAL, usage.virtual, labels)
    if "threads" not in usage.unreadable:
        yield Observation(_THREADS, usage.threads, labels)
    if "file descriptors" not in usage.unreadable:
        yield Observation(_FDS, usage.files, labels)
        yield Observation(_FD_USE, usage.files_use, labels)
