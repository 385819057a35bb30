"""Access to the pages over TCP: passwords, a bearer token, a rate. The control socket needs none: only the agent's own user can open it.

request ──▶ rate limit ──429──▶
└──▶ credentials, if any are configured ──401──▶ (──429──▶ while too many are being checked)
└──▶ page
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
from _blake2 import blake2b
from typing import TYPE_CHECKING, Final

from agent.net.server_message import RefusedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from agent.net.server_message import ServerRequest

KNOWN: Final = 100
"""Right passwords that are remembered (as digests under a key that dies with the process): bcrypt takes 70 ms and more for each."""
QUEUE: Final = 8
"""Passwords that are checked or wait for it. Further ones are refused for now, so that a client that guesses does not take all connections."""
_COST: Final = slice(4, 6)
"""The cost in a bcrypt hash."""
_LONGEST: Final = 72
"""Bytes of a password that bcrypt uses."""


class CrowdedError(Exception):
    """Too many passwords are being checked."""


class Credentials:
    """Basic users with bcrypt hashes, and a bearer token; either is enough."""

    def __init__(self, users: Mapping[str, str], token: str | None) -> None:
        self._users = {name.encode(): value.encode() for name, value in users.items()}
        self._key = os.urandom(32)
        self._token = self._digest(token.encode()) if token else None
        self._right: dict[bytes, None] = {}
        self._nobody = max(self._users.values(), key=lambda stored: stored[_COST], default=b"")
        """Compared with when there is no such user, so that the time does not show it."""
        self._one_at_a_time = asyncio.Lock()
        self._queued = 0
        self.challenge = ", ".join(['Basic realm="outrider"'] * bool(users) + ["Bearer"] * bool(token))

    async def fit(self, authorization: str) -> bool:
        """Whether an `Authorization` header is valid. CrowdedError: it can't be checked now."""
        scheme, _, rest = authorization.partition(" ")
        value = rest.strip().encode("latin-1", "replace")
        if scheme.lower() == "bearer":
            return self._token is not None and self._digest(value) == self._token
        if scheme.lower() != "basic" or not self._users:
            return False
        try:
            user, colon, password = base64.b64decode(value, validate=True).partition(b":")
        except binascii.Error:
            return False
        return bool(colon) and await self._password_fits(user, password)

    async def _password_fits(self, user: bytes, password: bytes) -> bool:
        stored = self._users.get(user)
        known = self._digest(user, stored or b"", password)
        if known in self._right:
            return True
        if self._queued >= QUEUE:
            raise CrowdedError
        self._queued += 1
        try:
            async with self._one_at_a_time:  # guessing takes one core at most
                fits = await asyncio.to_thread(_bcrypt_fits, password, stored or self._nobody) and stored is not None
        finally:
            self._queued -= 1
        if fits:
            self._right[known] = None
            if len(self._right) > KNOWN:
                del self._right[next(iter(self._right))]
        return fits

    def _digest(self, *parts: bytes) -> bytes:
        """Digest under a secret key. Such digests need no comparison in constant time: its duration does not show what was digested."""
        return blake2b(b"".join(len(part).to_bytes(4) + part for part in parts), key=self._key, digest_size=32).digest()


def _bcrypt_fits(password: bytes, stored: bytes) -> bool:
    import bcrypt  # noqa: PLC0415 - an optional package, needed only with users

    try:
        return bcrypt.checkpw(password[:_LONGEST], stored)
    except ValueError:  # a NUL in the password, say
        return False


class TokenBucket:
    """A token bucket: `burst` requests at once, and one more every `interval` seconds."""

    def __init__(self, interval: float, burst: int, now: Callable[[], float]) -> None:
        self._interval = interval
        self._burst = burst
        self._now = now
        self._tokens = float(burst)
        self._at = now()

    def take(self) -> bool:
        """Whether a request may pass now."""
        if self._interval <= 0:
            return True
        now = self._now()
        self._tokens = min(float(self._burst), self._tokens + (now - self._at) / self._interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class AccessControl:
    """The rate, then the credentials; and the certificates of clients."""

    def __init__(self, credentials: Credentials | None, bucket: TokenBucket | None, names: frozenset[str] = frozenset()) -> None:
        self._credentials = credentials
        self._bucket = bucket
        self._names = names
        """Allowed names in client certificates; empty = any certificate that is verified."""

    async def check(self, request: ServerRequest) -> None:
        """Let the request pass, or raise RefusedError."""
        if self._bucket is not None and not self._bucket.take():
            raise RefusedError("rate_limited", 429, "too many requests")
        try:
            if self._credentials is None or await self._credentials.fit(request.headers.get("authorization", "")):
                return
        except CrowdedError:
            raise RefusedError("passwords_queued", 429, "too many passwords at once") from None
        raise RefusedError("unauthorized", 401, "unauthorized", ("www-authenticate", self._credentials.challenge))

    def admits(self, certificate: ssl._PeerCertRetDictType | None) -> bool:
        """Whether a client with this verified certificate may connect: one of its subject alternative names (DNS, IP, e-mail, URI) is allowed."""
        found = {pair[1] for pair in (certificate or {}).get("subjectAltName", ())}
        return not self._names or bool(self._names & found)
