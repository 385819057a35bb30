"""``/health`` and ``/metrics``.

``/health`` is honest in what it says, not in its status: it answers 200 for as long as the event loop turns, as most
services do. Whether the agent gets anywhere is in ``last_tick_at`` and ``last_decision_at``, for those who look.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from strategy_agent import wire


class HealthServer:
    """Serves both pages. ``describe`` returns the changing part of ``/health``; ``refresh`` precedes a scrape."""

    def __init__(
        self, registry: CollectorRegistry, describe: Callable[[], wire.Json], refresh: Callable[[], None]
    ) -> None:
        self._registry = registry
        self._describe = describe
        self._refresh = refresh
        self._started = time.time()
        application = web.Application()
        application.add_routes([web.get("/health", self._health), web.get("/metrics", self._metrics)])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port; raises ``OSError`` if it is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        actual: int = self._runner.addresses[0][1]
        return actual

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        uptime = round(time.time() - self._started, 3)
        return web.json_response({"status": "ok", "pid": os.getpid(), "uptime_s": uptime, **self._describe()})

    async def _metrics(self, _: web.Request) -> web.Response:
        self._refresh()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
