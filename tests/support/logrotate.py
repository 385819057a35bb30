"""Writers whose files the real logrotate rotates, each in a mode of its own, all with the same first line."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM: Final = shutil.which("logrotate", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
MODES: Final = {
    "create": "create",
    "nocreate": "nocreate",
    "copytruncate": "copytruncate",
    "compress": "create\n compress",
    "copytruncate-compress": "copytruncate\n compress",
    "delaycompress": "create\n compress\n delaycompress",
    "dateext": "create\n dateext\n dateformat -%Y%m%d-%s",
    "olddir": "create\n olddir {folder}/old\n compress",
    "maxsize": "copytruncate\n maxsize 6k\n daily",
}
"""The configuration of each mode, in addition to the common part."""
HEADER: Final = '{"event": "header", "columns": ["n", "what"]}\n'
"""The first line of every file."""
_EVERY: Final = 1.1
"""Seconds between two rotations."""
_TOGETHER: Final = 5
"""Lines written at once."""


class Rotated(threading.Thread):
    """Writes numbered JSON lines to `MODE.log` until it is stopped, and has them rotated.

    It rests while logrotate runs, because what is written between a copy and its truncation, or to a file that is being compressed, is
    lost to every reader. As WatchedFileHandler does it, it opens the file again when that is another one by now.
    """

    def __init__(self, folder: Path, mode: str, keep: int, rate: float = 300.0) -> None:
        super().__init__()
        self.mode = mode
        self.path = folder / f"{mode}.log"
        self.lines = self.files = self.rotations = 0
        self._rate = rate
        self._over = threading.Event()
        self._state = folder.parent / f"{mode}.state"
        self._config = folder.parent / f"{mode}.conf"
        (folder / "old").mkdir(exist_ok=True)
        options = MODES[mode].format(folder=folder)
        self._config.write_text(f"{self.path} {{\n rotate {keep}\n missingok\n {options}\n}}\n")
        self._config.chmod(0o644)
        self.path.touch()

    def run(self) -> None:
        rotate_at = time.monotonic() + _EVERY
        while not self._over.wait(_TOGETHER / self._rate):
            is_bare = self._write()
            if time.monotonic() >= rotate_at:
                self._rotate()
                is_soon = random.random() < 0.3 and self.mode != "dateext"  # which has names for seconds only
                rotate_at = time.monotonic() + (_EVERY / 4 if is_soon else _EVERY)
            elif is_bare:
                self._over.wait(random.choice((0.0, 0.1, 0.4)))  # so that the header alone is read now and then, and even rotated

    def stop(self) -> None:
        """Stop writing, and wait until it has stopped."""
        self._over.set()
        self.join()

    def _write(self) -> bool:
        """Write some lines, or first of all a header; whether it was one."""
        with self.path.open("a") as file:
            if not file.tell():
                self.files += 1
                file.write(HEADER)
                return True
            for _ in range(_TOGETHER):
                file.write(f'{{"event": "line", "mode": "{self.mode}", "n": {self.lines}}}\n')
                self.lines += 1
        return False

    def _rotate(self) -> None:
        before = os.stat(self.path).st_size
        force = [] if self.mode == "maxsize" else ["--force"]
        command = [str(PROGRAM), *force, "--state", str(self._state), str(self._config)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        self.rotations += not self.path.exists() or os.stat(self.path).st_size < before


def start(folder: Path, keep: int = 8) -> list[Rotated]:
    """A writer of each mode, in a folder that it makes; so many rotated files are kept: lines that are removed unread are not expected."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chmod(folder, 0o755)  # logrotate refuses what others can write
    return [Rotated(folder, mode, keep) for mode in MODES]


def faults(writer: Rotated, numbers: list[int], headers: int) -> str:
    """In what a mode was not read as it was written; empty = each line once."""
    seen, issued = set(numbers), set(range(writer.lines))
    found = {
        "lost": len(issued - seen),
        "repeated": len(numbers) - len(seen),
        "invented": len(seen - issued),
        "headers too many": headers - writer.files,
    }
    return ", ".join(f"{count} of {writer.lines} {what}" for what, count in found.items() if count)
