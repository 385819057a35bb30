"""Files that are asked for and can't be read now, and directories that globs go through. Each is reported once, however often it is looked at."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.tail.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DIRECTORY: Final = "unreadable_directory"
"""The event of a directory."""


NOT_REGULAR: Final = "not a regular file"
NOT_TEXT: Final = "not_text"
"""The event of a compressed or binary file."""


class Refusal(NamedTuple):
    """Why a path is not read."""

    event: str
    """`unreadable`, `unreadable_directory`, `not_regular` or `not_text`: from an enumeration, for a metric's label."""
    reason: str
    """In the kernel's words."""


class PathGroup(NamedTuple):
    """Paths that are not read for one reason."""

    refusal: Refusal
    first: str
    number: int


class Unreadable:
    """The paths, and why."""

    def __init__(self) -> None:
        self._now: dict[str, Refusal] = {}
        self._new: dict[str, Refusal] = {}

    def note(self, path: str, event: str, reason: str) -> None:
        """A path can't be read."""
        if path not in self._now:
            self._new[path] = Refusal(event, reason)
        self._now[path] = Refusal(event, reason)

    def clear(self, path: str) -> None:
        """It can be read, or no glob asks for it any more."""
        self._now.pop(path, None)

    def take_new(self) -> list[PathGroup]:
        """The paths that were noted for the first time since the last call."""
        new, self._new = self._new, {}
        return groups(new)

    def groups(self) -> list[PathGroup]:
        """The paths that can't be read now; those that do not exist any more are forgotten."""
        for path in [path for path in self._now if not os.path.lexists(path)]:
            del self._now[path]
        return groups(self._now)

    def __iter__(self) -> Iterator[tuple[str, Refusal]]:
        return iter(self._now.items())

    def __bool__(self) -> bool:
        return bool(self._now)


def groups(refusals: Mapping[str, Refusal]) -> list[PathGroup]:
    """One for each reason."""
    by_reason: defaultdict[Refusal, list[str]] = defaultdict(list)
    for path, refusal in sorted(refusals.items()):
        by_reason[refusal].append(path)
    return [PathGroup(refusal, paths[0], len(paths)) for refusal, paths in by_reason.items()]


def sentences(found: Iterable[PathGroup]) -> list[str]:
    """One for each group, with what to do about it."""
    telling = [one for one in found if one.refusal.reason != NOT_REGULAR]  # a FIFO or a socket in a log directory is nothing to mend
    return ["; ".join(filter(None, (f"{_subject(one)}: {one.refusal.reason}", remedy(one)))) for one in telling]


def _subject(group: PathGroup) -> str:
    kind = "directory" if group.refusal.event == DIRECTORY else "file"
    if group.number == 1:
        return f"the {kind} {printable(group.first)} can't be read"
    plural = "directories" if kind == "directory" else "files"
    return f"{group.number} {plural} can't be read, such as {printable(group.first)}"


def remedy(group: PathGroup) -> str:
    """The change that allows it, as far as that is known."""
    if group.refusal.reason.startswith("links to "):
        return "name that directory in `allowed_roots`, or leave the link out with `exclude`"
    if group.refusal.event == NOT_TEXT:
        return "unpack it, or leave it out with `exclude`" if "compressed" in group.refusal.reason else "leave it out with `exclude`"
    if group.refusal.reason != os.strerror(errno.EACCES):
        return ""
    what = "search and read it" if group.refusal.event == DIRECTORY else "read it"
    return f"let user {os.geteuid()} {what}, or leave it out with `exclude`"
