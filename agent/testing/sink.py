"""The next stage after a source, in memory: stores a batch with its positions, or refuses it whole, as the spool does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.record import Batch, LogRecord


class Sink:
    """`emit` for a source; `positions` for its context. `refuse` decides, for each batch, whether it is refused."""

    def __init__(self, refuse: Callable[[], bool] = lambda: False) -> None:
        self.records: list[LogRecord] = []
        self.drops: dict[str, int] = {}
        self.stored: dict[str, bytes] = {}
        """The committed positions."""
        self.batches = 0
        self.refused = 0
        self.arrived = asyncio.Event()
        """Set at each commit; for the test to clear."""
        self.refuse = refuse

    async def emit(self, batch: Batch) -> None:
        """Commit everything of a batch, or raise SpoolError and keep nothing of it."""
        await asyncio.sleep(0)
        if self.refuse():
            self.refused += 1
            raise SpoolError("refused by the test")
        self.batches += 1
        self.records.extend(batch.records)
        for reason, count in batch.drops.items():
            self.drops[reason] = self.drops.get(reason, 0) + count
        for key, position in batch.positions.items():
            self._move(key, position)
        self.arrived.set()

    async def positions(self) -> Mapping[str, bytes]:
        """What is committed."""
        return dict(self.stored)

    def _move(self, key: str, position: bytes | None) -> None:
        if position is None:
            self.stored.pop(key, None)
        else:
            self.stored[key] = position


async def hang(batch: Batch) -> None:  # noqa: ARG001 - the signature of emit
    """An `emit` that never returns: the spool is full for ever."""
    await asyncio.Event().wait()
