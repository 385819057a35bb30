"""Waits for descriptors that other processes share (stdin, stdout). Their blocking mode is shared as well, so it stays as it is."""

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
"""PIPE_BUF on Linux, bytes: so much fits without blocking into a pipe that is reported as writable (pipe(7), poll(2))."""


async def read_some(fd: int) -> bytes:
    """Wait for bytes and read them; empty at the end."""
    loop = asyncio.get_running_loop()
    await _ready(fd, loop.add_reader, loop.remove_reader)
    return os.read(fd, CHUNK)


async def write_all(fd: int, data: bytes) -> None:
    """Write everything, never more at once than there is room for."""
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
    """Return how many bytes wait in a pipe (FIONREAD, ioctl_pipe(2))."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)
