"""A log file source without its event loop: time is given, what is committed is at hand, and it is killed by making a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.sources.log_batches import Batches
from agent.sources.log_config import options
from agent.sources.log_files import LogFiles
from agent.tail.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.record import Batch, LogRecord


class Rig:
    """Follows `include` (globs below `root`). `step` is one round; `drain` as many as it takes until nothing comes any more."""

    def __init__(self, root: Path, *include: str, linger: float = 0.0, clock: Callable[[], float] | None = None, **config: object) -> None:
        self.root = root
        self.linger = linger
        globs = tuple(str(root / one) for one in include or ("*.log",))
        self.config = LogFiles.Config.model_validate({"include": globs, "format": "plain", **config})
        self.stored: dict[str, bytes] = {}
        self.records: list[LogRecord] = []
        self.drops: dict[str, int] = {}
        self.events: list[str] = []
        self.now = 1000.0
        self.wall_ns = 1
        self.clock = clock or (lambda: self.now)
        self.start()

    def start(self) -> None:
        """Begin from what is committed, as after a kill."""
        self.tail = Tail(options(self.config), dict(self.stored), self.clock)
        self.batches = Batches(self.tail, self.config, lambda: self.wall_ns, linger=self.linger)

    def restart(self) -> None:
        """Kill and start again."""
        self.tail.close()
        self.start()

    def next(self, seconds: float = 0.2) -> Batch | None:
        """One round; its batch is not committed yet."""
        self.now += seconds
        batch = self.batches.next(self.now)
        self.events += [notice.event for notice in self.tail.table.take_notices()]
        self.events += [group.refusal.event for group in self.tail.table.unreadable.take_new()]
        return batch

    def commit(self, batch: Batch) -> None:
        """Store a batch, as the spool does."""
        self.records += batch.records
        for reason, count in batch.drops.items():
            self.drops[reason] = self.drops.get(reason, 0) + count
        for key, position in batch.positions.items():
            if position is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = position

    def step(self, seconds: float = 0.2) -> bool:
        """One round, committed; whether it gave anything."""
        batch = self.next(seconds)
        if batch is not None:
            self.commit(batch)
        return batch is not None

    def drain(self, seconds: float = 0.2) -> list[str]:
        """Rounds until nothing comes for longer than a record stays open; the bodies of the new records."""
        before = len(self.records)
        silent = 0
        for _ in range(2000):
            silent = 0 if self.step(seconds) else silent + 1
            if silent * seconds > 1.5:  # longer than a record stays open
                return self.bodies(before)
        raise AssertionError("it never comes to rest")

    def bodies(self, first: int = 0) -> list[str]:
        """The bodies of the committed records, from the given one on."""
        return [str(record.body) for record in self.records[first:]]

    def close(self) -> None:
        """Release the files."""
        self.tail.close()
