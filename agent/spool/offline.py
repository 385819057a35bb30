"""The spool of an agent that does not run, for the command line: the functions of `commands`, synchronous, under the agent's own lock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self, TypeVar

from agent.errors import NoInputError, OutriderError
from agent.spool import ledger, operations
from agent.spool.export import to_json
from agent.spool.file import Keeper
from agent.spool.state_dir import FILE
from agent.spool.values import DEFAULT_QUOTA

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from agent.record import Row, Signal
    from agent.spool.tables import Store
    from agent.spool.values import Ledger, SpoolEvent, SpoolStat, StoredLetter

T = TypeVar("T")
PAGE = 16
"""Rows read at once while many are gone through."""


class OfflineSpool:
    """A stopped agent's spool. Use it as a context manager; `events` tells what opening it found damaged."""

    def __init__(self, directory: Path, *, configured: Collection[str] | None = None, quota_bytes: int = DEFAULT_QUOTA) -> None:
        """Open it. `configured` are the destinations that the configuration has now, None: those with which the agent last ran.

        SpoolLockedError: an agent runs, ask that one. NoInputError: there is no spool.
        """
        if not (directory / FILE).exists():
            raise NoInputError(f"there is no spool in {directory}")
        self._keeper = Keeper(directory, quota_bytes, threading.Event())
        store = self._keeper.store
        if configured is not None:
            store.registered = {key for key in store.cursors if key[0] in configured}
            store.knows_configured = True
        self.events: list[SpoolEvent] = self._keeper.take_events()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._keeper.close()

    def stat(self) -> SpoolStat:
        """Return the figures of this moment."""
        return self._keeper.read(lambda _store: operations.stat(self._keeper))

    def ledger(self) -> Ledger:
        """Return the account of all records."""
        return self._keeper.read(lambda store: ledger.read(store.db.connection))

    def rows(self, signal: Signal, progress: Callable[[int], None] = lambda _rows: None) -> Iterator[Row]:
        """Yield all intact rows of a signal, oldest first; `progress` hears the number of rows so far."""
        after, count = 0, 0
        while found := self._keeper.read(lambda store, after=after: operations.tail(store, signal.value, after, PAGE)):  # type: ignore[misc]
            yield from found
            after, count = found[-1].seq, count + len(found)
            progress(count)

    def export(self, signal: Signal, progress: Callable[[int], None] = lambda _rows: None) -> Iterator[str]:
        """Yield all intact rows of a signal as lines of JSON; see `export`."""
        return (to_json(row) for row in self.rows(signal, progress))

    def gc(self, destination: str, *, force: bool = False) -> int:
        """Forget a destination that is not configured; return how many records it has not got. OutriderError if that can't be."""
        collected = self._write(lambda store: operations.collect(store, destination, force=force))
        more = collected.more
        while more:
            more = self._write(operations.sweep)
        return collected.evicted

    def dead_letters(self, after: int = 0, limit: int = 1000) -> list[StoredLetter]:
        """List dead letters, oldest first, from behind an id."""
        return self._keeper.read(lambda store: operations.list_dead_letters(store, after, limit))

    def dead_letter_body(self, number: int) -> bytes:
        """Return the gzip'd body of a dead letter; OutriderError if there is none."""
        return self._keeper.read(lambda store: operations.dead_letter_body(store, number))

    def requeue(self, number: int) -> int:
        """Put a dead letter back for the destination that refused it; OutriderError if that can't be."""
        return self._write(lambda store: operations.requeue(store, number))

    def discard(self, number: int) -> None:
        """Throw a dead letter away; it stays counted. OutriderError if there is none."""
        self._write(lambda store: operations.discard(store, number))

    def _write(self, job: Callable[[Store], T]) -> T:
        (result,) = self._keeper.write([job], durable=True)
        if isinstance(result, OutriderError):
            raise result
        return result
