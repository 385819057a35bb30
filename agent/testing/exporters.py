"""An exporter that remembers, and that fails or hangs to order."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, ClassVar

from agent.component import Accepted, ComponentConfig, Context
from agent.record import Row, Signal

if TYPE_CHECKING:
    from collections.abc import Iterable


class RecordingExporter:
    """Takes every row and keeps it in `rows`. An answer in `plan` is given instead, one per call: an exception is raised, `None` hangs."""

    Config: ClassVar[type[ComponentConfig]] = ComponentConfig
    signals: frozenset[Signal] = frozenset(Signal)

    def __init__(
        self, config: ComponentConfig | None = None, context: Context | None = None, plan: Iterable[Exception | Accepted | None] = ()
    ) -> None:
        self.config = config
        self.context = context
        self.rows: list[Row] = []
        self.closed = 0
        """How often it was closed."""
        self._plan = iter(plan)

    async def export(self, row: Row) -> Accepted:
        """Do as the plan says; keep the row if it is accepted."""
        answer = next(self._plan, Accepted())
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        self.rows.append(row)
        return answer or Accepted()

    async def close(self) -> None:
        """Count it."""
        self.closed += 1


def make_row(body: bytes, *, signal: Signal = Signal.LOGS, records: int = 1, seq: int = 1, source: str = "test") -> Row:
    """A stored row around an uncompressed body."""
    packed = zlib.compress(body, level=1, wbits=31)
    return Row(seq, signal, source, records, packed, len(body), 1_700_000_000_000_000_000)
