"""Publishes the highest load that was ever measured here: a sampler that keeps what it measures in the history store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar, Final

from agent.component import ComponentConfig, Context
from agent.metrics import Kind, Metric, Observation

if TYPE_CHECKING:
    from collections.abc import Sequence

PEAK: Final = Metric("peak.load", Kind.GAUGE, "1", "The highest load average of the last day.")
DAY: Final = 86_400.0


class PeaksConfig(ComponentConfig):
    """No options."""


class Peaks:
    """The sampler."""

    Config: ClassVar[type[ComponentConfig]] = PeaksConfig

    def __init__(self, config: PeaksConfig, context: Context) -> None:
        self._config, self._context = config, context
        self._kept = context.history and context.history.series("load", age=DAY, most_bytes=1 << 20)

    async def sample(self) -> Sequence[Observation]:
        """Keep the present load and return the highest one."""
        load = os.getloadavg()[0]
        if self._kept is None:
            return [Observation(PEAK, load)]
        self._kept.add(self._context.clock.wall_ns(), "load", load)
        return [Observation(PEAK, max(float(str(entry.value)) for entry in await self._kept.query()))]

    async def close(self) -> None:
        """Nothing is held."""
