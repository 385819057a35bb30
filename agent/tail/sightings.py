"""The state of files without a known content at earlier scans: whether they are at rest, and which contents were there before them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.tail.decide import FileCandidate

RESTLESS: Final = 2.0
"""Seconds after which a file is identified although it is still being written."""
_ROTATION: Final = 10.0
"""Seconds that may pass between the copy of a file and its truncation."""


class Sighting(NamedTuple):
    """The state of a file that may be a copy."""

    since: int
    """The serial that was next when it was seen first, or last in change: what has a lower one was there before."""
    first: float
    """When it was seen first, monotonic seconds."""
    size: int
    mtime_ns: int
    at_rest: bool
    """Nothing was written between two scans; or we have waited long enough."""


class Sightings:
    """Remembers files until they are identified."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Sighting] = {}
        self.now = 0.0

    def __getitem__(self, candidate: FileCandidate) -> Sighting:
        return self._known[candidate.found.id]

    def add(self, candidates: Sequence[FileCandidate], serial: int) -> None:
        """Remember the present state of these files; `serial` is that of the next content."""
        live = {one.live_path: one.found.mtime_ns for one in candidates if one.is_live}
        for one in candidates:
            live_mtime_ns = live.get(one.live_path)
            # what was written after the live file was is younger than that, though both are seen only now
            is_younger = live_mtime_ns is not None and one.found.mtime_ns >= live_mtime_ns
            self._known[one.found.id] = self._seen(one, serial + len(candidates) * is_younger)

    def _seen(self, candidate: FileCandidate, since: int) -> Sighting:
        file, before = candidate.found, self._known.get(candidate.found.id)
        if before is None:
            return Sighting(since, self.now, file.size, file.mtime_ns, at_rest=False)
        if (before.size, before.mtime_ns) == (file.size, file.mtime_ns):
            return before._replace(at_rest=before.at_rest or before.first < self.now)
        return before._replace(since=since, size=file.size, mtime_ns=file.mtime_ns, at_rest=self.now - before.first > RESTLESS)

    def is_old(self, candidate: FileCandidate) -> bool:
        """Whether a rotation that made a file would have ended."""
        return self.now - self[candidate].first > _ROTATION

    def forget(self, candidate: FileCandidate) -> None:
        """The file is identified."""
        del self._known[candidate.found.id]
