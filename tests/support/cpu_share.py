"""A process on half a processor: a cgroup where one can be made, else a competitor on the same core."""

from __future__ import annotations

import contextlib
import os
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CPU = Path("/sys/fs/cgroup/cpu")
UNIFIED = Path("/sys/fs/cgroup")
_NUMBERS = count()


@contextlib.contextmanager
def half_a_processor() -> Iterator[Callable[[int], None]]:
    """Returns a function that moves a process into it; skips where no such cgroup can be made."""
    unified = (UNIFIED / "cgroup.controllers").exists()
    folder = (UNIFIED if unified else CPU) / f"outrider-test-{os.getpid()}-{next(_NUMBERS)}"
    try:
        folder.mkdir()
        if unified:
            (folder / "cpu.max").write_text("50000 100000")
        else:
            (folder / "cpu.cfs_period_us").write_text("100000")
            (folder / "cpu.cfs_quota_us").write_text("50000")
    except OSError as error:
        if folder.exists():
            folder.rmdir()
        pytest.skip(f"no cgroup with a share of the processor can be made here: {error}")
    try:
        yield lambda pid: (folder / "cgroup.procs").write_text(str(pid)) and None
    finally:
        for _ in range(100):
            try:
                folder.rmdir()
                break
            except OSError:
                time.sleep(0.05)
