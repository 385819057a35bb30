"""The output of processes that a command left behind: a process that outlives us passes it on, and counts it for the next agent.

Without an agent they would write to the same place as before. With one they write into a pipe that breaks when the agent ends. So the last reader
of the pipe is a process of its own (`passing.py`, run by the bare interpreter: about 8 MiB). It ends with the last writer, or when its own output has
no reader any longer. It stores no lines; it counts them in a small file in the state directory, which is locked while it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Final

from agent.exec import passing
from agent.signals import ENDING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX: Final = "left-behind."


def hand_over(source: int, sink: int, directory: Path | None) -> bool:
    """Start a process that passes on the bytes of `source`, and counts in this directory; return whether it could be started."""
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
    """Open a file to count in, locked as long as any process has it open (flock(2)); /dev/null if there can't be one."""
    if directory is not None:
        with contextlib.suppress(OSError):
            file, _ = tempfile.mkstemp(prefix=PREFIX, dir=directory)
            fcntl.flock(file, fcntl.LOCK_EX)
            return file
    return os.open(os.devnull, os.O_WRONLY)


def uncollected(directory: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files of processes that have ended, with the lines that each has passed on. The caller deletes the file once it is accounted for."""
    for file in sorted(directory.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError), file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = opened.read(32).strip()
            yield file, int(text) if text.isdigit() else 0
