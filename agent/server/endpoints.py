"""Which route answers what: the public pages on TCP, and the same plus the commands' questions on the control socket."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from agent.host.background import check_ledger
from agent.lean import SERVING, stand_ins
from agent.options import split_address
from agent.server.http import HttpServer
from agent.server.logs import LogsRoute
from agent.server.messages import SOCKET
from agent.server.pages import status_routes
from agent.server.spool_routes import spool_routes
from agent.telemetry import ComponentFailed, RequestRefused

if TYPE_CHECKING:
    from pathlib import Path

    from agent.config.settings import Server
    from agent.host.facts import Facts
    from agent.host.pipeline import Host
    from agent.server.messages import Handler, Request, Response, Routes


class Endpoints:
    """Both listeners of one configuration."""

    def __init__(self, settings: Server, facts: Facts, host: Host) -> None:
        self._settings = settings
        self._host = host
        self._page: Handler | None = None
        public = self._public(facts)
        self._servers = [self._server(public)]
        self._control = self._server({**public, **self._private()})

    async def open(self, state_dir: Path) -> str:
        """Listen; return the address of the pages. Raises OSError when it is taken."""
        name, port = split_address(self._settings.listen)
        await self._control.listen_unix(state_dir / SOCKET)
        return f"{name}:{await self._servers[0].listen(name, port)}"

    async def close(self) -> None:
        """Stop listening."""
        for server in (*self._servers, self._control):
            await server.close()

    def _server(self, routes: Routes) -> HttpServer:
        telemetry = self._host.telemetry
        return HttpServer(
            routes,
            refused=lambda reason: telemetry.emit(RequestRefused(reason)),
            broken=lambda path, error: telemetry.emit(ComponentFailed(f"page {path}", str(error), 0.0)),
        )

    def _public(self, facts: Facts) -> Routes:
        return {**status_routes(facts.read), "GET /metrics": self._metrics}

    async def _metrics(self, request: Request) -> Response:
        """The view is made at the first scrape, and without what prometheus-client imports to serve and push by itself."""
        if self._page is None:
            with stand_ins(*SERVING):
                from agent.server.prometheus import MetricsPage  # noqa: PLC0415 - who is not scraped does not pay for it

            self._page = MetricsPage(self._host.metrics, functools.partial(check_ledger, self._host))
        return await self._page(request)

    def _private(self) -> Routes:
        return {"GET /logs": LogsRoute(self._host.spool), **spool_routes(self._host.spool)}
