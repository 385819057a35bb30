"""The command of `exec` without an agent: when the agent can't run, or has failed. Passing output on needs none."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from agent.host.wrapped import ENDING
from agent.sources.child import Exit, StartError, popen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.signals import Listener
    from agent.sources.child import Child


def see_to_its_end(child: Child | None, command: Sequence[str], listener: Listener) -> int:
    """Start the command unless it runs already, hand signals on, reap, and return its exit code as a shell would."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as it may be inherited, the kernel would reap, and keep the exit code
    try:
        process = child.process if child is not None else popen(command)
    except StartError as error:
        print(f"outrider: {error}", file=sys.stderr)  # noqa: T201 - as a shell would say it
        return error.code
    listener.deliver_to(lambda number, by_kernel: _hand_on(process.pid, number, by_kernel))
    if process.returncode is None:
        process.returncode = _wait_for(process.pid)
    code = Exit(process.returncode).code
    listener.deliver_to(lambda number, _by_kernel: os._exit(code) if number in ENDING else None)
    if child is not None:
        child.pass_the_rest_on()
    return code


def _hand_on(pid: int, number: int, by_kernel: bool) -> None:
    with contextlib.suppress(
        OSError
    ):  # another user's (`sudo`), or gone this moment: the thread that calls us is needed for the next signal
        if not (by_kernel and os.getpgid(pid) == os.getpgrp()):
            os.kill(pid, number)


def _wait_for(pid: int) -> int:
    """Reap whoever ends until it is the command; its exit code, or minus the signal's number."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return os.waitstatus_to_exitcode(status)
