"""The limits that follow from the quota. Pure functions of bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE_SIZE: Final = 4096
"""Bytes of a page of the file."""
SMALLEST: Final = 1 << 20
"""Bytes: below this the tables themselves would not fit."""
LOG_PAGES: Final = 2048
"""Pages (8 MiB): longer logs would only make starting slower."""
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a quota, in bytes.

        0 ──────────── low ──── room ── file ── quota
        appends go on ◀┘        │       │       │
        appends are refused ◀───┘       │       │      until the data is down to `low`: so that back-pressure does not flap
        kept for settling what is there ┘       │
        the ballast ────────────────────────────┘

    SQLite's log comes on top of the file: `log_pages`, or the largest single batch.
    """

    quota: int
    file: int
    """The file itself may grow to this."""
    room: int
    """New rows may fill the file to this."""
    low: int
    ballast: int
    letters: int
    """Share of the dead letters."""
    keep: int
    """Rows of logs that every destination has are kept up to this, to be looked at."""

    @property
    def pages(self) -> int:
        """The file's limit in pages."""
        return self.file // PAGE_SIZE

    @property
    def log_pages(self) -> int:
        """The log is written back when it has so many pages: the room that the ballast gives must do for that on a full disk."""
        return max(min(LOG_PAGES, self.ballast // 2 // PAGE_SIZE), 64)


def limits(quota: int, keep: int = 4 * _MIB) -> Limits:
    """Divide a quota; ConfigError if it is too small to hold anything."""
    if quota < SMALLEST:
        raise ConfigError(f"a spool quota of {quota} bytes is too small: give it at least {SMALLEST} (1 MiB), better 64 MiB")
    ballast = min(max(quota // 100, _MIB), quota // 16)
    file = quota - ballast
    room = file - max(file // 32, 32 * PAGE_SIZE)
    return Limits(quota, file, room, room - room // 10, ballast, quota // 10, min(keep, quota // 8))


def affordable(quota: int, disk: int, file_size: int) -> int:
    """Lower a quota to what a disk with `disk` bytes for us and a limit of `file_size` bytes per file (-1 = none) can bear."""
    ceilings = [quota, disk - disk // 10] + ([file_size // 4 * 3] if file_size >= 0 else [])
    return max(min(ceilings), SMALLEST)


def shrunk(limit: Limits, used: int) -> Limits:
    """Return the limits after a full disk with so many bytes in use: no more than these, and no delivered rows are kept."""
    room = min(limit.room, used)
    return replace(limit, room=room, low=room - room // 10, keep=0)


def need(sizes: Iterable[int], positions: int = 0) -> int:
    """Bytes that rows of these sizes and so many positions take at most: whole pages, and pages for the trees above."""
    pages = sum(-(-size // (PAGE_SIZE - 4)) + 1 for size in sizes)
    return (pages + pages // 64 + positions // 8 + 4) * PAGE_SIZE


def fits_ever(limit: Limits, wanted: int) -> bool:
    """Whether so many bytes fit once everything pending was sent; half of the room is taken as certain."""
    return wanted <= limit.room // 2


def fits(limit: Limits, used: int, wanted: int) -> bool:
    """Whether so many more bytes fit now."""
    return used + wanted <= limit.room


def stays_full(limit: Limits, used: int, refused: int) -> bool:
    """Whether a spool that refused `refused` bytes (0 = it did not) goes on refusing: until a tenth is free, and those bytes fit."""
    return refused > 0 and used > min(limit.low, limit.room - refused)
