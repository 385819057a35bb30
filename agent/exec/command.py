"""Starts the command of `exec` as env(1) does: found by PATH, with the descriptors, signals and variables that were given to us.

It needs nothing of the agent: the command runs where the agent can't.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.signals import CHILD_SIGNALS_IGNORED, as_inherited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a command that could not be started (POSIX sh, 2.8.2)."""
UNKNOWN: Final = 70
"""Exit code where that of the command is unknown (EX_SOFTWARE, sysexits.h): an unknown end is never a success."""
NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
"""Errors that do not depend on the command."""
SHELL: Final = "/bin/sh"
"""The interpreter of a file without a `#!` line (execvp(3))."""
OF_THIS_PROCESS: Final = ("LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID")
"""Variables by which systemd names the process that it started (sd_listen_fds(3), sd_watchdog_enabled(3), systemd.exec(5))."""

subprocess._USE_POSIX_SPAWN = False  # type: ignore[misc] # noqa: SLF001 - as its documentation has it: glibc's leaves two signals ignored

_given: list[int] = []
"""Descriptors above 2 that we were started with."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How the command ended."""

    returncode: int | None
    """As `subprocess` gives it: the exit code, or minus the signal's number; None if it is unknown."""

    @property
    def code(self) -> int:
        """The exit code of a shell: that of the command, or 128 + signal."""
        if self.returncode is None:
            return UNKNOWN
        return self.returncode if self.returncode >= 0 else 128 - self.returncode


class StartError(Exception):
    """The command could not be started; `code` is the exit code of a shell."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def note_descriptors() -> None:
    """Remember the descriptors that were given to this process: its own ones are closed on exec (PEP 446)."""
    with contextlib.suppress(OSError):  # no /proc
        _given[:] = [number for number in map(int, os.listdir("/proc/self/fd")) if number > 2 and _inheritable(number)]  # noqa: PTH208 - numbers


def let_go() -> None:
    """Close our copies of these descriptors: a reader of a pipe, or a process that waits for a lock, must not wait for us."""
    while _given:
        with contextlib.suppress(OSError):
            os.close(_given.pop())


def _inheritable(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:  # the listing's own descriptor
        return False


def popen(command: Sequence[str], stdout: int | None = None, stderr: int | None = None) -> subprocess.Popen[bytes]:
    """Start a command on these descriptors, or on ours; raise `StartError` if it can't be executed.

    OSError: this process has too few descriptors, or the system no room for another process; without the agent it may have.
    """
    _restore_locale()
    try:
        with as_inherited():
            return _find_and_execute(command, stdout, stderr)
    except FileNotFoundError as error:
        reason = "the interpreter that its first line names was not found" if os.path.exists(command[0]) else "command not found"  # noqa: PTH110 - a word, not a path
        raise StartError(f"{command[0]}: {reason}", NOT_FOUND) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in a word
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        raise StartError(f"{command[0]}: {getattr(error, 'strerror', None) or error}", NOT_EXECUTABLE) from error


def _find_and_execute(command: Sequence[str], stdout: int | None, stderr: int | None) -> subprocess.Popen[bytes]:
    """Execute the first file of PATH that can be executed, as execvp(3) does; PermissionError if there is one, and none can."""
    last: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for path in _paths(command[0]):
        try:
            os.stat(path)  # noqa: PTH116 - spares a process for each directory without it
            return _execute(path, command, stdout, stderr)
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            last = last if isinstance(last, PermissionError) else error
    raise last


def _paths(name: str) -> Iterator[str]:
    if "/" in name:
        yield name
    elif name:
        yield from (os.path.join(directory or ".", name) for directory in os.get_exec_path())  # noqa: PTH118 - bytes of any kind


def _execute(path: str, command: Sequence[str], stdout: int | None, stderr: int | None) -> subprocess.Popen[bytes]:
    def start(words: Sequence[str], executable: str) -> subprocess.Popen[bytes]:
        # what the command inherits is the user's; the function runs only where nothing else can do what it does
        return subprocess.Popen(  # noqa: S603
            words,
            executable=executable,
            stdout=stdout,
            stderr=stderr,
            close_fds=False,
            preexec_fn=_in_the_child(),  # noqa: PLW1509
        )

    try:
        return start(command, path)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        return start([SHELL, path, *command[1:]], SHELL)


def _in_the_child() -> Callable[[], None] | None:
    """Return a function for the new process, right before it executes the command; mostly None."""
    names = [name for name in OF_THIS_PROCESS if os.environ.get(name) == str(os.getpid())]
    ignored = [signal.SIGCHLD] if CHILD_SIGNALS_IGNORED else []
    if "SYSTEMD_EXEC_PID" in names:  # its services ignore SIGPIPE (systemd.exec(5), IgnoreSIGPIPE=), as does CPython, which hides that
        ignored.append(signal.SIGPIPE)

    def prepare() -> None:
        for name in names:
            os.environ[name] = str(os.getpid())
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    return prepare if names or ignored else None


def _restore_locale() -> None:
    """Restore LC_CTYPE, which CPython sets in the C locale (PEP 538)."""
    with contextlib.suppress(OSError):
        given = dict(pair.partition(b"=")[::2] for pair in Path("/proc/self/environ").read_bytes().split(b"\0"))
        if b"LC_CTYPE" not in given:
            os.environ.pop("LC_CTYPE", None)
        else:
            os.environb[b"LC_CTYPE"] = given[b"LC_CTYPE"]


def say(line: str) -> None:
    """Write a line to standard error. If that fails the command runs nevertheless."""
    with contextlib.suppress(OSError, ValueError):
        os.write(2, line.encode("utf-8", "backslashreplace") + b"\n")
