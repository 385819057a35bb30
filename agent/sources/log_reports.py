"""Events and metrics of a log file source, and the sentences about files that it cannot read."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.metrics import Kind, Metric, Observation
from agent.record import Drop
from agent.tail.content import ContentState
from agent.tail.discover import survey
from agent.tail.names import glob_root, printable
from agent.tail.unreadable import groups, remedy, sentences
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.component import Context
    from agent.record import Batch
    from agent.tail.table import FileNotice
    from agent.tail.tail import Tail

FILES: Final = Metric("outrider.files.events", Kind.COUNTER, "{event}", "Files found, rotated, truncated and lost, as a source saw them.")
BYTES_READ: Final = Metric("outrider.files.read", Kind.COUNTER, "By", "Bytes of log files read.")
BYTES_MISSED: Final = Metric(
    "outrider.files.missed", Kind.COUNTER, "By", "Bytes that were seen in a file and removed before they were read."
)
FILES_FOLLOWED: Final = Metric("outrider.files.followed", Kind.GAUGE, "{file}", "Files that are followed, by state.")
FILES_OPEN: Final = Metric("outrider.files.open", Kind.GAUGE, "{file}", "Log files held open.")
BYTES_BEHIND: Final = Metric("outrider.files.behind", Kind.GAUGE, "By", "Bytes of log files that are written and not read yet.")
SETTLING: Final = 5.0
"""Seconds after a start in which a glob may match nothing without a report."""
_FIGURES_EVERY: Final = 5.0
"""Seconds."""
_SHOWN: Final = 5
"""Globs that one line names."""


@dataclass(frozen=True, slots=True)
class FileFound(Event):
    """A source began to read a file."""

    name = "file found"
    level = Level.DEBUG
    counter = FILES
    labels = ("source", "what")
    source: str
    path: str
    what: str = "found"


@dataclass(frozen=True, slots=True)
class FileChanged(Event):
    """A file was rotated, truncated, compressed or removed while it was read."""

    name = "file changed"
    counter = FILES
    labels = ("source", "what")
    source: str
    path: str
    what: str
    """From an enumeration: `renamed`, `truncated`, `replaced`, `compressed`, `copied`, `rewritten`, `removed`; `vanished`: gone while no agent
    looked, so that it is unknown what was not read; `assumed` and `reread`: a decision that is ambiguous, see `agent/tail/decide.py`."""


@dataclass(frozen=True, slots=True)
class FileUnreadable(Event):
    """Files that are asked for can't be read, for one reason: each is counted once, however often it is checked."""

    name = "file unreadable"
    level = Level.WARNING
    counter = FILES
    labels = ("source", "what")
    source: str
    path: str
    """One of them."""
    error: str
    what: str = "unreadable"
    count: int = 1
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class NothingMatches(Event):
    """Some seconds after the start no file matches these globs: perhaps they are mistyped, perhaps the files are still to come."""

    name = "no file matches"
    level = Level.WARNING
    labels = ("source",)
    source: str
    globs: str
    count: int
    """How many they are."""


class Reporter:
    """Reports on one `Tail` after the other, by events and metrics of one source."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._figures_at = 0.0
        """When figures are published next, monotonic seconds."""
        self._settled_at = 0.0
        """When a glob that no file matches is reported, monotonic seconds."""
        self._has_reported_globs = False

    def begin(self, now: float) -> None:
        """The source starts."""
        self._settled_at = now + SETTLING

    def end(self) -> None:
        """The source follows nothing any more."""
        self._context.metrics.publish(self._context.name, ())

    def notices(self, notices: Iterable[FileNotice]) -> None:
        """Report what happened to files."""
        for notice in notices:
            self._context.telemetry.emit(self._event(notice))

    def _event(self, notice: FileNotice) -> Event:
        path = printable(notice.path)
        if notice.event == "found":
            return FileFound(self._context.name, path)
        return (
            FileUnreadable(self._context.name, path, notice.error, notice.event)
            if notice.error
            else FileChanged(self._context.name, path, notice.event)
        )

    def check(self, tail: Tail, now: float) -> None:
        """Report what can't be read, in a line for each reason, and once which globs match nothing; publish figures now and then."""
        for group in tail.table.unreadable.take_new():
            what = group.refusal
            event = FileUnreadable(self._context.name, printable(group.first), what.reason, what.event, group.number, remedy(group))
            self._context.telemetry.emit(event)
        if not self._has_reported_globs and now >= self._settled_at:
            self._has_reported_globs = True
            if globs := tail.unmatched():
                self._context.telemetry.emit(NothingMatches(self._context.name, ", ".join(map(printable, globs[:_SHOWN])), len(globs)))
        if now >= self._figures_at:
            self._figures_at = now + _FIGURES_EVERY
            self._context.metrics.publish(self._context.name, figures(tail, self._context.name))

    def bytes_read(self, size: int) -> None:
        """Count bytes."""
        if size:
            self._context.metrics.add(BYTES_READ, size, {"source": self._context.name})

    def stored(self, batch: Batch) -> None:
        """Count the bytes that a stored batch says were missed."""
        for reason in (Drop.TRUNCATED_WINDOW, Drop.ROTATED_AWAY):
            if batch.drops.get(reason):
                self._context.metrics.add(BYTES_MISSED, batch.drops[reason], {"source": self._context.name, "reason": reason})

    def troubles(self, tail: Tail, now: float) -> list[str]:
        """Sentences about globs that no file matches, some seconds after the start, and about files that can't be read."""
        globs = tail.unmatched() if now >= self._settled_at else []
        return [*map(no_file, globs), *sentences(tail.table.unreadable.groups())]


def doubts(include: Sequence[str], exclude: Sequence[str]) -> list[str]:
    """Sentences about globs that no file matches now, and about files and directories that they ask for and that can't be read."""
    surveys = {glob: survey(glob, exclude) for glob in include}
    refused = {path: why for one in surveys.values() for path, why in one.refused.items()}
    empty = [no_file(glob) for glob, one in surveys.items() if not one.found and not one.refused]
    return [*empty, *sentences(groups(refused))]


def no_file(glob: str) -> str:
    """A sentence about a glob that matches nothing."""
    if os.path.isdir(glob):
        return f"{printable(glob)} is a directory, of which nothing is read: write {printable(os.path.join(glob, '*'))}"
    return f"no file matches {printable(glob)} now: {_nearest(glob)}"


def _nearest(glob: str) -> str:
    """The most probable fault of a glob that matches nothing."""
    root = glob_root(glob)
    if "$" in glob:
        return "a variable is written ${NAME}, in a configuration file only"
    if not os.path.isdir(root):
        return f"there is no directory {printable(root)}"
    return "check its spelling, if the file should be there"


def figures(tail: Tail, source: str) -> list[Observation]:
    """Files by state, open files, and bytes that are not read yet."""
    states = Counter(str(content.state) for content in tail.table.contents.values())
    followed = [Observation(FILES_FOLLOWED, states[state], {"source": source, "state": state}) for state in ContentState]
    behind = sum(content.lag() for content in tail.table.contents.values() if content.state is not ContentState.LOST)
    return [*followed, Observation(FILES_OPEN, len(tail.pool), {"source": source}), Observation(BYTES_BEHIND, behind, {"source": source})]
