"""One record a second. Never catches up on ticks it missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from agent.component import ComponentConfig, Context
from agent.record import Batch, LogRecord, Origin, Severity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class TickerConfig(ComponentConfig):
    """Options of the ticker."""

    word: str = "tick"
    """The body of each record."""


class Ticker:
    """The source."""

    Config: ClassVar[type[ComponentConfig]] = TickerConfig
    replayable: ClassVar[bool] = False  # it can't be asked again: a full spool evicts its oldest rows

    def __init__(self, config: TickerConfig, context: Context) -> None:
        self._config, self._context = config, context

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Tick until cancelled."""
        number = int((await self._context.positions()).get("number", b"0"))
        origin = Origin(f"ticker:{self._context.name}")
        while True:
            await self._context.clock.sleep(1.0)
            now = self._context.clock.wall_ns()
            record = LogRecord(now, now, Severity.INFO, "INFO", self._config.word, {"number": number}, origin, number)
            number += 1
            await emit(Batch(records=[record], positions={"number": b"%d" % number}))  # both, or neither

    async def close(self) -> None:
        """Nothing is held."""
