"""The `outrider spool` commands' questions to a running agent, on the control socket."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

from agent.errors import NoInputError, OutriderError
from agent.net.server_message import JSON, JSON_LINES, ServerRequest, ServerResponse
from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from agent.net.server_message import Handler, Routes
    from agent.spool.spool import Spool


def spool_routes(spool: Spool) -> Routes:
    """The routes; the answers are JSON, an error is a text with status 400 where what is asked for is not there, else 409."""
    routes = SpoolRoutes(spool)
    return {
        "GET /spool/stat": routes.stat,
        "GET /spool/export": routes.export,
        "GET /spool/dead-letters": _refusing(routes.dead_letters),
        "GET /spool/dead-letters/body": _refusing(routes.body),
        "POST /spool/dead-letters/requeue": _refusing(routes.requeue),
        "POST /spool/dead-letters/discard": _refusing(routes.discard),
        "POST /spool/gc": _refusing(routes.gc),
    }


class SpoolRoutes:
    """One method per question."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    async def stat(self, _request: ServerRequest) -> ServerResponse:
        """Figures of the spool."""
        return _json(asdict(await self._spool.stat()))

    async def export(self, request: ServerRequest) -> ServerResponse:
        """All stored rows of `signal`, a line of OTLP/JSON each."""
        name = request.query.get("signal", Signal.LOGS)
        if name not in list(Signal):
            return ServerResponse(f"no signal {name!r}; there are {', '.join(Signal)}\n".encode(), 400)
        return ServerResponse(self._lines(Signal(name)), content_type=JSON_LINES)

    async def _lines(self, signal: Signal) -> AsyncGenerator[bytes, None]:
        async for line in self._spool.export(signal):
            yield line.encode() + b"\n"

    async def dead_letters(self, request: ServerRequest) -> ServerResponse:
        """A page of the list, oldest first, from behind the one with the number `after`; an empty page is its end."""
        after = _number(request, "after") if "after" in request.query else 0
        return _json([letter._asdict() for letter in await self._spool.dead_letters(after)])

    async def body(self, request: ServerRequest) -> ServerResponse:
        """The gzip'd body of one."""
        return ServerResponse(await self._spool.dead_letter_body(_number(request)), content_type="application/gzip")

    async def requeue(self, request: ServerRequest) -> ServerResponse:
        """Put one back into the queue of the destination that refused it; the answer is its new row's number."""
        return _json(await self._spool.requeue(_number(request)))

    async def discard(self, request: ServerRequest) -> ServerResponse:
        """Throw one away."""
        await self._spool.discard(_number(request))
        return _json(None)

    async def gc(self, request: ServerRequest) -> ServerResponse:
        """Forget `destination`, with `force=1` also if records wait for it; the answer is how many it has not got."""
        return _json(await self._spool.gc(request.query.get("destination", ""), force=request.query.get("force") == "1"))


def _refusing(handler: Callable[[ServerRequest], Awaitable[ServerResponse]]) -> Handler:
    async def answer(request: ServerRequest) -> ServerResponse:
        try:
            return await handler(request)
        except OutriderError as error:
            return ServerResponse(f"{error}\n".encode(), 400 if isinstance(error, NoInputError) else 409)

    return answer


def _number(request: ServerRequest, name: str = "id") -> int:
    text = request.query.get(name, "")
    if not (text.isascii() and text.isdigit()):
        raise NoInputError(f"{text!r} is not the number of a dead letter")
    return int(text)


def _json(value: object) -> ServerResponse:
    return ServerResponse(orjson.dumps(value, default=str) + b"\n", content_type=JSON)
