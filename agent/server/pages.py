"""The routes of the status: `/` for people, `/status.json` for programs, `/healthz` and `/readyz` for orchestrators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from agent.net.server_message import HTML, JSON, ServerRequest, ServerResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.net.server_message import Routes
    from agent.status import Status

    Read = Callable[[], Awaitable[Status]]

_STATIC: Final = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}
_JSON_OPTIONS: Final = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS


def status_routes(read: Read) -> Routes:
    """Return the routes; `read` gathers the status for each request."""
    pages = StatusPages(read)
    statics = {f"GET /static/{name}": _static(name, kind) for name, kind in _STATIC.items()}
    return {
        "GET /": pages.page,
        "GET /status.json": pages.json,
        "GET /healthz": alive,
        "GET /readyz": pages.ready,
        **statics,
    }


class StatusPages:
    """Three views of the status."""

    def __init__(self, read: Read) -> None:
        self._read = read

    async def page(self, request: ServerRequest) -> ServerResponse:
        """Return the page for people. `?refresh=10` reloads it every ten seconds; by default it stays, for readers who need time or listen to it."""
        from agent.server.html import render  # noqa: PLC0415 - loads the table of HTML's entities, only for this page

        refresh = request.query.get("refresh", "")
        seconds = int(refresh) if refresh.isascii() and refresh.isdigit() and len(refresh) < 5 else 0
        return ServerResponse(render(await self._read(), refresh=seconds).encode(), content_type=HTML)

    async def json(self, _request: ServerRequest) -> ServerResponse:
        """Return the same for programs."""
        status = await self._read()
        return ServerResponse(
            orjson.dumps({"verdict": status.verdict(), **_fields(status)}, default=str, option=_JSON_OPTIONS), content_type=JSON
        )

    async def ready(self, request: ServerRequest) -> ServerResponse:
        """Answer 200 if the agent is ready, 503 if not; with `?strict=1` 503 also if it is degraded. The body gives the reasons."""
        status = await self._read()
        found = status.verdict()
        passes = found.passes(strict=request.query.get("strict", "0") not in ("", "0"))
        body = {
            "status": found.health,
            "reasons": found.reasons,
            "last_success_seconds": {
                f"{one.name}/{one.signal}": None if one.last_success_ns is None else round((status.now_ns - one.last_success_ns) / 1e9, 3)
                for one in status.destinations
            },
        }
        return ServerResponse(orjson.dumps(body, option=_JSON_OPTIONS) + b"\n", 200 if passes else 503, JSON)


async def alive(_request: ServerRequest) -> ServerResponse:
    """Answer `/healthz`: the event loop runs. It checks nothing else, so that no orchestrator kills an agent that can survive a full disk."""
    return ServerResponse(b"ok\n")


def _fields(status: Status) -> dict[str, object]:
    return {name: getattr(status, name) for name in status.__slots__}


def _static(name: str, kind: str) -> Callable[[ServerRequest], Awaitable[ServerResponse]]:
    body = Path(__file__).with_name("static").joinpath(name).read_bytes()

    async def answer(_request: ServerRequest) -> ServerResponse:
        return ServerResponse(body, content_type=kind, headers=(("cache-control", "max-age=3600"),))

    return answer
