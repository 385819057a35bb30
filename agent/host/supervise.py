"""The one place where a component's failure is caught: report it, wait, start the component again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import describe
from agent.failures import ComponentFailed, ComponentRecovered
from agent.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from agent.clock import Clock
    from agent.telemetry import Telemetry

RESTARTS: Final = Backoff(first=0.5, longest=30.0)
WELL_AFTER: Final = 60.0
"""Seconds: a component that ran this long had recovered, and its next failure is a first one again."""


@dataclass(slots=True)
class Health:
    """Whether a supervised component runs: written here, read by the status page."""

    reason: str = ""
    """The reason why it does not run; empty while it does."""


@contextlib.contextmanager
def failing_if_not_cancelled() -> Iterator[None]:
    """Turn a CancelledError into a RuntimeError unless this task was cancelled: a component that awaits a cancelled task would end silently."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("it awaited a task that was cancelled") from error


async def supervise(
    name: str, run: Callable[[], Awaitable[None]], *, clock: Clock, telemetry: Telemetry, health: Health | None = None
) -> None:
    """Run until it returns by itself; after an exception, run again with back-off. Cancellation passes."""
    attempt, health = 0, health or Health()
    while True:
        began = clock.monotonic()
        try:
            with failing_if_not_cancelled():
                await run()
        except Exception as error:  # noqa: BLE001 - this is the host: the one broad except of sources and background work
            attempt = 1 if clock.monotonic() - began > WELL_AFTER else attempt + 1
            wait = RESTARTS.delay(attempt, random.random())  # noqa: S311 - jitter, not a secret
            health.reason = describe(error)
            telemetry.emit(ComponentFailed(component=name, error=health.reason, retry_in=round(wait, 2)))
            await clock.sleep(wait)
            health.reason = ""
        else:
            if attempt:
                telemetry.emit(ComponentRecovered(component=name))
            return
