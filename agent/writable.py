"""Whether a directory can be written, before anything is written there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def why_not_writable(directory: Path) -> str:
    """Why the directory, or the nearest one above it that exists, can't be written, with the fix; "" if it can."""
    place = directory.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is not a directory: move it away"
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return f"{place} is on a file system that is mounted read-only: mount a volume that can be written"
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return f"user {os.geteuid()} may not write in {place}: give it to this user"
    return ""
