"""Checksums of stored values, and their compression. SQLite itself does not notice a flipped bit in a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from isal import isal_zlib

if TYPE_CHECKING:
    from agent.record import Payload

LEVEL: Final = 2
"""isal's default: 1.5 GB/s, and as small as zlib level 6 makes it."""
GZIP: Final = 31
"""zlib's `wbits` for the gzip container; its header carries no time, so the same bytes give the same bytes."""


class Packed(NamedTuple):
    """A payload in its stored form."""

    signal: str
    records: int
    raw_size: int
    body: bytes
    """gzip."""


def pack(payload: Payload) -> Packed:
    """Compress a payload: the same bytes give the same bytes."""
    return Packed(payload.signal.value, payload.records, len(payload.body), squeeze(payload.body))


def squeeze(body: bytes) -> bytes:
    """Return the gzip of `body`, the same for the same bytes."""
    return bytes(isal_zlib.compress(body, LEVEL, GZIP))


def checksum(*fields: str | int | None, body: bytes = b"") -> int:
    """CRC-32 over fields (with their borders) and body."""
    head = "\0".join(str(field) for field in fields).encode("utf-8", "surrogatepass")
    return int(isal_zlib.crc32(head, isal_zlib.crc32(body)))
