"""Watches the processes that a sampler is about, and reports their starts and ends: they are not our children, so the kernel does not notify us.

    sample ──▶ new main process ──▶ started (record + position) ──▶ pidfd readable ──▶ what it said last is read ──▶ ended (record, position gone)

Which processes are watched is a position like any other: an agent that comes after a kill continues with those that live, and
reports that the others have ended, cause unknown. The detector decides whether the records lead to a session or an issue.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.component import Observing
from agent.errors import SpoolError
from agent.record import Batch
from agent.target.ending import Watch, began_ns, read_stat
from agent.target.process_records import Observed, ended_record, in_order, killed_record, load, started_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.component import Context
    from agent.host.sampling import SamplerPoller
    from agent.record import LogRecord
    from agent.target.roots import Roots

MOST: Final = 64
"""Processes that are watched at a time: each costs a file descriptor."""
BEAT: Final = 5.0
"""Seconds between two checks while all is well; an end wakes us at once."""
SOON: Final = 0.5
"""Seconds between two checks for the successor of a process that has ended."""
VACANT: Final = 30.0
"""Seconds for which these checks continue."""
LINGER: Final = 1.0
"""Seconds until an end is reported. Meanwhile the last lines of the process are read, which may contain its error."""
LONGEST_LINGER: Final = 5.0
"""The longest such wait, so that a traceback at the end of a log file is read as well: it counts as complete after a silence."""
LAST: Final = 0.5
"""Seconds that the last reports may take when the agent stops."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(slots=True)
class _Followed:
    """A process that is watched."""

    process: Observed
    watch: Watch
    ended_ns: int = 0
    """When it was seen to be gone, nanoseconds since the Unix epoch."""
    due: float = 0.0
    """When that is reported, by the monotonic clock."""
    emptied: bool = False
    """Whether no other main process of the target was alive then."""


