"""A small HTTP/1.1 server, over TCP and over a Unix socket: for the agent's own pages, and for sources that receive requests.

The cost of a client is bounded: the head and the body of a request in size and time (`request_body`), an idle connection in time, an answer in
the time that it takes the client to read it. The number of connections is bounded as well. When all are taken, the one that has waited longest is
closed, so that slow clients (slowloris) hold up one another and not a scrape.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

from agent.net.addresses import is_loopback
from agent.net.request_body import BodyMemory
from agent.net.server_connection import READ_SIZE, ServerConnection, Serving
from agent.net.server_message import ServerLimits

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from pathlib import Path

    from agent.net.access import AccessControl
    from agent.net.server_message import Routes
    from agent.telemetry import Telemetry

_PEERCRED: Final = struct.Struct("3i")
"""`struct ucred` of unix(7): pid, uid, gid."""


class HttpServer:
    """Serves one table of routes on any number of listeners."""

    def __init__(
        self,
        routes: Routes,
        telemetry: Telemetry,
        *,
        name: str = "page",
        limits: ServerLimits | None = None,
        access: AccessControl | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`name` stands before the path in the report of a handler that raised.

        `access` decides about clients over TCP. `headers` (names in lower case) are added to every answer; an empty one removes a default.
        """
        limits = limits or ServerLimits()
        self.serving = Serving(routes, telemetry, name, limits, access, headers, BodyMemory(limits.bodies))
        self._connections: dict[asyncio.Task[None], ServerConnection] = {}
        self._listeners: list[asyncio.Server] = []
        self._paths: list[Path] = []
        self._is_closed = False

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen on TCP, with TLS or without; return the port (the kernel's choice for 0). Raises OSError."""
        loopback = is_loopback(host)
        patience = self.serving.limits.header_time if tls else None
        listener = await asyncio.start_server(
            lambda reader, writer: self._accept(reader, writer, loopback),
            host,
            port,
            limit=READ_SIZE,
            ssl=tls,
            ssl_handshake_timeout=patience,
        )
        self._listeners.append(listener)
        bound: int = listener.sockets[0].getsockname()[1]
        return bound

    async def listen_unix(self, path: Path) -> None:
        """Listen on a socket that only our own user can open. It replaces the socket of a killed agent. Raises OSError."""
        sock = _bind_unix(path)
        try:
            listener = await asyncio.start_unix_server(
                lambda reader, writer: self._accept(reader, writer, False), sock=sock, limit=READ_SIZE
            )
        except BaseException:
            sock.close()
            raise
        self._listeners.append(listener)
        self._paths.append(path)

    async def close(self) -> None:
        """Stop listening and drop all connections, for good."""
        self._is_closed = True
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._paths:
            self._paths.pop().unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loopback: bool) -> None:
        writer.transport.set_write_buffer_limits(
            high=1, low=0
        )  # `drain` then waits until the socket has all bytes, and closing after it takes no time
        if self._is_closed:  # the kernel had accepted it before the listener was closed
            writer.transport.abort()
            return
        reason = self._objection(writer)
        if reason is not None:
            self.serving.refused(reason)
            writer.transport.abort()
            return
        connection = ServerConnection(self.serving, reader, writer, loopback=loopback)
        task = asyncio.get_running_loop().create_task(connection.run())
        self._connections[task] = connection
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        connection = self._connections.pop(task)  # a reference until it is aborted: asyncio reports a writer that is collected before
        connection.writer.transport.abort()

    def _objection(self, writer: asyncio.StreamWriter) -> str | None:
        if not _permitted(writer.get_extra_info("socket")):
            return "not_permitted"
        if self.serving.access is not None and not self.serving.access.admits(writer.get_extra_info("peercert")):
            return "client_certificate"
        return None if self._make_room() else "too_many_connections"

    def _make_room(self) -> bool:
        """Close the connection that has waited longest, if all are taken; False if all are being answered."""
        staying = [(connection.waiting_since, task) for task, connection in self._connections.items() if not task.cancelling()]
        if len(staying) < self.serving.limits.connections:
            return True
        waiting = [(since, task) for since, task in staying if since is not None]
        if not waiting:
            return False
        self.serving.refused("crowded_out")
        min(waiting, key=lambda entry: entry[0])[1].cancel()
        return True


def _bind_unix(path: Path) -> socket.socket:
    """Bind a socket at `path` with mode 0600 from the start. `sockaddr_un` holds 107 bytes, so a longer path is bound by its directory's descriptor."""
    path.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        sock.bind(f"/proc/self/fd/{directory}/{path.name}")
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(mask)
        os.close(directory)
    sock.setblocking(False)
    return sock


def _permitted(sock: socket.socket) -> bool:
    """Whether the client may send requests: over a Unix socket only our own user and root, whatever the file's mode is by now."""
    if sock.family != socket.AF_UNIX:
        return True
    _, user, _ = _PEERCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    return user in (0, os.geteuid())
