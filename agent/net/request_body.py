"""A request's body and its bounds: bytes as sent, bytes once decompressed, and memory for all bodies of a server together.

    head ──▶ 415 coding unknown, 413 announced too large ──▶ pieces ──▶ 413, 503 no memory left, 400 not decompressable ──▶ the body

Decisions only: `server_connection` reads the bytes and bounds the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from agent.net.decode import WBITS, BodyTooLargeError, Inflater
from agent.net.server_message import RefusedError

if TYPE_CHECKING:
    from agent.net.server_message import BodyLimits, ServerRequest

CODINGS: Final = ", ".join(WBITS)
RETRY_AFTER: Final = "1"
"""Seconds after which a client may try again: other bodies take the memory, or the spool takes nothing."""
PACKED_SLICE: Final = 1024
"""Bytes of a compressed body that are decompressed at a time: deflate makes at most 1 MiB of them."""
PLAIN_SLICE: Final = 64 * 1024
"""Bytes of another body that are added at a time."""


class BodyMemory:
    """The memory for all bodies of a server, in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def take(self, size: int) -> None:
        """Reserve bytes; RefusedError if not enough are left."""
        if self._taken + size > self._limit:
            message = f"other requests take the {self._limit} bytes that are kept for bodies: try again later"
            raise RefusedError("body_memory", 503, message, ("retry-after", RETRY_AFTER))
        self._taken += size

    def give_back(self, size: int) -> None:
        """Release reserved bytes."""
        self._taken -= size


class Body:
    """The body of one request, until it is answered."""

    def __init__(self, request: ServerRequest, limits: BodyLimits, memory: BodyMemory) -> None:
        """RefusedError if the head alone decides so."""
        coding = request.headers.get("content-encoding", "").strip().lower()
        if coding not in ("", "identity", *WBITS):
            accepted = ("accept-encoding", CODINGS)  # RFC 9110 section 15.5.16
            raise RefusedError("body_coding", 415, f"the Content-Encoding {coding[:40]!r} is not one of {CODINGS}", accepted)
        limit = limits.packed if coding in WBITS else limits.size
        announced = int(request.headers.get("content-length", "0"))  # h11 has refused anything but digits
        if announced > limit:
            raise RefusedError("body_too_large", 413, f"the body has {announced} bytes, at most {limit} are taken")
        self._memory = memory
        self._held = 0
        self.slice_size = PACKED_SLICE if coding in WBITS else PLAIN_SLICE
        """Bytes to feed at a time, so that no call takes long."""
        self._inflater = Inflater(coding, limits.size, limit, self._hold)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.give_back(self._held)

    def feed(self, data: bytes) -> None:
        """Add a piece; RefusedError."""
        try:
            self._inflater.feed(data)
        except BodyTooLargeError as error:
            raise RefusedError("body_too_large", 413, str(error)) from error
        except ValueError as error:
            raise _damaged(error) from error

    def whole(self) -> bytes:
        """Return the body; RefusedError if its compressed form ends too early."""
        try:
            return self._inflater.finish()
        except ValueError as error:
            raise _damaged(error) from error

    def _hold(self, size: int) -> None:
        self._memory.take(size)
        self._held += size


def _damaged(error: ValueError) -> RefusedError:
    return RefusedError("body_damaged", 400, f"the body can't be decompressed: {error}")
