"""Takes signals one by one, with their sender, to be handed on to the command of `exec`."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from agent.signals import handed_on, hold

if TYPE_CHECKING:
    from collections.abc import Callable

OUR_TIME: Final = frozenset({signal.SIGVTALRM, signal.SIGPROF, signal.SIGXCPU})
"""About our own processor time, where the kernel sends them. An alarm is not: it was set before us, for the command (alarm(2), execve(2))."""
TO_THE_LEADER: Final = frozenset({signal.SIGHUP, signal.SIGCONT})
"""What the kernel sends to the leader of a session alone whose terminal has gone (setsid(2))."""


class Listener:
    """A thread that takes held signals, one at a time, and hands them to one function at a time.

    The function gets the number and whether the terminal has sent it to the whole foreground process group, as it does for Ctrl-C: then the
    kernel sent it (sigaction(2): si_code > 0), and not to us alone. What comes before the first function is set waits for it. SIGCHLD is among them: taken here, it comes also where
    it was blocked or ignored when we were started.
    """

    def __init__(self) -> None:
        self._numbers = handed_on() | {signal.SIGCHLD}
        self._deliver: Callable[[int, bool], None] | None = None
        self._listening = threading.Event()

    def start(self) -> None:
        """Take signals from now on, for the rest of the process's life. Only in the main thread, before others are started.

        Where no thread can be started signals come to the main thread, without their sender.
        """
        hold(["exec"])
        for number in self._numbers - {signal.SIGTSTP}:  # for the moment in which a child is started with the mask it is to inherit
            if number == signal.SIGCHLD or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, _frame: self._hand_over(number, by_terminal=False))
        try:
            threading.Thread(target=self._take, name="signals", daemon=True).start()
        except RuntimeError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)

    def deliver_to(self, deliver: Callable[[int, bool], None]) -> None:
        """Hand signals to this from now on; it is called on the thread."""
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
    """Whether a signal that the kernel has sent to us has gone to our whole process group."""
    return number != signal.SIGALRM and not (number in TO_THE_LEADER and os.getsid(0) == os.getpid())


def stop_as_usual() -> None:
    """Stop by SIGTSTP as if nothing had taken it, until SIGCONT; the kernel does nothing in a job that nothing would continue (setpgid(2))."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
    signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