class Observer:
    """Watches the main processes of all samplers that know some."""

    def __init__(self, pollers: Sequence[SamplerPoller], context: Context, roots: Roots, *, settling: float = 0.0) -> None:
        """`roots` follow the processes, so that the source files of an error can be read.

        `settling`: seconds of silence after which sources of log files have emitted their last record.
        """
        self._pollers = [(poller, poller.sampler) for poller in pollers if isinstance(poller.sampler, Observing)]
        self._context = context
        self._clock = context.clock
        self._roots = roots
        self._linger = max(LINGER, min(settling, LONGEST_LINGER))
        self._boot = boot_id()
        self._watched: dict[str, _Followed] = {}
        self._woken = False
        """Whether one has ended since the last check."""
        self._vacant_until = 0.0
        self._orderly = False
        self._emptied_in_order = -math.inf
        """When the last process ended, by the monotonic clock, if it did so in order."""
        self._has_followed = False

    @property
    def all_ended(self) -> bool:
        """Whether there were processes, and all have ended."""
        return self._has_followed and not self.processes()

    @property
    def at_rest(self) -> bool:
        """Whether the last process has ended in order, and none has come after it."""
        ends = [one.watch.how for one in self._watched.values()]
        return None not in ends and (all(how is not None and in_order(how.status) for how in ends) if ends else self._orderly)

    def ended_in_order(self, since: float) -> bool | None:
        """Whether no process is left, or was left at some time since then (by the monotonic clock), after an end in order; None: one lives."""
        if self.at_rest or self._emptied_in_order >= since:
            return True
        return None if self.processes() else False

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            await self._restore()
            while True:
                await self._look()
                await self._wait()
        finally:
            await self._leave()

    def processes(self) -> list[Observed]:
        """Which ones are watched, the latest last."""
        return [one.process for one in self._watched.values() if one.watch.how is None]

    async def _restore(self) -> None:
        """Continue with those that an earlier run has watched."""
        for key, stored in (await self._context.positions()).items():
            process = load(stored)
            if key not in self._watched:
                self._follow(process, Watch(process.pid, process.start if process.boot == self._boot else -1, self._proc()))

    def _proc(self) -> Path:
        return next((sampler.proc_dir for _, sampler in self._pollers), Path("/proc"))

    async def _look(self) -> None:
        for one in list(self._watched.values()):
            if kills := self._look_at(one):
                await self._tell(killed_record(one.process, kills, self._clock.wall_ns()), {})
        if any(one.watch.how for one in self._watched.values()):
            await self._tell_ends(self._clock.monotonic())
            self._vacant_until = self._clock.monotonic() + VACANT
        if self._clock.monotonic() < self._vacant_until:
            for poller, _ in self._pollers:
                await poller.sample()
        for _, sampler in self._pollers:
            for pid in sorted(sampler.mains):
                await self._begin(pid, sampler.proc_dir)

    async def _begin(self, pid: int, proc: Path) -> None:
        stat = read_stat(pid, proc)
        if stat is None or stat.zombie or stat.parent == os.getpid() or len(self._watched) >= MOST:
            return
        process = Observed(self._boot, pid, stat.start, began_ns(stat.start, self._clock.wall_ns()), stat.name)
        if process.key not in self._watched:
            self._follow(process, Watch(pid, stat.start, proc))
            await self._tell(started_record(process, self._clock.wall_ns()), {process.key: process.dump()})

    def _follow(self, process: Observed, watch: Watch) -> None:
        one = self._watched[process.key] = _Followed(process, watch)
        self._has_followed = True
        self._roots.follow(process.pid, self._clock.wall_ns(), watch.proc)
        fd = watch.fileno()
        if fd is not None:
            asyncio.get_running_loop().add_reader(fd, self._wake, one)
        self._look_at(one)

    def _wake(self, one: _Followed) -> None:
        """Check at once: a zombie may soon be gone."""
        self._unhook(one.watch)
        self._look_at(one)
        self._woken = True

    def _look_at(self, one: _Followed) -> int:
        kills = one.watch.look()
        if one.watch.how is not None and not one.ended_ns:
            one.ended_ns, one.due = self._clock.wall_ns(), self._clock.monotonic() + self._linger
            one.emptied = not self.processes()
            if one.emptied and in_order(one.watch.how.status):
                self._emptied_in_order = self._clock.monotonic()
        return kills

    def _unhook(self, watch: Watch) -> None:
        fd = watch.fileno()
        if fd is not None:
            asyncio.get_running_loop().remove_reader(fd)

    async def _tell_ends(self, now: float = math.inf) -> None:
        """Report the ends that are due. New processes may be found meanwhile."""
        for key, one in list(self._watched.items()):
            self._look_at(one)
            how = one.watch.how
            if how is None or one.due > now:
                continue
            self._orderly = in_order(how.status)
            record = ended_record(one.process, how.status, how.oom_kills, one.ended_ns, emptied=one.emptied)
            if await self._tell(record, {key: None}):
                del self._watched[key]
                self._unhook(one.watch)
                one.watch.close()
                self._roots.forget(one.process.pid, self._clock.monotonic())

    async def _tell(self, record: LogRecord, positions: Mapping[str, bytes | None]) -> bool:
        """Store a record and its positions. False if the spool did not take them (it reports that itself): the next check tries again."""
        try:
            await self._context.emit(Batch(records=[record], positions=positions))
        except SpoolError:
            return False
        return True

    async def _wait(self) -> None:
        """Wait for the next check, for an end, or for a successor."""
        due = self._clock.monotonic() + BEAT
        while True:
            await self._clock.sleep(SOON)
            now = self._clock.monotonic()
            if self._woken or now >= due or now < self._vacant_until:
                self._woken = False
                return

    async def _leave(self) -> None:
        """Report those that end together with us, and let go of the others: the next run continues with them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST):
                await self._tell_ends()
        for one in self._watched.values():
            self._unhook(one.watch)
            one.watch.close()
        self._watched.clear()


def boot_id() -> str:
    """The kernel's id of this boot; "" where there is none."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
