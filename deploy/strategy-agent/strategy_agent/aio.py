"""What asyncio and aiohttp leave to everybody to write again: background tasks, regular work, patience, servers."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Self

from aiohttp import web


class PortError(OSError):
    """A port cannot be had."""


class Tasks:
    """Background tasks. :meth:`cancel`, or leaving the block, ends those that are left."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Start work."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def cancel(self, grace: float = 0.0) -> None:
        """Cancel what still runs after ``grace`` seconds, and return when it is gone."""
        if grace and self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cancel()


async def every(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    """Call ``action`` until cancelled, with ``seconds`` in between; what a busy loop held up is not made up for."""
    while True:
        await asyncio.sleep(seconds)
        await action()


def backoff(attempt: int, *, base: float = 0.05, limit: float = 1.0) -> float:
    """Return the seconds to wait before attempt ``attempt`` (from 1): doubling up to ``limit``."""
    return min(limit, base * 2.0 ** min(attempt - 1, 16))


async def listen(routes: list[web.RouteDef], host: str, port: int, *, patience: float) -> web.AppRunner:
    """Serve ``routes``; ``patience`` is what open connections get when the runner is cleaned up, in seconds.

    Raises :class:`PortError` if the port cannot be had, and leaves nothing behind then.
    """
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=patience)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise PortError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return runner


def port_of(runner: web.AppRunner) -> int:
    """Return the port that a runner listens on."""
    return int(runner.addresses[0][1])
