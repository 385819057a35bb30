"""Waiting for a descriptor that is not ours alone (stdin, stdout): its blocking mode is shared with other processes, so it is left as it is."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK: Final = 64 * 1024
"""Bytes: the size of a pipe's buffer on Linux (pipe(7))."""
ATOMIC: Final = 4096
"""PIPE_BUF on Linux: so much fits into a pipe that reports itself writable, without blocking (pipe(7), poll(2))."""


async def read_some(fd: int) -> bytes:
    """Read what there is, waiting for the first byte; empty at the end."""
    loop = asyncio.get_running_loop()
    await _ready(fd, loop.add_reader, loop.remove_reader)
    return os.read(fd, CHUNK)


async def write_all(fd: int, data: bytes) -> None:
    """Write everything, never more at once than the other side has room for."""
    loop = asyncio.get_running_loop()
    view = memoryview(data)
    while view:
        await _ready(fd, loop.add_writer, loop.remove_writer)
        view = view[os.write(fd, view[:ATOMIC]) :]


async def _ready(fd: int, add: Callable[..., object], remove: Callable[[int], bool]) -> None:
    """Wait until the descriptor is ready; a regular file and /dev/null, which epoll(7) refuses, always are."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    try:
        add(fd, _set, ready)
    except PermissionError:
        await asyncio.sleep(0)
        return
    try:
        await ready
    finally:
        remove(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def in_pipe(fd: int) -> int:
    """Bytes that wait in a pipe (FIONREAD, ioctl_pipe(2))."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)
