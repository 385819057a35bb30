"""One record of each of several pods, each with the resource and the scope that it is known by."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from agent.component import ComponentConfig, Context
from agent.record import Batch, LogRecord, Origin, Scope, Severity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class PodsConfig(ComponentConfig):
    """Options of the pods."""

    names: tuple[str, ...] = ("a", "b")
    """The pods."""


class Pods:
    """The source."""

    Config: ClassVar[type[ComponentConfig]] = PodsConfig
    replayable: ClassVar[bool] = True

    def __init__(self, config: PodsConfig, context: Context) -> None:
        self._config, self._context = config, context

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit those that are not stored, then wait."""
        done = int((await self._context.positions()).get("done", b"0"))
        for number, name in enumerate(self._config.names[done:], done):
            origin = Origin(f"pod:{name}", resource={"k8s.pod.name": name}, scope=Scope("kubelet", "1.33"))
            record = LogRecord(0, self._context.clock.wall_ns(), Severity.INFO, "INFO", f"{name} is up", {}, origin, number)
            await emit(Batch(records=[record], positions={"done": b"%d" % (number + 1)}))
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is held."""
