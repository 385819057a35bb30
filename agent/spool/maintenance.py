"""What the spool's thread does for the file when it has nothing else to do: keeps it short, gives room back, writes it anew if its name is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from agent.spool import database, quota, state_dir
from agent.spool.database import Trouble
from agent.spool.file import FAULTS
from agent.spool.state_dir import RESTORED
from agent.spool.tables import Store
from agent.spool.values import Restored, State

if TYPE_CHECKING:
    from pathlib import Path

    from agent.spool.file import Keeper

LOOK_EVERY: Final = 1.0
"""Seconds between looks at what need not be seen at once."""


class Upkeep:
    """Looks after a keeper's file. `look_after` may raise NotOpenError."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._looked = time.monotonic()

    def look_after(self, *, idle: bool) -> None:
        """Keep the log short, the file no longer than its data, the ballast taken, and see whether there is room again."""
        keeper = self._keeper
        keeper.require_open()
        try:
            self._tidy(idle=idle)
        except FAULTS as error:
            self._recover(keeper.store.db.trouble(error), str(error))
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            self.look()

    def _tidy(self, *, idle: bool) -> None:
        keeper, db = self._keeper, self._keeper.store.db
        if db.wal_pages > keeper.limit.log_pages:
            db.checkpoint()
        if keeper.untidy and idle:
            keeper.untidy = db.vacuum_step()
        if idle and not keeper.untidy and db.wal_pages:
            db.checkpoint(truncate=True)
        if keeper.store.still_full() and keeper.store.unneeded() is not None:
            keeper.store.write([Store.let_go])

    def look(self) -> None:
        """See what has changed around the file."""
        keeper = self._keeper
        why = keeper.store.db.displaced()
        if why and not self._restore(why):
            return
        try:
            if time.monotonic() >= keeper.lift_at:
                self._grant()
                keeper.ballast.take()
        except OSError as error:
            keeper.now(State.DEGRADED, str(error))
            return
        if not keeper.untidy:
            self._lengthy()
        keeper.settle_state()

    def _lengthy(self) -> None:
        db = self._keeper.store.db
        try:
            self._keeper.untidy = db.too_long()
        except FAULTS as error:
            self._recover(db.trouble(error), str(error))

    def _recover(self, kind: Trouble, message: str) -> None:
        """After a failed look after the file, which nobody waits for: only what the file needs."""
        if kind is Trouble.FULL:
            self._keeper.disk_is_full()
        self._keeper.reopen(kind, message)

    def _grant(self) -> None:
        """Let the store use what the quota and the disk allow now: more, once somebody else made room."""
        keeper = self._keeper
        now = quota.limits(keeper.affordable())
        if now.quota > keeper.limit.quota:
            keeper.limit = now
            keeper.store.grant(now)
        keeper.store.limit = keeper.limit

    def _restore(self, why: str) -> bool:
        """Write the file anew from what the open one still holds: its name is gone, or another's now. False: that can't be now."""
        keeper = self._keeper
        draft = keeper.directory / RESTORED
        try:
            state_dir.make(keeper.directory)
            draft.unlink(missing_ok=True)
            keeper.store.db.copy_to(draft)
        except OSError as error:  # there is no place for it now: the open file still takes everything
            keeper.now(State.DEGRADED, str(error))
            return False
        except FAULTS as error:
            keeper.reopen(database.trouble(error), str(error))
            return True
        try:
            keeper.store.db.close()
            intruder = self._step_aside()
            draft.rename(keeper.path)
            state_dir.sync(keeper.directory)
        except OSError as error:
            keeper.reopen(database.trouble(error), str(error))
        else:
            keeper.events.append(Restored(why, intruder))
            keeper.reopen(Trouble.IO, why)
        return True

    def _step_aside(self) -> Path | None:
        """Move whatever lies at the spool's path away."""
        keeper = self._keeper
        database.log_of(keeper.path).unlink(missing_ok=True)
        if not state_dir.is_there(keeper.path):
            return None
        return keeper.path.rename(state_dir.free_name(keeper.directory, "spool.replaced-{}.db"))
