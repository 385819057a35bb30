"""The history store: what was measured or found before, for pages and comparisons. It lies beside the spool and can be rebuilt.

It never holds positions, and losing it loses no record: a damaged file is replaced by an empty one. Entries wait in memory until `flush`,
which the host calls every `FLUSH_EVERY` seconds: one write a minute, on a thread of its own. While nothing uses it there is no file and no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from agent.history.file import FAULTS, HistoryFile, Limit, Stored
from agent.metrics import Kind, Metric
from agent.own_log import Level
from agent.telemetry import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.component import HistoryEntry
    from agent.record import Value
    from agent.telemetry import Telemetry

T = TypeVar("T")
FLUSH_EVERY: Final = 60.0
"""Seconds between two writes."""
MOST_WAITING: Final = 1 << 20
"""Bytes of entries that wait in memory, also while they can't be written; the oldest are dropped then, and counted."""
TIMES: Final = range(-(1 << 63), 1 << 63)
"""Times that can be stored."""
ENTRIES: Final = Metric("outrider.history.lost", Kind.COUNTER, "{entry}", "Entries of the history store that were lost, by reason.")


@dataclass(frozen=True, slots=True)
class HistoryLost(Event):
    """Entries of the history store are gone: a damaged file was replaced, or they could not be written. No record is lost by it."""

    name = "history lost"
    level = Level.WARNING
    lasting = True
    counter = ENTRIES
    labels = ("reason",)
    reason: str
    """From an enumeration: `damaged` (what the file held; its number is unknown, so each time counts as one), `not_written`."""
    error: str
    count: int = 1


def _legible(key: str) -> str:
    """A key as UTF-8 can hold it: names of files may not be."""
    return key.encode("utf-8", "replace").decode()


class Series:
    """The entries of one kind. One with the time and the key of another replaces it."""

    def __init__(self, history: History, kind: str) -> None:
        self._history = history
        self._kind = kind

    def add(self, time_ns: int, key: str, value: Value) -> None:
        """Keep an entry; it is written at the next `flush`, and this does not wait.

        TypeError if JSON can't hold the value, ValueError if 64 bits can't hold the time.
        """
        if time_ns not in TIMES:
            raise ValueError(f"{time_ns} is not a time in nanoseconds of 64 bits")
        self._history.add(Stored(self._kind, time_ns, _legible(key), json.dumps(value, separators=(",", ":")).encode()))

    async def query(
        self, *, since_ns: int = 0, until_ns: int = (1 << 63) - 1, key: str | None = None, limit: int = 10_000
    ) -> list[HistoryEntry]:
        """Return the newest entries of a time (both ends included), of one key or of all, oldest first."""
        since_ns, until_ns = max(since_ns, TIMES[0]), min(until_ns, TIMES[-1])
        return await self._history.query(self._kind, since_ns, until_ns, None if key is None else _legible(key), limit)


class History:
    """All series of a state directory. Used from the event loop; the file is opened by the first `flush` of an entry, or `query`."""

    def __init__(self, directory: Path, telemetry: Telemetry, *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        """Describe it; nothing is touched. The caller has the state directory locked."""
        self._directory = directory
        self._telemetry = telemetry
        self._wall_ns = wall_ns
        self._limits: dict[str, Limit] = {}
        self._waiting: deque[Stored] = deque()
        self._size = 0
        """Bytes of what waits."""
        self._turn = asyncio.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._file: HistoryFile | None = None
        """Touched by the executor's one thread only."""

    def series(self, kind: str, *, age: float, most_bytes: int) -> Series:
        """Return the series of a kind. Entries older than `age` seconds are deleted, and the oldest beyond about `most_bytes` on the disk."""
        self._limits[kind] = Limit(round(age * 1e9), most_bytes)
        return Series(self, kind)

    def add(self, entry: Stored) -> None:
        """Have an entry wait for the next `flush`."""
        self._waiting.append(entry)
        self._size += entry.size
        self._shed("not flushed in time")

    async def flush(self) -> None:
        """Write what waits; what can't be written now waits for the next call. Does nothing where nothing waits."""
        async with self._turn:
            await self._flush()

    async def query(self, kind: str, since_ns: int, until_ns: int, key: str | None, limit: int) -> list[HistoryEntry]:
        """See `Series.query`; where the file can't be read, only what waits is found."""
        async with self._turn:
            await self._flush()
            waiting = [
                one.entry() for one in self._waiting if one.kind == kind and since_ns <= one.time_ns <= until_ns and key in (None, one.key)
            ]
            nothing: list[HistoryEntry] = []
            stored = await self._do(lambda file: file.query(kind, since_ns, until_ns, key, limit), nothing)
            found = {(one.time_ns, one.key): one for one in (*stored, *waiting)}
            return [found[place] for place in sorted(found)][-limit:]

    async def close(self) -> None:
        """Write what waits and close the file; a second call does nothing."""
        await self.flush()
        async with self._turn:
            if self._executor is not None:
                await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
                self._executor.shutdown()
                self._executor = None

    async def _flush(self) -> None:
        if not self._waiting:
            return
        batch, self._waiting, self._size = self._waiting, deque(), 0
        limits, now_ns = dict(self._limits), self._wall_ns()
        written = False
        try:
            written = await self._do(lambda file: file.write(batch, limits, now_ns), default=False)
        finally:  # cancelled: whether they are written is unknown, and writing them again changes nothing
            if not written:
                self._waiting = deque((*batch, *self._waiting))
                self._size = sum(one.size for one in self._waiting)
                self._shed("can't be written")

    def _shed(self, error: str) -> None:
        """Drop the oldest of what waits beyond what may wait."""
        dropped = 0
        while self._size > MOST_WAITING:
            self._size -= self._waiting.popleft().size
            dropped += 1
        if dropped:
            self._telemetry.emit(HistoryLost("not_written", error, dropped))

    async def _do(self, work: Callable[[HistoryFile], T], default: T) -> T:
        """Do something with the file on its thread; a damaged one is replaced, once. Return the default where it can't be done."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="history")
        result, lost = await asyncio.get_running_loop().run_in_executor(self._executor, self._attempt, work, default)
        for event in lost:
            self._telemetry.emit(event)
        return result

    def _attempt(self, work: Callable[[HistoryFile], T], default: T) -> tuple[T, Sequence[HistoryLost]]:
        lost: list[HistoryLost] = []
        for _ in range(2):
            try:
                return work(self._opened()), lost
            except FAULTS as error:
                self._close()
                if not HistoryFile.is_damage(error, self._directory):
                    lost.append(HistoryLost("not_written", str(error), 0))
                    break
                lost.append(HistoryLost("damaged", str(error)))
                with contextlib.suppress(OSError):  # the next try will show
                    HistoryFile.remove(self._directory)
        return default, lost

    def _opened(self) -> HistoryFile:
        if self._file is not None and self._file.is_displaced():
            self._close()
        if self._file is None:
            self._file = HistoryFile(self._directory)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
