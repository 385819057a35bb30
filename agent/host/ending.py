"""The end of the sources at an orderly stop: all that is written by then is stored, if there is time.

    stop ─▶ sources go on while something is stored or the target lives ─▶ cancelled ─▶ a last reading of what stays ─▶ count ─▶ … ─▶ report
            └───────────────────── all within `shutdown.grace`, or until a second signal ──────────────────────┘      (drain)

A workload that is stopped together with the agent writes most in its last second, and its files may be deleted with it. The promise does not
depend on any of this: positions and rows agree whenever it is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.component import Finishing, Unread
from agent.errors import SpoolError, describe
from agent.failures import AgentDegraded
from agent.metrics import Kind, Metric, Observation
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from agent.host.pipeline import Host, Pipeline, RunningSource

QUIET: Final = 0.5
"""Seconds without a commit after which the sources have read everything: twice as long as a source of files waits for more lines."""
STALLED: Final = 1.0
"""Seconds without a commit after which the last reading is ended: the spool is full, or does not answer."""
LONG: Final = 1.0
"""Seconds after which a stop reports why it takes so long."""
COUNTING: Final = 1.0
"""Seconds to count the unread bytes of a source."""
_BEAT: Final = 0.05

UNREAD_BYTES: Final = Metric("outrider.stop.unread", Kind.GAUGE, "By", "Bytes that were written and not read when the agent ended.")
UNREAD_FILES: Final = Metric("outrider.stop.unread_files", Kind.GAUGE, "{file}", "Files with such bytes.")


@dataclass(frozen=True, slots=True)
class AgentReadsOn(Event):
    """The agent was asked to end and has not yet read what is written; a second signal ends it at once."""

    name = "agent reads on"
    until: str
    seconds: float
    """The longest time that it may take, seconds."""


@dataclass(frozen=True, slots=True)
class SourceUnread(Event):
    """Bytes were written when the agent ended and are not stored. The next start reads them if they are still there."""

    name = "source unread"
    level = Level.WARNING
    source: str
    bytes: int
    files: int


class Ending:
    """The end of one configuration's sources, within `grace` seconds or until `hurry` is set."""

    def __init__(self, pipeline: Pipeline, host: Host, grace: float, hurry: asyncio.Event, *, writer_ended: bool = False) -> None:
        """`writer_ended`: the command of `exec` has ended, and all of its output is stored."""
        self._pipeline = pipeline
        self._host = host
        self._hurry = hurry
        self._writer_ended = writer_ended
        self._began = self._stored_at = host.clock.monotonic()
        self.deadline = self._began + grace
        """The end of the grace, by the monotonic clock."""
        self._stored = self._count()
        self._is_announced = False
        self._left: dict[str, Unread] = {}

    @property
    def spare(self) -> float:
        """Seconds since the last commit: the senders have had this time already."""
        return min(QUIET + STALLED / 2, self._host.clock.monotonic() - self._stored_at)

    async def linger(self) -> None:
        """Let the sources read while they store something, or the target lives."""
        while self._pipeline.sources and self._may_go_on() and (self._idle() < QUIET or self._target_lives()):
            await self._wait()
        self._writer_ended |= self._pipeline.observer is not None and self._pipeline.observer.all_ended

    async def finish(self) -> None:
        """After the end of the sources: let those that can read once more to the present end, and complete open records."""
        finishing = [one for one in self._pipeline.sources if isinstance(one.source, Finishing)]
        if not finishing or not self._may_go_on():
            return
        began = self._host.clock.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._finish(one, one.source)) for one in finishing if isinstance(one.source, Finishing)]
            while self._may_go_on() and not all(task.done() for task in tasks):
                await asyncio.wait(tasks, timeout=_BEAT)
                if min(self._idle(), self._host.clock.monotonic() - began) > STALLED:
                    break
            for task in tasks:
                task.cancel()

    async def count(self) -> None:
        """Count the bytes that are written and not stored by now; the last collection of metrics has these figures."""
        self._left = {one.name: await self._unread(one) for one in self._pipeline.sources}
        series = [
            Observation(metric, figure, {"source": name})
            for name, left in self._left.items()
            for metric, figure in ((UNREAD_BYTES, left.bytes), (UNREAD_FILES, left.files))
        ]
        self._host.metrics.publish("ending", series)

    async def report(self) -> Unread:
        """Count again after the drain, in which a writer may have added more; report it, and return the sum."""
        if not self._hurry.is_set():
            await self.count()
        for name, left in self._left.items():
            if left.bytes:
                self._host.telemetry.emit(SourceUnread(name, left.bytes, left.files))
        return Unread(sum(left.bytes for left in self._left.values()), sum(left.files for left in self._left.values() if left.bytes))

    async def _unread(self, one: RunningSource) -> Unread:
        if isinstance(one.source, Finishing):
            with contextlib.suppress(TimeoutError, OSError, SpoolError):  # the store or the disk does not answer: the next start will know
                async with asyncio.timeout(COUNTING):
                    return await one.source.unread()
        return Unread()

    async def _finish(self, one: RunningSource, source: Finishing) -> None:
        try:
            await source.finish(one.intake.emit, writer_ended=self._writer_ended)
        except Exception as error:  # noqa: BLE001 - the end continues whatever it is, and the rest is counted
            self._host.telemetry.emit(
                AgentDegraded(f"the source {one.name} could not be read to its end: {describe(error)}", "ends without")
            )

    def _may_go_on(self) -> bool:
        return not self._hurry.is_set() and self._host.clock.monotonic() < self.deadline

    def _idle(self) -> float:
        """Seconds since something was stored."""
        count, now = self._count(), self._host.clock.monotonic()
        if count != self._stored:
            self._stored, self._stored_at = count, now
        return now - self._stored_at

    def _count(self) -> int:
        return sum(one.intake.commits for one in self._pipeline.sources)

    def _target_lives(self) -> bool:
        return self._pipeline.observer is not None and bool(self._pipeline.observer.processes())

    async def _wait(self) -> None:
        now = self._host.clock.monotonic()
        if not self._is_announced and now - self._began >= LONG:
            self._is_announced = True
            self._host.telemetry.emit(
                AgentReadsOn("the target has ended" if self._target_lives() else "all is read", round(self.deadline - now, 1))
            )
        await self._host.clock.sleep(_BEAT)
