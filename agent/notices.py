"""The agent's latest warnings and errors for the status page, one for each cause, so that repeats do not displace single ones."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.own_log import Level

MOST: Final = 20
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_CAUSES: Final = ("error", "reason", "detail", "message", "what")
"""The fields of an event that name its cause."""

Key = tuple[str, tuple[str, ...], str]


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning or an error, and the number of its occurrences."""

    time_ns: int
    """The time of the last occurrence, nanoseconds since the Unix epoch."""
    level: Level
    name: str
    details: Mapping[str, object]
    """The fields of the last occurrence."""
    count: int = 1


def cause_of(details: Mapping[str, object]) -> str:
    """The cause in an event's fields. Texts that differ in numbers only are one cause."""
    return _NUMBER.sub("#", next((str(details[key]) for key in _CAUSES if details.get(key)), ""))


class Notices:
    """Keeps the newest notices. When there are too many, the oldest warning is dropped before any error."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[Key, Notice] = {}

    def add(self, labels: tuple[str, ...], notice: Notice) -> None:
        """Add a notice. One with the same name, labels and cause replaces its predecessor and counts on."""
        key = notice.name, labels, cause_of(notice.details)
        before = self._kept.pop(key, None)
        self._kept[key] = notice if before is None else replace(notice, count=before.count + notice.count)
        if len(self._kept) > self._most:
            del self._kept[min(self._kept, key=self._worth)]

    def __iter__(self) -> Iterator[Notice]:
        """All notices, newest first."""
        return reversed(list(self._kept.values()))

    def _worth(self, key: Key) -> tuple[Level, int]:
        return self._kept[key].level, self._kept[key].time_ns
