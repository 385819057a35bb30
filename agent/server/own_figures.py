"""What the agent says of itself: its process, its build, its spool. The workload's figures are called `process.*`, ours `outrider.*`."""

from __future__ import annotations

import os
import platform
import resource
import threading
from typing import TYPE_CHECKING, Final

from agent import __version__
from agent.metrics import Kind, Metric, Observation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.spool.values import SpoolStat

BUILD: Final = Metric("outrider.build_info", Kind.GAUGE, "", "1; the labels say what runs.")
CPU: Final = Metric("outrider.process.cpu.time", Kind.COUNTER, "s", "Processor time of the agent itself.")
MEMORY: Final = Metric("outrider.process.memory.usage", Kind.UPDOWN, "By", "Resident memory of the agent itself.")
FILES: Final = Metric(
    "outrider.process.unix.file_descriptor.count", Kind.UPDOWN, "{file_descriptor}", "File descriptors that the agent has open."
)
THREADS: Final = Metric("outrider.process.thread.count", Kind.UPDOWN, "{thread}", "Threads of the agent itself.")
USED: Final = Metric("outrider.spool.used", Kind.GAUGE, "By", "Bytes in use in the spool.")
QUOTA: Final = Metric("outrider.spool.quota", Kind.GAUGE, "By", "Bytes that the spool may use.")
FILE_SIZE: Final = Metric("outrider.spool.file_size", Kind.GAUGE, "By", "Size of the spool's file.")
WAL_SIZE: Final = Metric("outrider.spool.wal_size", Kind.GAUGE, "By", "Size of the spool's write-ahead log.")
ROWS: Final = Metric("outrider.spool.rows", Kind.GAUGE, "{row}", "Rows in the spool.")
LETTERS: Final = Metric("outrider.spool.dead_letters", Kind.GAUGE, "{letter}", "Dead letters that are kept in the spool.")
OLDEST: Final = Metric("outrider.spool.oldest_row_age", Kind.GAUGE, "s", "Age of the oldest row in the spool; 0 if it is empty.")
WRITABLE: Final = Metric("outrider.spool.writable", Kind.GAUGE, "", "Whether the spool takes records.")

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def process_figures() -> Iterable[Observation]:
    """The agent's own process, now."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield Observation(BUILD, 1, {"version": __version__, "python": platform.python_version()})
    yield Observation(CPU, usage.ru_utime, {"cpu.mode": "user"})
    yield Observation(CPU, usage.ru_stime, {"cpu.mode": "system"})
    yield Observation(THREADS, threading.active_count())
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - read often
            yield Observation(MEMORY, int(file.read().split()[1]) * _PAGE)
        yield Observation(FILES, len(os.listdir("/proc/self/fd")) - 1)  # noqa: PTH208 - as above; less the one that lists
    except OSError:  # no /proc, or no descriptor left to read it with: the rest is worth having
        return


def spool_figures(stat: SpoolStat, now_ns: int) -> Iterable[Observation]:
    """The spool, at `now_ns` nanoseconds since the Unix epoch."""
    yield Observation(USED, stat.used)
    yield Observation(QUOTA, stat.quota)
    yield Observation(FILE_SIZE, stat.file_size)
    yield Observation(WAL_SIZE, stat.wal_size)
    yield Observation(ROWS, stat.rows)
    yield Observation(LETTERS, stat.dead_letters)
    yield Observation(OLDEST, 0 if stat.oldest_ns is None else max(0, now_ns - stat.oldest_ns) / 1e9)
    yield Observation(WRITABLE, float(stat.state == "ok"))
