"""The time that a process was ready to run and the machine did not run it: a bound on time is judged without it."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Self

EVERY = 0.05
"""Seconds between two readings."""


class Waiting:
    """`with Waiting(pid) as waiting`: reads the run queue's delay of all threads of a process (schedstat, second field)."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._by_task: dict[str, int] = {}
        self._times: list[int] = []
        self._delays: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read_on)

    def __enter__(self) -> Self:
        self._read()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._read()

    def between(self, began: int, ended: int) -> int:
        """Nanoseconds of delay between two times (Unix epoch, ns), rounded up to whole readings."""
        first = max(0, bisect_right(self._times, began) - 1)
        last = min(len(self._times) - 1, bisect_left(self._times, ended))
        return self._delays[last] - self._delays[first]

    def _read_on(self) -> None:
        while not self._over.wait(EVERY):
            self._read()

    def _read(self) -> None:
        for task in self._tasks.glob("*"):
            try:
                self._by_task[task.name] = int((task / "schedstat").read_text().split()[1])
            except OSError:  # the thread has ended
                continue
        self._times.append(time.time_ns())
        self._delays.append(sum(self._by_task.values()))
