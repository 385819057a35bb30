"""The command of `exec` without an agent, where the agent can't run or has failed. Its output is passed on without one."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import traceback
from typing import TYPE_CHECKING, Final

from agent.errors import OutriderError, first_cause
from agent.exec.command import NO_ROOM, NOT_EXECUTABLE, Exit, StartError, let_go, popen, say
from agent.exec.listener import stop_as_usual
from agent.signals import ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.exec.child import Child
    from agent.exec.listener import Listener

LIMITS: Final = {errno.EMFILE: "; raise the limit of open files (ulimit -n)", errno.ENFILE: "; raise fs.file-max (proc(5))"}
NO_THREAD: Final = "can't start new thread"
"""The message of CPython where pthread_create(3) fails."""


def go_on(error: Exception, child: Child | None, command: Sequence[str], listener: Listener) -> int:
    """Print why there is no agent from now on, and wait for the end of the command."""
    say("\n".join(f"outrider: {line}" for line in (*_reason(error).split("\n"), "the command goes on without being observed")))
    return see_to_its_end(child, command, listener)


def _reason(error: Exception) -> str:
    """One line where the system has no room for the agent; a mistake of the agent with its traceback."""
    cause = first_cause(error)
    if isinstance(cause, OutriderError):
        return str(cause)
    if isinstance(cause, OSError) and cause.errno in NO_ROOM:
        return f"the agent can't run: {cause.strerror}{LIMITS.get(cause.errno, '')}"
    if isinstance(cause, RuntimeError) and str(cause) == NO_THREAD:
        return f"the agent can't run: {NO_THREAD}; raise the limit of processes (ulimit -u, pids.max)"
    return "".join(traceback.format_exception(error)).rstrip()


def see_to_its_end(child: Child | None, command: Sequence[str], listener: Listener) -> int:
    """Start the command unless it runs already, hand signals on, reap, and return its exit code as a shell does."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # inherited: the kernel would reap, and keep the exit code
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        process = child.process if child is not None else popen(command)
    except (StartError, OSError) as error:
        say(f"outrider: {error}")
        return error.code if isinstance(error, StartError) else NOT_EXECUTABLE
    let_go()
    listener.deliver_to(lambda number, by_terminal: _hand_on(process.pid, number, by_terminal))
    if process.returncode is None:
        process.returncode = _wait_for(process.pid)
    code = Exit(process.returncode).code
    listener.deliver_to(lambda number, _by_terminal: os._exit(code) if ends(number) else None)
    if child is not None:
        child.pass_the_rest_on()
    return code


def _hand_on(pid: int, number: int, by_terminal: bool) -> None:
    with contextlib.suppress(
        OSError
    ):  # it runs as another user (`sudo`) or has just ended; the calling thread lives on for the next signal
        if number != signal.SIGCHLD and not (by_terminal and os.getpgid(pid) == os.getpgrp()):
            os.kill(pid, number)
    if number == signal.SIGTSTP:
        stop_as_usual()


def _wait_for(pid: int) -> int | None:
    """Reap children until the command has ended. Return its exit code or minus the number of its signal; None if other code has waited for it."""
    while True:
        try:
            ended, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return None
        if ended == pid:
            return os.waitstatus_to_exitcode(status)
