"""The routes that show the status: `/` for people, `/status.json` for programs, `/healthz` and `/readyz` for orchestrators."""

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
    """The routes; `read` gathers the facts anew for each request."""
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
    """One source of facts, three views."""

    def __init__(self, read: Read) -> None:
        self._read = read

    async def page(self, request: ServerRequest) -> ServerResponse:
        """For people. `?refresh=10` reloads it every ten seconds; by itself it stays as it is, for those who read slowly or by ear."""
        from agent.server.html import render  # noqa: PLC0415 - with the table of all entities of HTML, for who looks at the page

        refresh = request.query.get("refresh", "")
        seconds = int(refresh) if refresh.isascii() and refresh.isdigit() and len(refresh) < 5 else 0
        return ServerResponse(render(await self._read(), refresh=seconds).encode(), content_type=HTML)

    async def json(self, _request: ServerRequest) -> ServerResponse:
        """For programs: the same facts."""
        status = await self._read()
        return ServerResponse(
            orjson.dumps({"verdict": status.verdict(), **_fields(status)}, default=str, option=_JSON_OPTIONS), content_type=JSON
        )

    async def ready(self, request: ServerRequest) -> ServerResponse:
        """200 if the agent is ready, 503 if not; with `?strict=1` 503 also if it is degraded. The body says why."""
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
    """`/healthz`: the process lives and its loop turns. It asks nobody, so that a full disk is no reason to kill what could survive it."""
    return ServerResponse(b"ok\n")


def _fields(status: Status) -> dict[str, object]:
    return {name: getattr(status, name) for name in status.__slots__}


def _static(name: str, kind: str) -> Callable[[ServerRequest], Awaitable[ServerResponse]]:
    body = Path(__file__).with_name("static").joinpath(name).read_bytes()

    async def answer(_request: ServerRequest) -> ServerResponse:
        return ServerResponse(body, content_type=kind, headers=(("cache-control", "max-age=3600"),))

    return answer
