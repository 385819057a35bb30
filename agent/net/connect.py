"""Getting connected: names to addresses, addresses to a socket, a socket to a stream of bytes. No HTTP here.

Nothing in here outlives its caller's cancellation but a resolver thread, which is a daemon: a name server that does not answer can
delay neither a deadline nor the end of the process (the event loop's own executor would).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import threading
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.net.message import ErrorKind, HttpError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EYEBALLS_DELAY: Final = 0.25
"""Seconds until the next address is tried beside the present one (RFC 8305 section 5, "Connection Attempt Delay")."""

RECEIVE_LIMIT: Final = 256 * 1024
"""Received bytes that may wait to be read; then the peer has to wait."""


class Address(NamedTuple):
    """Where to connect to."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]

    def __str__(self) -> str:
        host = f"[{self.sockaddr[0]}]" if self.family == socket.AF_INET6 else self.sockaddr[0]
        return f"{host}:{self.sockaddr[1]}"


class Resolver:
    """Names to addresses, each name asked for once at a time. Keeps nothing: every new connection asks anew."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """All addresses of a host, best first, families alternating (RFC 8305 section 4); HttpError if there is none."""
        if literal := literal_address(host, port):
            return [literal]
        key = host, port
        if key not in self._asked:
            future = self._asked[key] = asyncio.get_running_loop().create_future()
            future.add_done_callback(lambda done: self._forget(key, done))
            _ask(host, port, future)
        try:
            return await asyncio.shield(self._asked[key])  # it belongs to everybody who asked: one's cancellation is not the others'
        except OSError as error:
            raise HttpError(ErrorKind.RESOLVE, f"can't resolve {host}: {error.strerror or error}") from error

    def _forget(self, key: tuple[str, int], done: asyncio.Future[list[Address]]) -> None:
        self._asked.pop(key, None)
        if not done.cancelled():
            done.exception()  # taken note of, should everybody who asked be gone


def _ask(host: str, port: int, future: asyncio.Future[list[Address]]) -> None:
    try:
        threading.Thread(target=_look_up, args=(host, port, future), name=f"resolve {host}", daemon=True).start()
    except RuntimeError as error:  # no thread to be had (a pids limit): that passes
        future.get_loop().call_soon(_settle, future, OSError(str(error)))


def _look_up(host: str, port: int, future: asyncio.Future[list[Address]]) -> None:
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answer: list[Address] | OSError = alternate(Address(info[0], info[4]) for info in infos)  # type: ignore[arg-type]
    except OSError as error:
        answer = error
    except UnicodeError:  # a label that is empty or too long: no resolver would know it
        answer = OSError(socket.EAI_NONAME, "not a valid host name")
    with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile: nobody wants to know
        future.get_loop().call_soon_threadsafe(_settle, future, answer)


def _settle(future: asyncio.Future[list[Address]], answer: list[Address] | OSError) -> None:
    if future.done():
        return
    if isinstance(answer, OSError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def literal_address(host: str, port: int) -> Address | None:
    """The address that the host already is, if it is one."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    if ip.version == 4:
        return Address(socket.AF_INET, (host, port))
    return Address(socket.AF_INET6, (host, port, 0, 0))


def alternate(addresses: Iterable[Address]) -> list[Address]:
    """Each address once, families taking turns, the resolver's first family first."""
    unique = list(dict.fromkeys(addresses))
    first = [one for one in unique if one.family == unique[0].family]
    rest = [one for one in unique if one.family != unique[0].family]
    return [one for one in chain.from_iterable(zip_longest(first, rest)) if one is not None]


async def connect(addresses: Sequence[Address]) -> tuple[socket.socket, Address]:
    """Connect to the first address that answers, a quarter of a second's head start each; HttpError when all have failed."""
    waiting = list(addresses)
    running: dict[asyncio.Task[socket.socket], Address] = {}
    failures: list[str] = []
    try:
        while waiting or running:
            if waiting:
                address = waiting.pop(0)
                running[asyncio.create_task(_connect_one(address))] = address
            delay = EYEBALLS_DELAY if waiting else None
            done, _ = await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    return task.result(), running.pop(task)
                failures.append(f"{running.pop(task)}: {_reason(task.exception())}")
    finally:
        await _abandon(running)
    raise HttpError(ErrorKind.CONNECT, "can't connect to " + "; ".join(failures[:4]))


async def _abandon(running: Iterable[asyncio.Task[socket.socket]]) -> None:
    """End the attempts that lost the race, those that were just about to win included."""
    tasks = list(running)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True) if tasks else ():
        if isinstance(outcome, socket.socket):
            outcome.close()


async def _connect_one(address: Address) -> socket.socket:
    with contextlib.ExitStack() as failing:
        sock = failing.enter_context(socket.socket(address.family, socket.SOCK_STREAM))
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
        failing.pop_all()
    return sock


def _reason(error: BaseException | None) -> str:
    number = getattr(error, "errno", None)
    return (os.strerror(number) if number else str(error) or type(error).__name__).lower()  # asyncio words its own, with the address again


class Wire(asyncio.Protocol):
    """The receiving side of a connection.

    Unlike StreamReader, it hands out what had arrived before a reset: that may be the very answer that explains it (a server that
    says 413 and hangs up while we still send).
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self._received = bytearray()
        self._error: Exception | None = None
        self._ended = False
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's transport is one
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._received += data
        if len(self._received) > RECEIVE_LIMIT and self.transport and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.lost = self._ended = True
        self._error = exc
        self._wake()

    @property
    def idle(self) -> bool:
        """Whether the connection is alive and silent: fit to be used again."""
        return not (self._ended or self._received)

    async def receive(self) -> bytes:
        """Return what has arrived, waiting for something to; empty at the end. OSError if the connection broke."""
        while not self._received:
            if self._error:
                raise self._error
            if self._ended:
                return b""
            await self._wait()
        data = bytes(self._received)
        self._received.clear()
        if self._paused and self.transport and not self.lost:
            self._paused = False
            self.transport.resume_reading()
        return data

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
