"""A damaged spool is set aside and everything that can still be read of it goes into a new one.

    marker ─▶ move log and file aside ─▶ copy into spool.salvaged ─▶ rename it to spool.db ─▶ remove marker

Each step may be the last before a crash: `resume` finds out from the files where it was and goes on from there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.spool import paths
from agent.spool.database import log_of
from agent.spool.paths import FRESH, MARKER
from agent.spool.repair.copy_damaged import copy

if TYPE_CHECKING:
    from pathlib import Path

    from agent.spool.values import SalvageReport

_ASIDE: Final = "spool.corrupt-{}.db"
_ASIDE_NAME: Final = re.compile(r"spool\.corrupt-[0-9TZ.]+\.db")
KEPT: Final = 2
"""Damaged files that are kept to be looked at; older ones are removed, because each may be as large as the quota."""


def begin(path: Path) -> None:
    """Note under which name the damaged file will lie: from here on `resume` finishes the work."""
    if not path.with_name(MARKER).exists():
        _mark(path)


def resume(path: Path, max_pages: int, reason: str) -> SalvageReport | None:
    """Finish a salvage that was begun; None if there is none."""
    marker = path.with_name(MARKER)
    if not marker.exists():
        return None
    aside = _aside(path)
    report = None
    if not (aside.exists() and path.exists()):
        _move(path, aside)
        crash_point("spool.salvage_moved")
        report = _rebuild(path, aside, max_pages, reason) if aside.exists() or log_of(aside).exists() else None
    crash_point("spool.salvage_done")
    marker.unlink()
    _thin_out(path.parent)
    paths.sync(path.parent)
    return report


def _mark(path: Path) -> Path:
    aside = paths.free_name(path.parent, _ASIDE)
    draft = path.with_name(f"{MARKER}.new")
    draft.unlink(missing_ok=True)
    paths.create(draft, aside.name.encode())
    draft.rename(path.with_name(MARKER))
    paths.sync(path.parent)
    return aside


def _aside(path: Path) -> Path:
    """Return what the marker says; where it is damaged, what it must have said."""
    said = path.with_name(MARKER).read_bytes()[:64].decode("utf-8", "replace")
    if _ASIDE_NAME.fullmatch(said):
        return path.with_name(said)
    return _newest(path.parent) if not path.exists() and _kept(path.parent) else _mark(path)


def _move(path: Path, aside: Path) -> None:
    """Move log and file aside, the log first: alone it is harmless, beside a new file it would be taken for that one's."""
    for old, new in ((log_of(path), log_of(aside)), (path, aside)):
        if old.exists():
            old.rename(new)
    paths.sync(path.parent)


def _rebuild(path: Path, aside: Path, max_pages: int, reason: str) -> SalvageReport:
    fresh = path.with_name(FRESH)
    for leftover in (fresh, log_of(fresh)):
        leftover.unlink(missing_ok=True)
    report = copy(aside, fresh, max_pages, reason)
    crash_point("spool.salvage_rows")
    fresh.rename(path)
    paths.sync(path.parent)
    return report


def _kept(directory: Path) -> list[Path]:
    return sorted(directory.glob(_ASIDE.format("*")))


def _newest(directory: Path) -> Path:
    return _kept(directory)[-1]


def _thin_out(directory: Path) -> None:
    """Remove all but the newest damaged files."""
    for old in _kept(directory)[:-KEPT]:
        for file in (old, log_of(old)):
            file.unlink(missing_ok=True)
