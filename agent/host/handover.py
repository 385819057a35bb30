"""Input that is held by sources which can't read it again. The next configuration takes it over; at the agent's end it is stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.component import Holding
from agent.errors import SpoolError
from agent.failures import AgentDegraded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.host.intake import Intake
    from agent.host.pipeline import RunningSource
    from agent.telemetry import Telemetry

STORING: Final = 1.0
"""Seconds for storing the input that a source held."""


class Holder(NamedTuple):
    """A source that may hold something, and its way into the spool."""

    source: Holding
    intake: Intake


class Handover:
    """The holding sources of the configuration that ran last."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._last: dict[str, Holder] = {}

    async def hand_on(self, sources: Iterable[RunningSource]) -> None:
        """Let these sources continue the held ones of the same name and type; store the input of the others."""
        present = {one.name: Holder(one.source, one.intake) for one in sources if isinstance(one.source, Holding)}
        for name, one in present.items():
            if name in self._last and type(self._last[name].source) is type(one.source):
                one.source.take_over(self._last.pop(name).source)
        await self.finish()
        self._last = present

    async def finish(self) -> None:
        """Store what is held."""
        for name, one in self._last.items():
            try:
                async with asyncio.timeout(STORING):
                    await one.source.finish(one.intake.emit)
            except (TimeoutError, SpoolError) as error:
                self._telemetry.emit(AgentDegraded(f"what the source {name} held could not be stored: {error}", "gives it up"))
        self._last = {}
