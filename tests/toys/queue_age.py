"""How old the oldest job of a queue is: a sampler that asks over the network, here an asyncio queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from agent.component import ComponentConfig, Context
from agent.metrics import Kind, Metric, Observation

if TYPE_CHECKING:
    from collections.abc import Sequence

AGE: Final = Metric("queue.oldest_job.age", Kind.GAUGE, "s", "Age of the oldest job.")
LATENCY: Final = Metric("queue.job.wait", Kind.HISTOGRAM, "s", "How long jobs have waited.", (0.1, 1.0))


class QueueAgeConfig(ComponentConfig):
    """No options."""


class QueueAge:
    """The sampler."""

    Config: ClassVar[type[ComponentConfig]] = QueueAgeConfig

    def __init__(self, config: QueueAgeConfig, context: Context) -> None:
        self._config, self._context = config, context

    async def sample(self) -> Sequence[Observation]:
        """Ask, and answer with a gauge and a histogram."""
        await asyncio.sleep(0)
        return [Observation(AGE, 1.5), Observation(LATENCY, 2.25, counts=(1, 0, 1))]

    async def close(self) -> None:
        """Nothing is held."""
