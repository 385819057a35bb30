"""The open file with what is known of it in memory, and the state of this run of the agent. For one thread."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.errors import SpoolError
from agent.spool import cursors

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.spool.cursors import Key
    from agent.spool.database import Database
    from agent.spool.quota import Limits
    from agent.spool.values import SpoolEvent


@dataclass(slots=True)
class Session:
    """State of this run of the agent, which outlives each opening of the file."""

    granted: Limits
    """By the quota."""
    limit: Limits
    """The same, or less for a while because the disk has less."""
    refused: int = 0
    """Bytes of an append that found no room; 0 = none is refused."""
    registered: set[Key] | None = None
    """The configured destinations, with each signal; None = unknown, as in the file of an older agent that does not run."""
    arrivals: Counter[str] = field(default_factory=Counter)
    """Signal → how many transactions brought rows of it."""
    results: list[Any] = field(default_factory=list)
    """Of the last transaction, also where its commit failed."""
    events: list[SpoolEvent] = field(default_factory=list)


class OpenFile:
    """The open file, with its cursors and last row number in memory. After an error of SQLite it is useless, and the file is opened again."""

    def __init__(self, db: Database, session: Session, *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self.db = db
        self.connection = db.connection
        self.session = session
        self.opened_at = db.commit_id
        """Number of the last commit that the file held when it was opened."""
        self._wall_ns = wall_ns
        self.load()

    def load(self) -> None:
        """Learn cursors and last row number from the file: at opening, and after a transaction was rolled back."""
        self.cursors, _ = cursors.load(self.connection)
        sql = "SELECT max(last_seq, ifnull((SELECT max(seq) FROM rows), 0)) FROM state"
        last: int = self.connection.execute(sql).get
        self.last_seq = max(last, *self.cursors.values(), 0)

    def grant(self, limit: Limits) -> None:
        """Allow more than before."""
        self.session.granted = limit
        self.connection.pragma("max_page_count", limit.pages)

    def move(self, key: Key, seq: int) -> None:
        """Set a cursor."""
        cursors.write(self.connection, key, seq)
        self.cursors[key] = seq

    def cursor(self, destination: str, signal: str) -> int:
        """Return a cursor; SpoolError if there is none."""
        try:
            return self.cursors[destination, signal]
        except KeyError:
            raise SpoolError(f"{destination} is not registered for {signal}") from None
