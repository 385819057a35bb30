"""One span for each step of a plan: requests that are encoded already, and still searched for secrets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.component import ComponentConfig, Context
from agent.record import Batch, Payload, Signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class StepsConfig(ComponentConfig):
    """Options of the steps."""

    plan: tuple[str, ...] = ("load", "train", "report")
    """The names of the spans."""


class Steps:
    """The source."""

    Config: ClassVar[type[ComponentConfig]] = StepsConfig
    replayable: ClassVar[bool] = True

    def __init__(self, config: StepsConfig, context: Context) -> None:
        self._config, self._context = config, context

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit the spans that are not stored, then wait."""
        done = int((await self._context.positions()).get("done", b"0"))
        for number, name in enumerate(self._config.plan[done:], done):
            request = ExportTraceServiceRequest()
            now = self._context.clock.wall_ns()
            request.resource_spans.add().scope_spans.add().spans.add(
                name=name,
                trace_id=bytes(15) + b"\x01",
                span_id=bytes(7) + bytes([number + 1]),
                start_time_unix_nano=now,
                end_time_unix_nano=now,
            )
            payload = Payload(Signal.TRACES, 1, request.SerializeToString())
            await emit(Batch(payloads=[payload], positions={"done": b"%d" % (number + 1)}))
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is held."""
