"""Values that go into the spool and come out of it, beside rows. Immutable."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

OWN: Final = ""
"""The destination name of the spool's own ledger lines: there `sent` means "let go, as every destination was past it"."""

DEFAULT_QUOTA: Final = 1 << 30
"""Bytes."""


class DeadLetter(NamedTuple):
    """Records of a row that a destination refused for good."""

    reason: str
    records: int
    body: bytes | None = None
    """The part of the row that was refused, encoded and not compressed; None = the whole row."""


class StoredLetter(NamedTuple):
    """A dead letter as it lies in the spool."""

    id: int
    seq: int
    signal: str
    source: str
    destination: str
    """The destination that refused it; empty = the spool itself, because its checksum was wrong (reason `corrupt`)."""
    reason: str
    at_ns: int
    """Wall clock, nanoseconds since the Unix epoch."""
    records: int
    size: int
    """Bytes, compressed."""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """The account of the records of one source and signal on their way to one destination."""

    source: str
    destination: str
    signal: str
    accepted: int = 0
    sent: int = 0
    rejected: int = 0
    dead_lettered: int = 0
    evicted: int = 0
    pending: int = 0
    """Counted from the rows behind the cursor, not kept as a number: so the law below can be seen to fail."""

    @property
    def balance(self) -> int:
        """Zero by the law: accepted = sent + rejected + dead-lettered + evicted + pending."""
        return self.accepted - self.sent - self.rejected - self.dead_lettered - self.evicted - self.pending


class Drop(NamedTuple):
    """Records that a source could not read or parse: never accepted."""

    source: str
    reason: str
    records: int


class Loss(NamedTuple):
    """Records that were accepted and did not arrive, by reason."""

    kind: str
    """`rejected`, `evicted`, `dead_lettered`, or `dead_letter_evicted` (a dead letter that made room for newer ones)."""
    source: str
    destination: str
    signal: str
    reason: str
    records: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """The whole account. Counts are records, and survive restarts."""

    lines: tuple[LedgerLine, ...] = ()
    """Per source, destination and signal."""
    stored: tuple[LedgerLine, ...] = ()
    """The spool's own lines, destination `OWN`: everything accepted, and what of it is still in the file."""
    drops: tuple[Drop, ...] = ()
    losses: tuple[Loss, ...] = ()

    def violations(self) -> tuple[str, ...]:
        """Return one sentence per line that breaks the law; empty is how it must be."""
        return tuple(
            f"{line.source} → {line.destination or 'spool'} ({line.signal}): accepted {line.accepted} ≠ sent {line.sent} + rejected"
            f" {line.rejected} + dead-lettered {line.dead_lettered} + evicted {line.evicted} + pending {line.pending}"
            for line in (*self.lines, *self.stored)
            if line.balance != 0
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one destination is with one signal."""

    destination: str
    signal: str
    seq: int
    """The last row it is done with."""
    pending: int
    """Records behind the cursor's back still to be sent."""


class State(StrEnum):
    """The state of the spool.

        ok ⇄ full        the quota is used up; clears with hysteresis once rows were let go
        ok ⇄ degraded    the file cannot be written, because the disk is full, say; tried again with back-off

    Full and degraded appends are refused, not lost.
    """

    OK = "ok"
    FULL = "full"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class SpoolStat:
    """Figures of the spool at one moment. Sizes are bytes."""

    path: Path
    state: State
    reason: str
    quota: int
    used: int
    """Live data: pages in use."""
    file_size: int
    wal_size: int
    ballast_size: int
    rows: int
    records: int
    oldest_ns: int | None
    """When the oldest stored row was stored, nanoseconds since the Unix epoch."""
    dead_letters: int
    cursors: tuple[Cursor, ...]
    configured: tuple[str, ...] | None
    """Destinations that are configured, or were when the agent last ran; None = unknown, an older agent wrote the file."""
    orphans: tuple[str, ...]
    """Destinations with a cursor in the file that are not configured: they hold rows until `gc`."""
    sqlite: str
    schema: int


class SalvageReport(NamedTuple):
    """The file was damaged: the counts of what was saved and what was not."""

    reason: str
    moved_to: Path
    rows: int
    """Rows saved."""
    rows_damaged: int
    """Rows seen whose checksum was wrong."""
    records_lost: int
    """Accepted records that were pending and are gone, by the ledger (counted as dead-lettered, reason `corrupt`)."""
    positions: int
    positions_lost: bool
    """True if positions may be missing: such files are read again from where `start_at` says."""


class Restored(NamedTuple):
    """The file was deleted or replaced while it was in use, and was written again from the open file."""

    reason: str
    moved_to: Path | None
    """Where the other file is now, if there was one."""


class LogRemoved(NamedTuple):
    """The spool's write-ahead log was removed while no agent ran: its last commits are undone, rows and positions together."""

    path: Path


class SpoolRemoved(NamedTuple):
    """The spool's file was removed or emptied while no agent ran: stored rows are lost, and sources begin again."""

    path: Path


class Exposed(NamedTuple):
    """Other users than the agent's and root can change stored data: make the directory the agent's alone."""

    directory: Path
    reason: str


class Misplaced(NamedTuple):
    """Something that is not a regular file had the name of one of our files, and was moved aside."""

    path: Path
    kind: str
    moved_to: Path


class Mended(NamedTuple):
    """Wrong checksums were found in small tables at the start, and these rows were left out.

    Cursors: the destination gets stored rows again. Ledger: the line counts from what is pending. Positions: the second copy served.
    """

    tables: tuple[str, ...]


class Quarantined(NamedTuple):
    """A stored row's checksum was wrong: it is a dead letter now and was not exported."""

    seq: int
    signal: str
    source: str
    records: int


class StateChanged(NamedTuple):
    """The spool became full or degraded, or recovered."""

    state: State
    reason: str


SpoolEvent = SalvageReport | Restored | LogRemoved | SpoolRemoved | Exposed | Misplaced | Mended | Quarantined | StateChanged
