"""Metrics of the agent itself: its process, its build, its spool. The workload's begin with `process.`, the agent's with `outrider.`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

import psutil

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


def process_figures() -> Iterable[Observation]:
    """Measure the agent's own process."""
    yield Observation(BUILD, 1, {"version": __version__, "python": platform.python_version()})
    try:
        yield from _usage(psutil.Process())
    except (OSError, psutil.Error):  # no /proc, or no descriptor left to read it with: the other figures are still useful
        return


def _usage(process: psutil.Process) -> Iterable[Observation]:
    with process.oneshot():
        times = process.cpu_times()
        yield Observation(CPU, times.user, {"cpu.mode": "user"})
        yield Observation(CPU, times.system, {"cpu.mode": "system"})
        yield Observation(MEMORY, process.memory_info().rss)
        yield Observation(THREADS, process.num_threads())
        yield Observation(FILES, process.num_fds() - 1)  # without the one that lists them


def spool_figures(stat: SpoolStat, now_ns: int) -> Iterable[Observation]:
    """Return the spool's figures at `now_ns` nanoseconds since the Unix epoch."""
    yield Observation(USED, stat.used)
    yield Observation(QUOTA, stat.quota)
    yield Observation(FILE_SIZE, stat.file_size)
    yield Observation(WAL_SIZE, stat.wal_size)
    yield Observation(ROWS, stat.rows)
    yield Observation(LETTERS, stat.dead_letters)
    yield Observation(OLDEST, 0 if stat.oldest_ns is None else max(0, now_ns - stat.oldest_ns) / 1e9)
    yield Observation(WRITABLE, float(stat.state == "ok"))
