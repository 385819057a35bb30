"""A cgroup with a memory limit, for a test to be killed in."""

from __future__ import annotations

import contextlib
import os
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = Path("/sys/fs/cgroup/memory")
UNIFIED = Path("/sys/fs/cgroup")
LIMIT = 160 << 20
_NUMBERS = count()


@contextlib.contextmanager
def limited_cgroup() -> Iterator[Path]:
    """Make one; skips where none may be made."""
    unified = (UNIFIED / "cgroup.controllers").exists()
    folder = (UNIFIED if unified else MEMORY) / f"outrider-test-{os.getpid()}-{next(_NUMBERS)}"
    try:
        folder.mkdir()
        (folder / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(LIMIT))
    except OSError as error:
        if folder.exists():
            folder.rmdir()
        pytest.skip(f"no cgroup with a memory limit can be made here: {error}")
    try:
        yield folder
    finally:
        for _ in range(100):
            try:
                folder.rmdir()
                break
            except OSError:
                time.sleep(0.05)
