"""Takes signals one by one, with their sender, to hand them on to the command of `exec`."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from agent.signals import HANDED_ON, hold

if TYPE_CHECKING:
    from collections.abc import Callable

OUR_TIME: Final = frozenset({signal.SIGVTALRM, signal.SIGPROF, signal.SIGXCPU})
"""Signals that are about our own processor time if the kernel sends them. An alarm is not: it was set for the command (alarm(2), execve(2))."""
TO_THE_LEADER: Final = frozenset({signal.SIGHUP, signal.SIGCONT})
"""Signals that the kernel sends to the leader of a session alone when its terminal has gone (setsid(2))."""


class Listener:
    """A thread that takes held signals, one at a time, and gives each to the function that is set.

    The function gets the number, and whether the terminal has sent the signal to the whole foreground process group, as it does for Ctrl-C: the kernel
    is the sender then (sigaction(2): si_code > 0). Signals wait until the first function is set. SIGCHLD is among them: taken here, it also
    arrives where it was blocked or ignored when we were started.
    """

    def __init__(self) -> None:
        self._numbers = HANDED_ON | {signal.SIGCHLD}
        self._deliver: Callable[[int, bool], None] | None = None
        self._listening = threading.Event()

    def start(self) -> None:
        """Take signals for the rest of the life of the process. To be called in the main thread, before other threads are started.

        If no thread can be started signals come to the main thread, without their sender.
        """
        hold(["exec"])
        for number in self._numbers - {signal.SIGTSTP}:  # for the moment in which a child is started with its own mask
            if number == signal.SIGCHLD or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, _frame: self._hand_over(number, by_terminal=False))
        try:
            threading.Thread(target=self._take, name="signals", daemon=True).start()
        except RuntimeError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)

    def deliver_to(self, deliver: Callable[[int, bool], None]) -> None:
        """Set the function that gets the signals from now on. The thread calls it."""
        self._deliver = deliver
        self._listening.set()

    def _take(self) -> None:
        self._listening.wait()
        while True:
            found = signal.sigwaitinfo(self._numbers)
            if not (found.si_code > 0 and found.si_signo in OUR_TIME):
                self._hand_over(found.si_signo, by_terminal=found.si_code > 0 and _to_the_group(found.si_signo))

    def _hand_over(self, number: int, *, by_terminal: bool) -> None:
        if self._deliver is not None:
            self._deliver(number, by_terminal)


def _to_the_group(number: int) -> bool:
    """Return whether the kernel has sent this signal to our whole process group."""
    return number != signal.SIGALRM and not (number in TO_THE_LEADER and os.getsid(0) == os.getpid())


def stop_as_usual() -> None:
    """Stop until SIGCONT, as SIGTSTP does by default. The kernel does not stop a job that nothing would continue (setpgid(2))."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
    signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
