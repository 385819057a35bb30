"""The host of samplers: keeps the time, measures, and survives whatever a sampler raises. The sampler only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from agent.clock import every
from agent.errors import describe
from agent.failures import ComponentFailed, ComponentRecovered
from agent.host.supervise import failing_if_not_cancelled
from agent.metrics import Kind, Metric, Observation, checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.component import Context, Sampler

SAMPLED: Final = Metric("outrider.sampler.success", Kind.GAUGE, "", "Whether the last sample could be taken.")
SAMPLE_TIME: Final = Metric("outrider.sampler.duration", Kind.GAUGE, "s", "How long the last sample took.")


class SamplerPoller:
    """Runs one sampler."""

    def __init__(self, sampler: Sampler, context: Context, interval: float) -> None:
        """`context` is what the sampler was made with; `interval` in seconds."""
        self.name = context.name
        self.sampler = sampler
        self._interval = interval
        self._context = context
        self._failing = False
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Sample until cancelled."""
        try:
            await every(self._context.clock, self._interval, self.sample)
        finally:
            self._context.metrics.publish(self.name, ())
            await self.sampler.close()

    async def sample(self) -> None:
        """Sample once, and publish what was found and how it went."""
        start = self._context.clock.monotonic()
        try:
            async with self._one_at_a_time:
                found = checked(await self._sampled())
        except Exception as error:  # noqa: BLE001 - the host: whatever a sampler raises is reported and tried again
            found = []
            self._failed(error)
        else:
            self._worked()
        label = {"component": self.name}
        found.append(Observation(SAMPLED, float(not self._failing), label))
        found.append(Observation(SAMPLE_TIME, self._context.clock.monotonic() - start, label))
        self._context.metrics.publish(self.name, found)

    async def _sampled(self) -> Sequence[Observation]:
        found = self.sampler.sample()
        if not isinstance(found, Awaitable):
            return found
        try:
            async with asyncio.timeout(self._interval) as limit:
                with failing_if_not_cancelled():
                    return await found
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"no answer within {self._interval:g} s") from None

    def _failed(self, error: Exception) -> None:
        self._failing = True
        self._context.telemetry.emit(ComponentFailed(self.name, describe(error), self._interval))

    def _worked(self) -> None:
        if self._failing:
            self._failing = False
            self._context.telemetry.emit(ComponentRecovered(self.name))
