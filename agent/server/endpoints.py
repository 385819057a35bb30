"""The routes: the public pages on TCP; on the control socket the same pages, and the routes of the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.lean import SERVING, stand_ins
from agent.net.addresses import bracketed
from agent.net.http_server import HttpServer
from agent.options import split_address
from agent.server.logs import LogsRoute
from agent.server.pages import status_routes
from agent.server.spool_routes import spool_routes
from agent.spool.paths import SOCKET

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from agent.clock import Clock
    from agent.config.settings import Server
    from agent.net.access import AccessControl
    from agent.net.server_message import Handler, ServerRequest, ServerResponse
    from agent.status import PageInputs


Protection = tuple["ssl.SSLContext | None", "AccessControl | None", tuple[tuple[str, str], ...]]
"""TLS, access and headers of the pages over TCP."""


def _protection(settings: Server, clock: Clock) -> Protection:
    """Return the configured protection; its modules are imported only if there is one. ConfigError if a file can no longer be used."""
    token = settings.bearer_token.get_secret_value() if settings.bearer_token else None
    if settings.web_config is None and token is None:
        return None, None, ()
    from agent.net.access import AccessControl, Credentials, TokenBucket  # noqa: PLC0415 - as described

    if settings.web_config is None:
        return None, AccessControl(Credentials({}, token), None), ()
    from agent.config.web import read_web  # noqa: PLC0415 - as described
    from agent.config.web_tls import server_context  # noqa: PLC0415 - as described

    web = read_web(settings.web_config)
    users = {name: stored.get_secret_value() for name, stored in web.basic_auth_users.items()}
    tls, rate = web.tls_server_config, web.rate_limit
    access = AccessControl(
        Credentials(users, token) if users or token else None,
        TokenBucket(rate.interval, rate.burst, clock.monotonic) if rate.interval else None,
        frozenset(tls.client_allowed_sans if tls else ()),
    )
    try:
        context = server_context(tls) if tls else None
    except OSError as error:
        raise ConfigError(f"{settings.web_config}: certificate, key or CA can't be used: {error}") from error
    return context, access, tuple(web.http_server_config.headers.named())


class Endpoints:
    """Both listeners of one configuration."""

    def __init__(self, settings: Server, inputs: PageInputs) -> None:
        self._settings = settings
        self._inputs = inputs
        self._page: Handler | None = None
        public = {**status_routes(inputs.status), "GET /metrics": self._metrics}
        private = {"GET /logs": LogsRoute(inputs.spool), **spool_routes(inputs.spool)}
        self._tls, access, headers = _protection(settings, inputs.clock)
        self._public = HttpServer(public, inputs.telemetry, access=access, headers=headers)
        self._control = HttpServer({**public, **private}, inputs.telemetry)

    async def open(self, state_dir: Path) -> str:
        """Listen; return the address of the pages. Raises OSError when it is taken."""
        name, port = split_address(self._settings.listen)
        await self._control.listen_unix(state_dir / SOCKET)
        return f"{bracketed(name)}:{await self._public.listen(name, port, self._tls)}"

    async def close(self) -> None:
        """Stop listening."""
        for server in (self._public, self._control):
            await server.close()

    async def _metrics(self, request: ServerRequest) -> ServerResponse:
        """Made at the first scrape, and without the modules that prometheus-client imports to serve and push by itself."""
        if self._page is None:
            with stand_ins(*SERVING):
                from agent.server.prometheus import MetricsPage  # noqa: PLC0415 - an agent that is not scraped does not need its memory

            self._page = MetricsPage(self._inputs.metrics, self._inputs.refresh)
        return await self._page(request)
