"""The agent's last warnings and errors, one for each cause, for the status page: so that what repeats does not push out what happened once."""

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
"""The details that say why."""

Key = tuple[str, tuple[str, ...], str]


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning or an error, and how often it has come."""

    time_ns: int
    """When it came last, nanoseconds since the Unix epoch."""
    level: Level
    name: str
    details: Mapping[str, object]
    """Of the last one."""
    count: int = 1


def cause_of(details: Mapping[str, object]) -> str:
    """Why something happened, by the event's fields; numbers don't make another cause."""
    return _NUMBER.sub("#", next((str(details[key]) for key in _CAUSES if details.get(key)), ""))


class Notices:
    """Keeps the newest. When there are too many, the oldest warning goes before any error does."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[Key, Notice] = {}

    def add(self, labels: tuple[str, ...], notice: Notice) -> None:
        """Note it. What has the same name, labels and cause is one; numbers in a cause don't make another."""
        key = notice.name, labels, cause_of(notice.details)
        before = self._kept.pop(key, None)
        self._kept[key] = notice if before is None else replace(notice, count=before.count + notice.count)
        if len(self._kept) > self._most:
            del self._kept[min(self._kept, key=self._worth)]

    def __iter__(self) -> Iterator[Notice]:
        """The newest first."""
        return reversed(list(self._kept.values()))

    def _worth(self, key: Key) -> tuple[Level, int]:
        return self._kept[key].level, self._kept[key].time_ns
