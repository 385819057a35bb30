"""Passes bytes on from one descriptor to another, without an agent: also as a process of its own, for what the command left behind.

A command may leave processes behind that hold its output, a daemon say. They would go on to write into what we write to, had there been no
agent; with us they write into a pipe that breaks when we end. So its last reader is a process that outlives us: this file, run by the bare
interpreter (about 8 MiB), which ends with the last writer, or when nobody reads any more what it writes.
"""

from __future__ import annotations

import os
import select
import sys

CHUNK = 64 * 1024
"""Bytes: the size of a pipe's buffer on Linux (pipe(7))."""


def write_all(fd: int, chunk: bytes) -> bytes:
    """Write it all, waiting as the writer itself would wait; return the rest that could not be written."""
    view = memoryview(chunk)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # whoever shares our stdout has made it non-blocking
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
        except OSError:
            break
    return bytes(view)


def held_open(pipe: int) -> bool:
    """Whether there is still a process that can write into the pipe (POLLHUP, poll(2))."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return not any(event & select.POLLHUP for _, event in poll.poll(0))


def hand_over(source: int, sink: int) -> bool:
    """Have a process of its own pass on what comes; whether it could be started."""
    from agent.signals import ENDING  # noqa: PLC0415 - the process itself needs none of it

    actions = [
        (os.POSIX_SPAWN_DUP2, source, 0),
        (os.POSIX_SPAWN_DUP2, sink, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    try:
        os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", __file__], {}, file_actions=actions, setsigmask=ENDING)
    except OSError:
        return False
    return True


def _unread(sink: int) -> bool:
    """Whether nobody can read any more what is written there: unlike a full disk, that does not change."""
    poll = select.poll()
    poll.register(sink, 0)
    return bool(poll.poll(0))


def main() -> None:
    """Pass on from standard input to standard output, apart from our starter's session: it ends with its writers, not by its signals."""
    os.setsid()
    os.chdir("/")
    while chunk := os.read(0, CHUNK):
        if write_all(1, chunk) and _unread(1):
            return  # the writers hear of it as they would have without us


if __name__ == "__main__":
    main()
