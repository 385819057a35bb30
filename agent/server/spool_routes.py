"""The routes below `/spool/` on the control socket: what `outrider spool` asks of a running agent."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

from agent.errors import NoInputError, OutriderError
from agent.net.server_message import JSON, JSON_LINES, ServerRequest, ServerResponse
from agent.record import Signal
from agent.spool.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agent.net.server_message import Handler, Routes
    from agent.spool.spool import Spool


def spool_routes(spool: Spool) -> Routes:
    """Return the routes: figures, rows, and each of the `OPERATIONS` with its arguments in the query."""

    async def figures(_request: ServerRequest) -> ServerResponse:
        return _json(asdict(await spool.stat()))

    async def export(request: ServerRequest) -> ServerResponse:
        name = request.query.get("signal", Signal.LOGS)
        if name not in list(Signal):
            return ServerResponse(f"{name!r} is not a signal; there are {', '.join(Signal)}\n".encode(), 400)
        return ServerResponse(_lines(spool, Signal(name)), content_type=JSON_LINES)

    operations = {f"{'POST' if one.writes else 'GET'} /spool/{name}": _operation(spool, name) for name, one in OPERATIONS.items()}
    return {"GET /spool/stat": figures, "GET /spool/export": export, **operations}


async def _lines(spool: Spool, signal: Signal) -> AsyncGenerator[bytes, None]:
    async for line in spool.export(signal):
        yield line.encode() + b"\n"


def _operation(spool: Spool, name: str) -> Handler:
    async def answer(request: ServerRequest) -> ServerResponse:
        """Return JSON, or bytes; a refusal is a text with status 400 where the input is wrong or not there, else 409."""
        try:
            result = await spool.ask(name, **request.query)
        except OutriderError as error:
            return ServerResponse(f"{error}\n".encode(), 400 if isinstance(error, NoInputError) else 409)
        return ServerResponse(result, content_type="application/gzip") if isinstance(result, bytes) else _json(result)

    return answer


def _json(value: object) -> ServerResponse:
    return ServerResponse(orjson.dumps(value, default=str) + b"\n", content_type=JSON)
