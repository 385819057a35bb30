"""The parts of a row on its way: halved where a destination finds it too large, with what has become of their records. Pure.

The row is settled as a whole, once each part has found its end. The same row gives the same parts, byte by byte.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.component import Accepted
    from agent.record import Row
    from agent.spool.values import DeadLetter

FORGET_LIMIT: Final = 600.0
"""Seconds after which a size that was too large is tried again: limits get raised."""


@dataclass(slots=True)
class Tally:
    """The ends that a row's records have found so far."""

    sent: int = 0
    rejected: int = 0
    message: str = ""
    """Why some were rejected."""
    dead: list[DeadLetter] = field(default_factory=list)
    positions: dict[str, bytes | None] = field(default_factory=dict)
    """State that the exporter needs after a kill."""

    def accept(self, records: int, accepted: Accepted) -> None:
        """Add a part that was taken, wholly or partially."""
        rejected = min(max(accepted.rejected, 0), records)
        self.sent += records - rejected
        self.rejected += rejected
        self.message = accepted.message or self.message
        self.positions |= accepted.positions


@dataclass(slots=True)
class LearnedLimit:
    """The smallest request that a destination found too large, so that what is certainly too large isn't sent first."""

    packed: int = 0
    raw: int = 0
    learned: float | None = None

    def exceeded(self, row: Row, now: float) -> bool:
        """Whether the row is too large by both measures (it is unknown which one the destination limits)."""
        known = self.learned is not None and now - self.learned < FORGET_LIMIT
        return known and len(row.body) >= self.packed and row.raw_size >= self.raw

    def learn(self, row: Row, now: float) -> None:
        """Note a row that was too large."""
        self.packed, self.raw, self.learned = len(row.body), row.raw_size, now


def halve_row(row: Row) -> tuple[Row, Row] | None:
    """Make two rows of one, both with the number of the first; None if it can't be split. The same row gives the same bytes, always."""
    from agent.encode.halve import halve  # noqa: PLC0415 - its protobuf classes cost memory that only a 413 is worth

    halves = halve(row.signal, zlib.decompress(row.body, wbits=31))
    if halves is None:
        return None
    total = sum(half.records for half in halves)
    first = row.records * halves[0].records // total  # the same as halves[0].records, unless the row was stored with another count
    return _part(row, first, halves[0].body), _part(row, row.records - first, halves[1].body)


def _part(row: Row, records: int, body: bytes) -> Row:
    return row._replace(records=records, body=zlib.compress(body, level=6, wbits=31), raw_size=len(body))
