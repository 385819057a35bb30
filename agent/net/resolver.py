"""Names to addresses. Lookups run in daemon threads: a name server that does not answer delays neither a deadline nor the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, NamedTuple

from agent.net.errors import ErrorKind, NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Address(NamedTuple):
    """An address and port to connect to."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]

    def __str__(self) -> str:
        host = f"[{self.sockaddr[0]}]" if self.family == socket.AF_INET6 else self.sockaddr[0]
        return f"{host}:{self.sockaddr[1]}"


class Resolver:
    """Looks names up. Callers that ask for the same name at the same time share a lookup; no answer is cached."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Return all addresses of a host, the best first, families alternating (RFC 8305 section 4); NetworkError if there is none."""
        if literal := literal_address(host, port):
            return [literal]
        key = host, port
        if key not in self._asked:
            future = self._asked[key] = asyncio.get_running_loop().create_future()
            future.add_done_callback(lambda done: self._forget(key, done))
            _ask(host, port, future)
        try:
            return await asyncio.shield(self._asked[key])  # other callers may share it: this one's cancellation is not theirs
        except OSError as error:
            raise NetworkError(ErrorKind.RESOLVE, f"can't resolve {host}: {error.strerror or error}") from error

    def _forget(self, key: tuple[str, int], done: asyncio.Future[list[Address]]) -> None:
        self._asked.pop(key, None)
        if not done.cancelled():
            done.exception()  # marks it as retrieved, in case all callers are gone


def _ask(host: str, port: int, future: asyncio.Future[list[Address]]) -> None:
    try:
        threading.Thread(target=_look_up, args=(host, port, future), name=f"resolve {host}", daemon=True).start()
    except RuntimeError as error:  # no thread is available (a pids limit): that passes
        future.get_loop().call_soon(_settle, future, OSError(str(error)))


def _look_up(host: str, port: int, future: asyncio.Future[list[Address]]) -> None:
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answer: list[Address] | OSError = alternate(Address(info[0], info[4]) for info in infos)  # type: ignore[arg-type]
    except OSError as error:
        answer = error
    except UnicodeError:  # a label that is empty or too long
        answer = OSError(socket.EAI_NONAME, "not a valid host name")
    with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
        future.get_loop().call_soon_threadsafe(_settle, future, answer)


def _settle(future: asyncio.Future[list[Address]], answer: list[Address] | OSError) -> None:
    if future.done():
        return
    if isinstance(answer, OSError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def literal_address(host: str, port: int) -> Address | None:
    """Return the address if the host is written as one."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    if ip.version == 4:
        return Address(socket.AF_INET, (host, port))
    return Address(socket.AF_INET6, (host, port, 0, 0))


def alternate(addresses: Iterable[Address]) -> list[Address]:
    """Return each address once, families in turn, the resolver's first family first."""
    unique = list(dict.fromkeys(addresses))
    first = [one for one in unique if one.family == unique[0].family]
    rest = [one for one in unique if one.family != unique[0].family]
    return [one for one in chain.from_iterable(zip_longest(first, rest)) if one is not None]
