"""The work of the spool's thread between jobs: it keeps the file short, uses new room, and writes the file again if its name is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from agent.spool import database, paths, room
from agent.spool.database import Trouble
from agent.spool.opening import FAULTS
from agent.spool.paths import RESTORED
from agent.spool.values import Restored, State

if TYPE_CHECKING:
    from pathlib import Path

    from agent.spool.file import SpoolFile

LOOK_EVERY: Final = 1.0
"""Seconds between two checks of quota, disk and path."""


class Maintenance:
    """Maintains a file. `look_after` may raise NotOpenError."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file
        self._looked = time.monotonic()
        self.untidy = False
        """Whether the file is longer than its data needs."""

    def look_after(self, *, idle: bool) -> None:
        """Keep the log short, the file no longer than its data, the ballast taken, and see whether there is room again."""
        self._file.require_open()
        now = time.monotonic()
        due = now - self._looked >= LOOK_EVERY
        try:
            self._tidy(idle=idle, due=due)
        except FAULTS as error:
            self._recover(self._file.tables.db.trouble(error), str(error))
        if due:
            self._looked = now
            self.look()

    def _tidy(self, *, idle: bool, due: bool) -> None:
        tables, db = self._file.tables, self._file.tables.db
        if db.wal_pages > self._file.home.limit.log_pages:
            db.checkpoint()
        if self.untidy and (idle or due):  # also where jobs never stop coming: a step takes milliseconds
            self.untidy = db.vacuum_step()
        if idle and not self.untidy and db.wal_pages:
            db.checkpoint(truncate=True)
        if room.still_full(tables) and room.unneeded(tables) is not None:
            tables.write([room.let_go])

    def look(self) -> None:
        """Check path, disk and length of the file."""
        file = self._file
        why = file.tables.db.displaced()
        if why and not self._restore(why):
            return
        try:
            if time.monotonic() >= file.condition.lift_at:
                self._grant()
                file.home.ballast.take()
        except OSError as error:
            file.condition.now(State.DEGRADED, str(error))
            return
        if not self.untidy:
            self._measure()
        file.condition.settle()

    def _measure(self) -> None:
        db = self._file.tables.db
        try:
            self.untidy = db.too_long()
        except FAULTS as error:
            self._recover(db.trouble(error), str(error))

    def _recover(self, kind: Trouble, message: str) -> None:
        """Reopen the file after an error that no job waits for."""
        if kind is Trouble.FULL:
            self._file.disk_is_full()
        self._file.reopen(kind, message)

    def _grant(self) -> None:
        """Let the tables use what quota and disk allow now."""
        home = self._file.home
        if (more := home.grown()) is not None:
            self._file.tables.grant(more)
        self._file.session.limit = home.limit

    def _restore(self, why: str) -> bool:
        """Write the file again from the open one: its name is gone, or leads to another file. Return False where that is not possible now."""
        file, directory = self._file, self._file.home.path
        draft = directory / RESTORED
        try:
            paths.make(directory)
            draft.unlink(missing_ok=True)
            file.tables.db.copy_to(draft)
        except OSError as error:  # there is no place for it now: the open file still takes all writes
            file.condition.now(State.DEGRADED, str(error))
            return False
        except FAULTS as error:
            file.reopen(database.trouble(error), str(error))
            return True
        try:
            file.tables.db.close()
            intruder = self._step_aside()
            draft.rename(file.home.file)
            paths.sync(directory)
        except OSError as error:
            file.reopen(database.trouble(error), str(error))
        else:
            file.session.events.append(Restored(why, intruder))
            file.reopen(Trouble.IO, why)
        return True

    def _step_aside(self) -> Path | None:
        """Move what lies at the spool's path away."""
        path = self._file.home.file
        database.log_of(path).unlink(missing_ok=True)
        if not paths.is_there(path):
            return None
        return path.rename(paths.free_name(path.parent, "spool.replaced-{}.db"))
