"""A process that is not the agent's child, for the agent to watch: it waits for a word before it does what it is to do, and its parent reaps it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

WAIT = "import os, sys\nprint(os.getpid(), flush=True)\nsys.stdin.readline()\n"


class Target:
    """`with Target(program, log) as target`: its stderr goes to `log`."""

    def __init__(self, program: str, log: Path, *, before: str = "") -> None:
        """`before`: what a shell does first, in the same process."""
        self._command = ["sh", "-c", f'{before} "$@" 2>>{log}; true', "sh", sys.executable, "-c", WAIT + program]

    def __enter__(self) -> Self:
        self._shell = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = int(self._shell.stdout.readline())
        return self

    def go(self, *, wait: bool = True) -> None:
        """Let it do it, and wait for its end."""
        self._shell.stdin.write(b"go\n")
        self._shell.stdin.flush()
        if wait:
            self._shell.wait()

    def __exit__(self, *error: object) -> None:
        self._shell.stdin.close()
        self._shell.wait()
        self._shell.stdout.close()
