"""How much is stored of a batch that needs several transactions, for the case that the agent dies between two of them. Pure.

Each of its transactions except the last holds, per origin, the offset of the last record stored so far, as a position of the intake's own. A source
that reads again from the same position gives the same records, in whatever batches: those up to that offset are stored.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.record import LogRecord

KEY: Final = "ahead"
"""The key among the positions that the intake keeps for a source."""


def encode(ahead: Mapping[str, int]) -> bytes | None:
    """Make the stored form; without offsets None, which deletes the key."""
    return json.dumps(ahead).encode() if ahead else None


def decode(stored: bytes | None) -> dict[str, int]:
    """Read `encode`'s bytes back."""
    return json.loads(stored) if stored else {}


def extended(ahead: Mapping[str, int], records: Iterable[LogRecord]) -> dict[str, int]:
    """Origin's key → offset of its last stored record, once these are stored too."""
    return {**ahead, **{record.origin.key: record.offset for record in records}}


def unstored(ahead: Mapping[str, int], records: Sequence[LogRecord]) -> Sequence[LogRecord]:
    """The records that are not stored yet."""
    return [record for record in records if record.offset > ahead.get(record.origin.key, -1)]


def left(ahead: Mapping[str, int], records: Iterable[LogRecord]) -> dict[str, int]:
    """The offsets that are still needed when the positions behind these records are stored: those beyond them."""
    last = extended({}, records)
    return {key: offset for key, offset in ahead.items() if last.get(key, -1) < offset}
