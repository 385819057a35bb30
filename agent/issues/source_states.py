"""What is known of each source besides its records, one store for all who ask: open windows of errors, runs that are not over, last words.

It is read back from the positions when a source is first asked for, and changed only by what is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from agent.issues.folding.windows import PREFIX, Budget, Limits, Storms
from agent.issues.reading.exit_causes import LastWords
from agent.issues.runs.run import stored_runs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from agent.issues.runs.run import Reporting, Run
    from agent.record import Payload

ENDS: Final = f"{PREFIX}ends"
"""The position that holds when the command has lately ended badly."""
PATIENCE: Final = 0.5
"""Seconds that a look waits for a source: one whose batch waits for room in the spool, maybe for hours, is not to stop the look at the others."""

LAST_WORDS: Final = 5.0
"""Seconds that the end of a watched process waits for that: the first error of all imports sentry-sdk, which takes its time on a busy machine."""


class DetectorSpool(Protocol):
    """What is needed of the spool."""

    async def positions(self, source: str) -> Mapping[str, bytes]:
        """Return the committed positions of a source."""

    async def append(
        self, source: str, payloads: Sequence[Payload], positions: Mapping[str, bytes | None], drops: Mapping[str, int], *, replayable: bool
    ) -> int:
        """Commit everything or nothing."""


@dataclass(slots=True)
class Known:
    """What is known of one source."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    storms: Storms | None = None
    """None until it was read back."""
    ends: list[int] = field(default_factory=list)
    """When the wrapped command ended badly, nanoseconds since the Unix epoch."""
    runs: dict[str, Run] = field(default_factory=dict)
    """Those that are not over, by their positions' keys."""
    words: LastWords = field(default_factory=LastWords)
    grown: bool = False
    """Whether runs have more errors than is stored."""

    @contextlib.asynccontextmanager
    async def free_within(self, seconds: float | None) -> AsyncIterator[bool]:
        """Whether no batch of the source is being stored, after so many seconds at most (None: any number); it is so until the context ends."""
        try:
            async with asyncio.timeout(seconds):
                await self.lock.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self.lock.release()

    def grow(self, errors: int) -> None:
        """Count errors in all runs: whose they are is unknown."""
        self.runs = {place: run.with_more(errors) for place, run in self.runs.items()}
        self.grown = self.grown or bool(self.runs)


class KnownSources:
    """What is known of all sources."""

    def __init__(self, spool: DetectorSpool, limits: Limits, reporting: Reporting) -> None:
        self._spool = spool
        self._limits = limits
        self._reporting = reporting
        self._budget = Budget(limits)
        self._known: dict[str, Known] = {}

    def of(self, source: str) -> Known:
        """What is known now; nothing yet of a source that was not restored."""
        return self._known.setdefault(source, Known())

    def all(self) -> list[tuple[str, Known]]:
        """All that were asked for."""
        return list(self._known.items())

    async def settled(self) -> None:
        """Wait for batches that are being stored, `LAST_WORDS` at most: an end is judged by what was said before it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                for _, known in self.all():
                    async with known.lock:
                        pass

    async def restored(self, source: str) -> Storms:
        """The windows of a source, with all else that is known of it read back; its lock is held."""
        known = self.of(source)
        if known.storms is None:
            stored = await self._spool.positions(source)
            ours = {key: value for key, value in stored.items() if key.startswith(PREFIX)}
            known.ends = orjson.loads(ours.get(ENDS, b"[]"))
            known.runs = dict(stored_runs(ours, self._reporting))
            known.storms = Storms(self._limits, self._budget, ours)
        return known.storms
