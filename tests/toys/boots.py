"""Counts its own starts: a sampler that keeps a number over restarts, and stores a record with each change of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from agent.component import ComponentConfig, Context
from agent.metrics import Kind, Metric, Observation
from agent.record import Batch, LogRecord, Origin, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

BOOTS: Final = Metric("boots", Kind.COUNTER, "{start}", "Starts since the state directory was made.")


class BootsConfig(ComponentConfig):
    """No options."""


class Boots:
    """The sampler."""

    Config: ClassVar[type[ComponentConfig]] = BootsConfig

    def __init__(self, config: BootsConfig, context: Context) -> None:
        self._config, self._context = config, context
        self._count = 0

    async def sample(self) -> Sequence[Observation]:
        """Count the start with the first sample; one that can't be stored is counted with the next."""
        if not self._count:
            count = int((await self._context.positions()).get("count", b"0")) + 1
            now = self._context.clock.wall_ns()
            record = LogRecord(now, now, Severity.INFO, "INFO", f"start number {count}", {}, Origin(f"boots:{self._context.name}"), count)
            await self._context.emit(Batch(records=[record], positions={"count": b"%d" % count}))  # both, or neither
            self._count = count
        return [Observation(BOOTS, self._count)]

    async def close(self) -> None:
        """Nothing is held."""
