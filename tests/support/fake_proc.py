"""A /proc made by hand, with what psutil reads of it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from agent.testing.clock import START_NS

if TYPE_CHECKING:
    from pathlib import Path

STAT = "{pid} (app) {state} {parent} 0 0 0 -1 0 0 0 0 0 {user} 0 {waited} 0 20 0 2 0 {started} 4096 3 " + "0 " * 28
STATUS = "Name:\tapp\nThreads:\t2\nvoluntary_ctxt_switches:\t4\nnonvoluntary_ctxt_switches:\t1\n"
LIMITS = "Max open files            10                   20                   files\n"
IO = "rchar: 1\nwchar: 1\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n"

UP = 100
"""Seconds that the machine has run when a FakeClock starts."""


class FakeProc:
    """A process table; times are seconds, `started` those since the boot."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "stat").write_text(f"cpu  0 0 0 0 0 0 0 0 0 0\nbtime {START_NS // 10**9 - UP}\n")
        self.put(1, parent=0, command=b"init\0")

    def put(
        self, pid: int, *, parent: int = 1, user: int = 0, waited: int = 0, state: str = "S", started: int = 0, command: bytes = b""
    ) -> None:
        """A process, new or changed. Three files open of at most ten, two threads, two pages of memory, one of them resident."""
        home = self.root / str(pid)
        (home / "fd").mkdir(parents=True, exist_ok=True)
        ticks = os.sysconf("SC_CLK_TCK")
        values = {"pid": pid, "state": state, "parent": parent, "user": user * ticks, "waited": waited * ticks, "started": started * ticks}
        files = {"stat": STAT.format(**values), "status": STATUS, "limits": LIMITS, "io": IO, "statm": "2 1 0 0 0 0 0\n"}
        for name, content in files.items():
            (home / name).write_text(content)
        (home / "cmdline").write_bytes(command)
        for number in range(3):
            (home / "fd" / str(number)).touch()

    def drop(self, pid: int) -> None:
        """It has ended and was waited for."""
        shutil.rmtree(self.root / str(pid))
