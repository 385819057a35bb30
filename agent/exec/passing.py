"""Passes bytes on from one descriptor to another. Also run as a process of its own, which imports nothing of the agent: see `left_behind.py`."""

from __future__ import annotations

import os
import select

CHUNK = 64 * 1024
"""Bytes: the size of a pipe's buffer on Linux (pipe(7))."""
COUNT = 3
"""The descriptor of the file in which the process counts lines."""


def write_all(fd: int, chunk: bytes) -> bytes:
    """Write all of it, blocking as the writer itself would; return the rest that could not be written."""
    view = memoryview(chunk)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # another process that shares our stdout has made it non-blocking
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
        except OSError:
            break
    return bytes(view)


def held_open(pipe: int) -> bool:
    """Return whether a process can still write into the pipe (POLLHUP, poll(2))."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return not any(event & select.POLLHUP for _, event in poll.poll(0))


def _unread(sink: int) -> bool:
    """Return whether a pipe has no reader any longer, which does not change, unlike a full disk."""
    poll = select.poll()
    poll.register(sink, 0)
    return bool(poll.poll(0))


def main() -> None:
    """Pass on from standard input to standard output, in a session of its own: it ends with its writers, not by signals of a terminal."""
    os.setsid()
    os.chdir("/")
    lines, is_open = 0, False
    while chunk := os.read(0, CHUNK):
        lines, is_open = lines + chunk.count(b"\n"), not chunk.endswith(b"\n")
        try:  # noqa: SIM105 - the process imports no more than it must
            os.pwrite(COUNT, b"%d\n" % (lines + is_open), 0)
        except OSError:  # a full disk
            pass
        if write_all(1, chunk) and _unread(1):
            return  # the writers get EPIPE, as without the agent


if __name__ == "__main__":
    main()
