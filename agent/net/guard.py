"""A resolver that refuses where a probe must not go. It decides on the very addresses that are connected to, so a name cannot change its mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.net.addresses import probe_objection
from agent.net.connect import Resolver
from agent.net.message import ErrorKind, HttpError

if TYPE_CHECKING:
    from agent.net.connect import Address


class GuardedResolver(Resolver):
    """As its parent, less the addresses that credentials are handed out at."""

    def __init__(self, *, allow_link_local: bool) -> None:
        super().__init__()
        self._allow_link_local = allow_link_local

    async def resolve(self, host: str, port: int) -> list[Address]:
        """The allowed addresses of a host; HttpError if there is none."""
        addresses = await super().resolve(host, port)
        objections = {address: probe_objection(address.sockaddr[0], allow_link_local=self._allow_link_local) for address in addresses}
        allowed = [address for address in addresses if objections[address] is None]
        if not allowed:
            raise HttpError(ErrorKind.CONNECT, next(iter(objections.values()), None) or f"{host} has no address")
        return allowed
