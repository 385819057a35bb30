"""The spool of an agent that does not run, for the command line: synchronous, under the agent's own lock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self, TypeVar

from agent.errors import NoInputError, OutriderError
from agent.spool import rows
from agent.spool.export import to_json
from agent.spool.file import SpoolFile
from agent.spool.operations import OPERATIONS
from agent.spool.paths import FILE
from agent.spool.stat import stat
from agent.spool.values import DEFAULT_QUOTA

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from agent.record import Row, Signal
    from agent.spool.tables import Tables
    from agent.spool.values import SpoolStat

T = TypeVar("T")
PAGE = 16
"""Rows read at once while many are gone through."""


class OfflineSpool:
    """A stopped agent's spool. Use it as a context manager; `events` are what was found damaged when it was opened."""

    def __init__(self, directory: Path, *, configured: Collection[str] | None = None, quota_bytes: int = DEFAULT_QUOTA) -> None:
        """Open it. `configured` are the destinations that the configuration has now, None: those with which the agent last ran.

        SpoolLockedError: an agent runs, ask that one. NoInputError: there is no spool.
        """
        if not (directory / FILE).exists():
            raise NoInputError(f"there is no spool in {directory}")
        self._file = SpoolFile.open(directory, quota_bytes, threading.Event())
        if configured is not None:
            self._file.session.registered = {key for key in self._file.tables.cursors if key[0] in configured}
        self.events = self._file.take_events()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._file.close()

    def stat(self) -> SpoolStat:
        """Return the figures of this moment."""
        return self._file.read(lambda _: stat(self._file))

    def export(self, signal: Signal, progress: Callable[[int], None] = lambda _rows: None) -> Iterator[str]:
        """Yield all intact rows of a signal as lines of JSON, oldest first (see `export`); `progress` gets the number of rows so far."""
        after, count = 0, 0
        while found := self._page(signal, after):
            yield from map(to_json, found)
            after, count = found[-1].seq, count + len(found)
            progress(count)

    def _page(self, signal: Signal, after: int) -> list[Row]:
        return self._file.read(lambda tables: rows.tail(tables.connection, signal.value, after, PAGE))

    def ask(self, name: str, /, **arguments: str) -> object:
        """Do one of the `OPERATIONS` and return its result. OutriderError: it is refused."""
        operation = OPERATIONS[name]
        job = operation.job(arguments)
        if not operation.writes:
            return self._file.read(job)
        result = self._write(job)
        while operation.then is not None and self._write(operation.then):
            pass
        return result

    def _write(self, job: Callable[[Tables], T]) -> T:
        (result,) = self._file.write([job], durable=True)
        if isinstance(result, OutriderError):
            raise result
        return result
