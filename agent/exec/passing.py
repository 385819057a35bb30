"""Passes bytes on from one descriptor to another. Also a process of its own, with nothing of the agent around it: see `left_behind.py`."""

from __future__ import annotations

import os
import select

CHUNK = 64 * 1024
"""Bytes: the size of a pipe's buffer on Linux (pipe(7))."""
COUNT = 3
"""The descriptor of the file that the process counts lines in."""


def write_all(fd: int, chunk: bytes) -> bytes:
    """Write it all, waiting as the writer itself would wait; return the rest that could not be written."""
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
    """Whether there is still a process that can write into the pipe (POLLHUP, poll(2))."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return not any(event & select.POLLHUP for _, event in poll.poll(0))


def _unread(sink: int) -> bool:
    """Whether nothing can read any more what is written there: unlike a full disk, that does not change."""
    poll = select.poll()
    poll.register(sink, 0)
    return bool(poll.poll(0))


def main() -> None:
    """Pass on from standard input to standard output, apart from our starter's session: it ends with its writers, not by its signals."""
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
            return  # the writers hear of it as they would have without us


if __name__ == "__main__":
    main()
