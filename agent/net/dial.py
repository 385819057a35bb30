"""From a host's name to a connection: resolve, refuse forbidden addresses, connect, begin TLS. Every client of the agent starts here.

    name ──▶ addresses ──▶ those that are allowed ──▶ the first that answers ──▶ TLS, where it is wanted ──▶ Connection

The guard decides on the very addresses that are connected to, so a name server cannot give it one answer and the connection another.
Only the resolver's thread outlives the caller's cancellation; it is a daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Final

from agent.net.connection import Connection
from agent.net.errors import ErrorKind, NetworkError
from agent.net.resolver import Resolver
from agent.net.tls import TlsOptions, describe, explain, shared_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from agent.net.progress import Progress
    from agent.net.resolver import Address

EYEBALLS_DELAY: Final = 0.25
"""Seconds until the next address is tried beside the present one (RFC 8305 section 5, "Connection Attempt Delay")."""
HANDSHAKE: Final = "in the TLS handshake"


class Dialer:
    """Connects to hosts. The caller bounds the time; `Progress` shows how it was spent."""

    def __init__(
        self,
        *,
        tls: TlsOptions | None = None,
        alpn: Sequence[str] = (),
        objection: Callable[[str], str | None] | None = None,
    ) -> None:
        """`alpn` lists the protocols to offer in TLS, the preferred one first; `objection` returns why an IP address is forbidden, or None."""
        self._options = tls or TlsOptions()
        self._tls = shared_context(self._options, tuple(alpn))
        self._objection = objection
        self._resolver = Resolver()

    async def dial(self, host: str, port: int, progress: Progress, *, secure: bool = False, name: str = "") -> Connection:
        """Connect, with TLS if `secure`. NetworkError if a step fails; no socket is left then.

        `name` is the name to verify in the server's certificate: by default the option `server_name`, else the host.
        """
        with progress.phase("resolve", f"resolving {host}"):
            addresses = permitted(host, await self._resolver.resolve(host, port), self._objection)
        with progress.phase("connect", "connecting"):
            sock, address = await first_to_answer(addresses)
        progress.ip_version = 6 if address.family == socket.AF_INET6 else 4
        connection = Connection(str(address))
        try:
            if secure:
                with progress.phase("tls", HANDSHAKE):
                    await self._adopt(sock, connection, self._tls.get(), name or self._name(host))
            else:
                await self._adopt(sock, connection)
        except BaseException:
            sock.close()
            raise
        return connection

    async def secure(self, connection: Connection, host: str, progress: Progress) -> None:
        """Begin TLS with a host on an open connection, as through a proxy's tunnel. NetworkError if it fails."""
        loop = asyncio.get_running_loop()
        with progress.phase("tls", HANDSHAKE), _tls_errors():
            context, name = self._tls.get(), self._name(host)
            transport = await loop.start_tls(connection.transport, connection, context, server_hostname=name)
            if transport is None:
                raise ConnectionResetError("the connection has closed")
        connection.transport = transport
        connection.tls = describe(transport.get_extra_info("ssl_object"))

    def tls_trouble(self) -> str:
        """Return why the configured certificates, keys or authorities can't be used; "" if they can."""
        try:
            self._tls.get()
        except NetworkError as error:
            return str(error)
        return ""

    def _name(self, host: str) -> str:
        """Return the name to verify: without the dot at the end of a complete name (RFC 6066 section 3) and the zone of an address."""
        return self._options.server_name or host.partition("%")[0].rstrip(".")

    async def _adopt(
        self, sock: socket.socket, connection: Connection, context: ssl.SSLContext | None = None, name: str | None = None
    ) -> None:
        """Attach a connected socket to the event loop."""
        loop = asyncio.get_running_loop()
        with _tls_errors():
            transport, _ = await loop.create_connection(lambda: connection, sock=sock, ssl=context, server_hostname=name)
        if context is not None:
            connection.tls = describe(transport.get_extra_info("ssl_object"))


@contextlib.contextmanager
def _tls_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise NetworkError(ErrorKind.TLS, explain(error)) from error


def permitted(host: str, addresses: Sequence[Address], objection: Callable[[str], str | None] | None) -> Sequence[Address]:
    """Return the addresses that are not forbidden; NetworkError if there is none."""
    if objection is None:
        return addresses
    objections = {address: objection(address.sockaddr[0]) for address in addresses}
    allowed = [address for address in addresses if objections[address] is None]
    if not allowed:
        raise NetworkError(ErrorKind.CONNECT, next(iter(objections.values()), None) or f"{host} has no address")
    return allowed


async def first_to_answer(addresses: Sequence[Address]) -> tuple[socket.socket, Address]:
    """Connect to the first address that answers; each has a head start of 0.25 s on the next. NetworkError when all have failed."""
    waiting = list(addresses)
    running: dict[asyncio.Task[socket.socket], Address] = {}
    failures: list[str] = []
    try:
        while waiting or running:
            if waiting:
                address = waiting.pop(0)
                running[asyncio.create_task(connect_one(address))] = address
            delay = EYEBALLS_DELAY if waiting else None
            done, _ = await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    return task.result(), running.pop(task)
                failures.append(f"{running.pop(task)}: {_reason(task.exception())}")
    finally:
        await _abandon(running)
    raise NetworkError(ErrorKind.CONNECT, "can't connect to " + "; ".join(failures[:4]))


async def _abandon(running: Iterable[asyncio.Task[socket.socket]]) -> None:
    """End the attempts that lost, including those that have connected meanwhile."""
    tasks = list(running)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True) if tasks else ():
        if isinstance(outcome, socket.socket):
            outcome.close()


async def connect_one(address: Address) -> socket.socket:
    """Connect to one address; OSError if that fails."""
    with contextlib.ExitStack() as failing:
        sock = failing.enter_context(socket.socket(address.family, socket.SOCK_STREAM))
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
        failing.pop_all()
    return sock


def _reason(error: BaseException | None) -> str:
    number = getattr(error, "errno", None)
    return (os.strerror(number) if number else str(error) or type(error).__name__).lower()  # asyncio's own message repeats the address
