"""Lines that clients post to a port. A client has its answer when its lines are stored, and 503 when they can't be; it sends those again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from agent.component import ComponentConfig, Context
from agent.net.http_server import HttpServer
from agent.net.server_message import BodyLimits, BodyRoute, ServerRequest, ServerResponse
from agent.options import Address, Size, split_address
from agent.record import Batch, LogRecord, Origin, Severity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class PushConfig(ComponentConfig):
    """Options of the push source."""

    listen: Address = "127.0.0.1:8099"
    """Where to take requests."""
    max_body: Size = 1 << 20
    """Larger bodies are refused, also once decompressed."""


class Push:
    """The source."""

    Config: ClassVar[type[ComponentConfig]] = PushConfig
    replayable: ClassVar[bool] = False  # it can't ask its clients again; they send again what is not answered

    def __init__(self, config: PushConfig, context: Context) -> None:
        self._config, self._context = config, context
        self._origin = Origin(f"push:{context.name}")
        self._number = 0

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Listen until cancelled."""

        async def take(request: ServerRequest) -> ServerResponse:
            lines = request.body.decode(errors="replace").splitlines()
            await emit(Batch(records=[self._record(line) for line in lines], durable=True))
            return ServerResponse(b"stored\n")

        limits = BodyLimits(packed=self._config.max_body, size=self._config.max_body)
        server = HttpServer({"POST /lines": BodyRoute(take, limits)}, self._context.telemetry, name=f"source {self._context.name}")
        try:
            await server.listen(*split_address(self._config.listen))
            await asyncio.Event().wait()
        finally:
            await server.close()

    async def close(self) -> None:
        """Nothing is held outside of `run`."""

    def _record(self, line: str) -> LogRecord:
        self._number += 1
        now = self._context.clock.wall_ns()
        return LogRecord(now, now, Severity.UNSPECIFIED, "", line, {}, self._origin, self._number)
