"""A damaged spool is set aside and everything that can still be read of it goes into a new one.

    marker ─▶ move log and file aside ─▶ copy into spool.salvaged ─▶ rename it to spool.db ─▶ remove marker

Each step may be the last before a crash: `resume` finds out from the files where it was and goes on from there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.spool.database import Database, log_of, sync_directory
from agent.spool.repair.copy_damaged import copy

if TYPE_CHECKING:
    from pathlib import Path

    from agent.spool.values import SalvageReport

MARKER: Final = "spool.salvage"
FRESH: Final = "spool.salvaged"
ASIDE: Final = "spool.corrupt-"
KEPT: Final = 2
"""Damaged files that are kept to be looked at; older ones are removed, because each may be as large as the quota."""


def begin(path: Path) -> None:
    """Note under which name the damaged file will lie: from here on `resume` finishes the work."""
    if path.with_name(MARKER).exists():
        return
    aside = path.with_name(time.strftime(f"{ASIDE}%Y%m%dT%H%M%SZ.db", time.gmtime()))
    while aside.exists():
        aside = aside.with_name(f"{aside.stem}.1.db")
    draft = path.with_name(f"{MARKER}.new")
    draft.write_text(aside.name, encoding="utf-8")
    draft.rename(path.with_name(MARKER))
    sync_directory(path.parent)


def resume(path: Path, max_pages: int, reason: str) -> SalvageReport | None:
    """Finish a salvage that was begun; None if there is none."""
    marker = path.with_name(MARKER)
    if not marker.exists():
        return None
    aside = path.with_name(marker.read_text(encoding="utf-8"))
    report = None
    if not (aside.exists() and path.exists()):
        _move(path, aside)
        crash_point("spool.salvage_moved")
        report = _rebuild(path, aside, max_pages, reason) if aside.exists() else None
    crash_point("spool.salvage_done")
    marker.unlink()
    _thin_out(path.parent)
    sync_directory(path.parent)
    return report


def _move(path: Path, aside: Path) -> None:
    """Move log and file aside, the log first: alone it is harmless, beside a new file it would be taken for that one's."""
    for old, new in ((log_of(path), log_of(aside)), (path, aside)):
        if old.exists():
            old.rename(new)
    sync_directory(path.parent)


def _rebuild(path: Path, aside: Path, max_pages: int, reason: str) -> SalvageReport:
    fresh = path.with_name(FRESH)
    for leftover in (fresh, log_of(fresh)):
        leftover.unlink(missing_ok=True)
    target = Database(fresh, max_pages)
    try:
        report = copy(aside, target, reason)
        target.checkpoint(truncate=True)
    finally:
        target.close()
    crash_point("spool.salvage_rows")
    fresh.rename(path)
    sync_directory(path.parent)
    return report


def _thin_out(directory: Path) -> None:
    """Remove all but the newest damaged files."""
    for old in sorted(directory.glob(f"{ASIDE}*.db"))[:-KEPT]:
        for file in (old, log_of(old)):
            file.unlink(missing_ok=True)
