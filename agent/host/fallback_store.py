"""A store in a temporary directory, for a command of `exec` that must run although the configured directory can't be used.

No later agent reads it by itself: at the end it is named if something is in it, and deleted if not.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.own_log import Level
from agent.telemetry import Event

if TYPE_CHECKING:
    from agent.spool.spool import Spool
    from agent.telemetry import Telemetry

PREFIX: Final = "outrider-"


@dataclass(frozen=True, slots=True)
class RecordsLeft(Event):
    """The command has ended, and records that were not delivered lie in a directory that no later agent looks into."""

    name = "records left"
    level = Level.ERROR
    waiting: str
    """Number of these records."""
    directory: str
    fix: str


class FallbackStore:
    """The directory."""

    def __init__(self) -> None:
        """OSError if it can't be made."""
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._records: int | None = None
        """None as long as the store has not reported how many it holds."""

    async def inspect(self, spool: Spool) -> None:
        """Count the records in it, at the end: those that wait for a destination, or, if there is none, all."""
        stat = await spool.stat()
        waiting = sum(cursor.pending for cursor in stat.cursors) if stat.cursors else stat.records
        self._records = waiting + stat.dead_letters

    def close(self, telemetry: Telemetry) -> None:
        """Delete it, or report where it is. The store is closed by then."""
        if self._records == 0:
            self.discard()
        else:
            fix = f"OUTRIDER_STATE_DIR={self.directory} outrider run delivers them; then delete it"
            waiting = "unknown" if self._records is None else f"{self._records} records"
            telemetry.emit(RecordsLeft(waiting, str(self.directory), fix))

    def discard(self) -> None:
        """Delete it."""
        shutil.rmtree(self.directory, ignore_errors=True)
