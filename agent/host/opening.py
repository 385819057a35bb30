"""Opens the store of a state directory. A command of `exec` runs in any case: its store is in a directory of its own if it can't be where it should."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from agent.errors import OutriderError, SpoolError, UnavailableError
from agent.exec import left_behind
from agent.failures import AgentDegraded
from agent.host.events import SpoolEvent
from agent.host.fallback_store import FallbackStore
from agent.names import CHILD
from agent.record import Drop
from agent.spool.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from agent.config.settings import Settings
    from agent.telemetry import Telemetry

START_PATIENCE: Final = 15.0
"""Seconds for which a state directory is tried again whose disk fails."""
COMMAND_PATIENCE: Final = 2.0
"""The same while a command of `exec` waits for it: then it runs with another directory."""
ANSWER: Final = 1.0
"""Seconds that the store has to take a count."""


async def open_store(settings: Settings, telemetry: Telemetry, *, for_command: bool) -> tuple[Spool, FallbackStore | None]:
    """The open store, and the directory of its own that it has, if it is not the configured one. OutriderError: it can't be opened."""
    patience = COMMAND_PATIENCE if for_command else START_PATIENCE
    try:
        return await _open(settings.state_dir, settings, telemetry, patience), None
    except OutriderError as error:
        if not for_command:
            raise
        return await _open_fallback(settings, telemetry, error)


async def _open(directory: Path, settings: Settings, telemetry: Telemetry, patience: float) -> Spool:
    def hear(event: object) -> None:
        telemetry.emit(SpoolEvent(type(event).__name__, str(event)))

    try:
        return await Spool.open(directory, quota_bytes=settings.spool.quota, patience=patience, on_event=hear)
    except OSError as error:
        raise UnavailableError(f"the state directory {directory} can't be used: {error.strerror}; name another one") from error


async def _open_fallback(settings: Settings, telemetry: Telemetry, error: OutriderError) -> tuple[Spool, FallbackStore]:
    try:
        fallback = FallbackStore()
    except OSError:
        raise error from None
    try:
        spool = await _open(fallback.directory, settings, telemetry, 0.0)  # the command has waited once
    except OutriderError:
        fallback.discard()
        raise
    telemetry.emit(AgentDegraded(str(error), f"stores in {fallback.directory}"))
    return spool, fallback


async def count_left_behind(spool: Spool, state_dir: Path) -> None:
    """Count the uncollected output of processes that earlier commands left behind. A kill in between counts it once more."""
    with contextlib.suppress(TimeoutError, SpoolError):
        async with asyncio.timeout(ANSWER):
            for file, lines in left_behind.uncollected(state_dir):
                if lines:
                    await spool.append(CHILD, [], {}, {Drop.NOT_COLLECTED: lines}, replayable=False)
                file.unlink(missing_ok=True)
