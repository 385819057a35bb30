"""The figures of processes, as psutil reads them, added up."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psutil

from agent.target.processes import open_files_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from agent.target.usage import Usage


def add_cpu(usage: Usage, members: Iterable[psutil.Process]) -> tuple[list[psutil.Process], set[psutil.Process]]:
    """Add the processor time of all, their waited-for children's included; return those that live, and the zombies.

    All of it before anything else is read: a child that ends after its parent and before itself was read counts twice, so that this
    gap must be short.
    """
    alive: list[psutil.Process] = []
    zombies: set[psutil.Process] = set()
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess), process.oneshot():
            times = process.cpu_times()
            usage.add_cpu(times.user + times.children_user, times.system + times.children_system)
            if process.status() == psutil.STATUS_ZOMBIE:
                zombies.add(process)
            else:
                alive.append(process)
    return alive, zombies


def add_figures(usage: Usage, process: psutil.Process, root: Path) -> None:
    """Add everything else of a living process; what may not be read is named in `usage.unreadable`."""
    usage.processes += 1
    with process.oneshot():
        with _readable(usage, "memory"):
            memory = process.memory_info()
            usage.add_memory(memory.rss, memory.vms)
        with _readable(usage, "threads"):
            usage.threads += process.num_threads()
        with _readable(usage, "context switches"):
            switches = process.num_ctx_switches()
            usage.add_switches(switches.voluntary, switches.involuntary)
        with _readable(usage, "file descriptors"):
            usage.add_files(process.num_fds(), open_files_limit(root, process.pid))
        with _readable(usage, "disk I/O"):
            disk = process.io_counters()
            usage.add_disk(disk.read_bytes, disk.write_bytes)


@contextlib.contextmanager
def _readable(usage: Usage, figures: str) -> Iterator[None]:
    """Processes that have ended meanwhile add nothing; figures that we may not read, or the kernel does not count (psutil then has no such method), are named."""
    try:
        yield
    except psutil.NoSuchProcess:
        return
    except (psutil.AccessDenied, AttributeError, NotImplementedError):
        usage.unreadable.add(figures)
