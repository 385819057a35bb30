"""The program of a process, read from `/proc`: its executable, its command line, its directory; and which file is Python's `__main__`. Bounded."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from agent.target.ending import PROC

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LONGEST: Final = 16 * 1024
"""Bytes of a command line."""
DEEPEST: Final = 3
"""Generations below a launcher that are looked at, and the first children of each process."""
MOST_CHILDREN: Final = 8
_PYTHON: Final = re.compile(r"(?P<name>python|pypy)(?P<version>\d(?:\.\d+)?)?t?")
_WITH_VALUE: Final = frozenset({"-W", "-X", "--check-hash-based-pycs"})
"""Options of the interpreter that take the next word (Python's documentation, "Command line and environment")."""


@dataclass(frozen=True, slots=True)
class Program:
    """The program of a process; empty = unknown."""

    executable: str = ""
    """Absolute, links followed."""
    command: tuple[str, ...] = ()
    directory: str = ""
    """The working directory, absolute: relative paths of the command line begin there."""

    @property
    def python(self) -> re.Match[str] | None:
        """The interpreter's name, if it is Python."""
        return _PYTHON.fullmatch(PurePosixPath(self.executable).name)

    @property
    def main(self) -> tuple[str, ...]:
        """Where Python's main program may lie: absolute paths, or the last parts of one (of `-m package.module`)."""
        if self.python is None:
            return ()
        script, module = _main(self.command)
        if module:
            place = module.replace(".", "/")
            return f"{place}.py", f"{place}/__main__.py"
        if not script:
            return ()
        path = os.path.normpath(PurePosixPath(self.directory, script))
        return path, f"{path}/__main__.py"


UNKNOWN: Final = Program()


def find_program(pid: int, proc: Path = PROC, depth: int = DEEPEST) -> Program | None:
    """The present program of a process: of a launcher that waits for a Python program (a shell, `uv run`) that program. None as of `read_program`."""
    found = read_program(pid, proc)
    if found is None or found.python is not None or depth == 0:
        return found
    below = (find_program(child, proc, depth - 1) for child in _children(pid, proc))
    return next((one for one in below if one is not None and one.python is not None), found)


def _children(pid: int, proc: Path) -> list[int]:
    """The first children of a process, as its main thread has them (proc_pid_task(5)); none where the kernel does not tell."""
    try:
        listed = (proc / str(pid) / "task" / str(pid) / "children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in listed.split()[:MOST_CHILDREN]]


def read_program(pid: int, proc: Path = PROC) -> Program | None:
    """The present program of a process; None if there is none, or it is a zombie or not ours to look at."""
    home = proc / str(pid)
    try:
        executable, directory = str((home / "exe").readlink()), str((home / "cwd").readlink())
        with (home / "cmdline").open("rb") as file:
            words = file.read(LONGEST).decode("utf-8", "replace").split("\0")
    except OSError:
        return None
    return Program(executable, tuple(words[:-1]), directory)


def is_main(path: str, main: Sequence[str]) -> bool:
    """Whether a file is one of the main program's places."""
    return any(path == one or (not one.startswith("/") and path.endswith(f"/{one}")) for one in main)


def _main(command: Sequence[str]) -> tuple[str, str]:
    """The script and the module of an interpreter's command line; both are empty for `-c`, a prompt, or standard input."""
    words = iter(command[1:])
    for word in words:
        if word in _WITH_VALUE:
            next(words, "")
        elif word == "-m":
            return "", next(words, "")
        elif word == "-" or word.startswith("-c"):
            return "", ""
        elif not word.startswith("-"):
            return word, ""
        elif not word.startswith("--") and "m" in word:  # -um module, -mmodule
            return "", word.partition("m")[2] or next(words, "")
    return "", ""
