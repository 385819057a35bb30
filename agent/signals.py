"""Signals that come before they can be acted on, and what they are.

`hold` blocks them, first of all: a blocked signal waits in the kernel, even one that PID 1 would otherwise never get because it has no handler
(kernel/signal.c, sig_ignored). `release` lets them through to handlers that stand by then; `exec/listener.py` takes them one by one.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUN: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that `run` handles."""
ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""Signals that are sent to end a process, and end one that does not handle them."""
NOT_HANDED_ON: Final = frozenset(
    getattr(signal, name)
    for name in (
        *("SIGKILL", "SIGSTOP", "SIGCHLD"),
        *("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGABRT", "SIGSYS"),  # our own faults
        *("SIGPIPE", "SIGXFSZ"),  # about our own writing
        *("SIGTTIN", "SIGTTOU"),  # the kernel stops a whole job, us in it, and knows when it may not
    )
)
HANDED_ON: Final = frozenset(signal.valid_signals() - NOT_HANDED_ON)
"""Signals that `exec` passes on to its command; also those ignored at our start (`nohup`), because the command may handle them."""
_inherited: set[int] | None = None
"""The signal mask we were started with; None while nothing is held."""
CHILD_SIGNALS_IGNORED: Final = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
"""Whether we were started with SIGCHLD ignored. The command must be as well; we can't, for wait(2) would return no status (its notes)."""


def hold(arguments: Sequence[str]) -> None:
    """Block the signals that the command of this command line handles, until it can. Only `run` and `exec` handle any."""
    global _inherited  # noqa: PLW0603 - a process has one signal mask
    wanted = {"run": RUN, "exec": HANDED_ON | {signal.SIGCHLD}}.get(arguments[0] if arguments else "")
    if wanted and _inherited is None:
        _inherited = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)


def ends(number: int) -> bool:
    """Whether a signal is sent to end a process, and was not ignored at our start."""
    return number in ENDING and signal.getsignal(number) is not signal.SIG_IGN


def name_of(number: int) -> str:
    """`SIGSEGV` and similar, `SIG35` where the number has no name (real-time signals)."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def release() -> None:
    """Let through what was held."""
    if _inherited is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _inherited)


@contextlib.contextmanager
def as_inherited() -> Iterator[None]:
    """Within, the signal mask is the one we were started with, for a child to inherit."""
    if _inherited is None:
        yield
        return
    ours = signal.pthread_sigmask(signal.SIG_SETMASK, _inherited)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, ours)
