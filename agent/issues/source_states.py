"""The one store of state per source: open windows of errors, runs that are not over, and why a process may be about to end.

It is read back from the positions when a source is first asked for, and changed only by what is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from agent.issues.reading.exit_cause import ExitCause
from agent.issues.runs.run import stored_runs
from agent.issues.windows import Budget, OpenWindows
from agent.record import Owner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from agent.issues.options import IssueOptions
    from agent.issues.runs.run import Run
    from agent.record import Payload

BAD_ENDS: Final = "ends"
"""The position that holds the recent bad ends of the command."""
PATIENCE: Final = 0.5
"""Seconds that a periodic job waits for one source: its batch may wait for room in the spool for hours, and other sources are due too."""
SETTLING: Final = 5.0
"""Seconds that the end of an observed process waits for batches before it: the first error of all imports sentry-sdk, which takes its time."""


class IssueSpool(Protocol):
    """The part of the spool that errors need."""

    async def positions(self, name: str, owner: Owner) -> Mapping[str, bytes]:
        """Return the committed positions that an owner keeps for a source."""

    async def append(
        self,
        source: str,
        payloads: Sequence[Payload],
        positions: Mapping[str, bytes | None],
        drops: Mapping[str, int],
        *,
        replayable: bool,
        state: Mapping[Owner, Mapping[str, bytes | None]] | None = None,
    ) -> int:
        """Commit everything or nothing."""


@dataclass(slots=True)
class SourceState:
    """The state of one source."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    windows: OpenWindows | None = None
    """None until it was read back."""
    bad_ends_ns: list[int] = field(default_factory=list)
    """When the wrapped command ended badly, nanoseconds since the Unix epoch."""
    runs: dict[str, Run] = field(default_factory=dict)
    """Those that are not over, by their positions' keys."""
    exit_cause: ExitCause = field(default_factory=ExitCause)
    has_unstored_errors: bool = False
    """Whether its runs have more errors than is stored."""

    @contextlib.asynccontextmanager
    async def free_within(self, seconds: float | None) -> AsyncIterator[bool]:
        """Whether the lock could be had within so many seconds (None: any number); it is held until the context ends."""
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

    def count_errors(self, errors: int) -> None:
        """Count errors in all runs: which of them made the errors is unknown."""
        self.runs = {place: run.with_more(errors) for place, run in self.runs.items()}
        self.has_unstored_errors = self.has_unstored_errors or bool(self.runs)


class SourceStates:
    """The states of all sources."""

    def __init__(self, options: IssueOptions, spool: IssueSpool) -> None:
        self._spool = spool
        self._options = options
        self._budget = Budget(options.limits)
        self._states: dict[str, SourceState] = {}

    def of(self, source: str) -> SourceState:
        """The state of a source; empty if it was not restored."""
        return self._states.setdefault(source, SourceState())

    def all(self) -> list[tuple[str, SourceState]]:
        """All that were asked for, with their sources."""
        return list(self._states.items())

    async def settle(self) -> None:
        """Wait for batches that are being stored, `SETTLING` at most: an end is judged by what was printed before it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLING):
                for _, state in self.all():
                    async with state.lock:
                        pass

    async def restore(self, source: str) -> OpenWindows:
        """Read back the state of a source, unless it was; return its windows. The lock is held."""
        state = self.of(source)
        if state.windows is None:
            stored = await self._spool.positions(source, Owner.ISSUES)
            state.bad_ends_ns = orjson.loads(stored.get(BAD_ENDS, b"[]"))
            state.runs = dict(stored_runs(stored, self._options.reporting))
            state.windows = OpenWindows(self._options.limits, self._budget, stored)
        return state.windows
