"""Which format a writer uses: found from its lines, and again when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agent.parse.beginnings import begins_alone
from agent.parse.formats import BY_NAME, PLAIN, Format, Rest, detect, named

if TYPE_CHECKING:
    from agent.parse.parsed import Parsed

CHANGE_AFTER: Final = 3
"""So many lines running in another format, and the file has changed to it. (Each of them was already read by its own.)"""
_SYSLOG: Final = BY_NAME["syslog"]


class KnownFormat(NamedTuple):
    """A writer's format: its name (empty: unknown), and how many lines in a row were written in which other one."""

    name: str = ""
    rival: str = ""
    votes: int = 0


UNKNOWN: Final = KnownFormat()


class Dialect:
    """The knowledge of one writer. `fixed`: the known format is the only one (and plain text, where a line is not written so)."""

    __slots__ = ("_rival", "_votes", "fixed", "own", "reads_json", "version")

    def __init__(self, known: KnownFormat = UNKNOWN, *, fixed: bool = False) -> None:
        self.own = named(known.name)
        """The format, None if none is known."""
        self.fixed = fixed and self.own is not None
        self.reads_json = known.name == "json"
        """Whether its lines are JSON, as far as it knows."""
        self.version = 0
        """Changes with what is known."""
        self._rival = named(known.rival)
        self._votes = known.votes

    @property
    def known(self) -> KnownFormat:
        """The state that another object needs to continue like this one."""
        return KnownFormat(self.own.name if self.own else "", self._rival.name if self._rival else "", self._votes)

    @property
    def is_structured(self) -> bool:
        """Whether the writer's records are of a format that a plain line is not written in."""
        return self.own not in (None, PLAIN)

    @property
    def is_spacious(self) -> bool:
        """Whether a record of its format may go on in any lines."""
        return self.own is not None and self.own.rest is Rest.ANY

    @property
    def reads_syslog(self) -> bool:
        """Whether its lines have syslog's headers, as far as it knows."""
        return self.own is _SYSLOG

    def note_syslog(self) -> None:
        """A line had a syslog header, and was counted for the writer that it names."""
        if self.own is not _SYSLOG:
            self._vote(_SYSLOG)

    def read(self, line: bytes, now_ns: int) -> tuple[Format, Parsed | None]:
        """The format that a line is written in, and its meaning; None if it only looks like a line of that format."""
        own = self.own
        if own is not None and (parsed := own.parse(line, now_ns)) is not None:
            if self._votes:
                self._votes, self.version = 0, self.version + 1
            if own.below is not None:
                self._follow(own.below(line))
            return own, parsed
        if own is not None and self.fixed:
            return own, None
        found = detect(line)
        parsed = None if found is PLAIN else found.parse(line, now_ns)
        if parsed is not None:
            self._vote(found)
            if found.below is not None:
                self._follow(found.below(line))
        return found, parsed

    def begins_record(self, line: bytes) -> bool | None:
        """Whether an unindented line below an exception line begins a record. None: in a file of one-line records any line may."""
        own = self.own
        if begins_alone(line) or detect(line) is not PLAIN or (own not in (None, PLAIN) and own.parse(line, 0) is not None):
            return True
        return False if self.is_spacious else None

    def _follow(self, name: str) -> None:
        """A line has said how those below it are written."""
        if name and name != self.known.name:
            self.own, self.reads_json, self._votes, self.version = named(name), False, 0, self.version + 1

    def _vote(self, found: Format) -> None:
        """A line was written in another format than the file's: change to it once it is plain that the file did."""
        self.version += 1
        self._votes = self._votes + 1 if found is self._rival else 1
        self._rival = found
        if self.own is None or self._votes >= CHANGE_AFTER:
            self.own, self.reads_json = found, found.name == "json"
            self._votes = 0
