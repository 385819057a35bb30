"""What processes that a command left behind write after its end: passed on by a process that outlives us, and counted for the next agent.

They would go on to write into what we write to, had there been no agent; with us they write into a pipe that breaks when we end. So its last
reader is a process of its own (`passing.py`, run by the bare interpreter: about 8 MiB), which ends with the last writer, or when nothing reads
any more what it writes. It stores nothing: the lines are counted in a small file in the state directory, which it holds locked while it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.exec import passing
from agent.signals import ENDING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX: Final = "left-behind."


class Uncollected(NamedTuple):
    """What one such process has passed on."""

    file: Path
    lines: int


def hand_over(source: int, sink: int, directory: Path | None) -> bool:
    """Have a process of its own pass on what comes, and count it in this directory; whether it could be started."""
    count = _counter(directory)
    actions = [
        (os.POSIX_SPAWN_DUP2, source, 0),
        (os.POSIX_SPAWN_DUP2, sink, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, count, passing.COUNT),
    ]
    try:
        os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", passing.__file__], {}, file_actions=actions, setsigmask=ENDING)
    except OSError:
        return False
    finally:
        os.close(count)
    return True


def _counter(directory: Path | None) -> int:
    """A file to count in, locked for as long as it is open anywhere (flock(2)); /dev/null where there can be none."""
    if directory is not None:
        with contextlib.suppress(OSError):
            file, _ = tempfile.mkstemp(prefix=PREFIX, dir=directory)
            fcntl.flock(file, fcntl.LOCK_EX)
            return file
    return os.open(os.devnull, os.O_WRONLY)


def uncollected(directory: Path) -> Iterator[Uncollected]:
    """The counts of those that have ended. The caller deletes the file of one that it has accounted for."""
    for file in sorted(directory.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError), file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = opened.read(32).strip()
            yield Uncollected(file, int(text) if text.isdigit() else 0)
