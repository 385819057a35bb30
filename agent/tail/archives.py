"""Where rotated files may lie: beside their live file, in a directory below (`old/`, `archive/`, `2026-03/`), or where the configuration says.

Only one level below: deeper directories, and other places, must be configured.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent.tail.discover import Listings

_MOST: Final = 32
"""Directories below that of a live file; where there are more, they are not for rotated files."""


class Archives:
    """The directories in which rotated files are looked for, by the directory of the live file and the other way round."""

    def __init__(self, listings: Listings, live: Collection[str], configured: tuple[str, ...], *, enabled: bool) -> None:
        """Take the directories of the live files at each time. Without `enabled` these are all."""
        self._listings = listings
        self._live = live
        self._configured = configured
        self._enabled = enabled

    def refresh(self) -> None:
        """Read the changed directories again."""
        if self._enabled and self._live:
            for path in dict.fromkeys((*self._configured, *(below for directory in self._live for below in self._below(directory)))):
                self._listings.refreshed(path)

    def of(self, directory: str) -> list[str]:
        """The directories of files that were rotated from a directory: itself and its archives."""
        return list(dict.fromkeys((directory, *self._below(directory), *self._configured))) if self._enabled else [directory]

    def served(self, directory: str) -> list[str]:
        """The directories of live files whose rotated ones may lie in this one: the nearest first."""
        if not self._enabled:
            return [directory]
        if directory in self._configured:
            return list(dict.fromkeys((directory, *self._live)))
        above = os.path.dirname(directory)
        return [directory, above] if above in self._live and directory in self._below(above) else [directory]

    def _below(self, directory: str) -> list[str]:
        entries = self._listings.get(directory).entries
        names = [name for name, entry in entries.items() if entry.is_dir and not name.startswith(".")]
        return [os.path.join(directory, name) for name in names] if len(names) <= _MOST else []
