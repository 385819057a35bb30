"""What a process said last, and whether that may explain its end: an exception that nobody caught, or its interpreter's death. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.issues.reading.errors import ends_the_interpreter

if TYPE_CHECKING:
    from agent.issues.event.error_event import ErrorEvent
    from agent.record import LogRecord

LAST_WORDS_NS: Final = 15 * 10**9
"""How long before its end a process may have said why: it cleans up, and what it logs and that it is gone come on different ways."""


@dataclass(frozen=True, slots=True)
class LastWords:
    """Why a process may be about to end. What it says besides takes nothing back: much is said while an interpreter shuts down."""

    uncaught_ns: int = 0
    """When it was last said that an exception ends the program, or faulthandler at its timeout; nanoseconds since the Unix epoch, 0 = never."""
    died_ns: int = 0
    """The same of an interpreter's death."""
    untold: ErrorEvent | None = None
    """The death that nobody was told of, as the end will tell of it."""

    def then(self, later: LastWords) -> LastWords:
        """Both together."""
        return LastWords(max(self.uncaught_ns, later.uncaught_ns), max(self.died_ns, later.died_ns), later.untold or self.untold)

    def uncaught(self, now_ns: int) -> bool:
        """Whether an exception explains an end at this moment."""
        return self.uncaught_ns > now_ns - LAST_WORDS_NS

    def died(self, now_ns: int) -> bool:
        """Whether a death that was told of explains an end at this moment."""
        return self.untold is None and self.died_ns > now_ns - LAST_WORDS_NS


def words_of(record: LogRecord, event: ErrorEvent) -> LastWords:
    """What an error says of the end of who has made it."""
    if is_death(event):
        return LastWords(died_ns=record.observed_ns)
    if event.fatal is not None or ends_the_interpreter(record, event):  # at its timeout faulthandler exits with 1, if it was told to
        return LastWords(uncaught_ns=record.observed_ns)
    return LastWords()


def is_death(event: ErrorEvent) -> bool:
    """Whether an interpreter has died: at a timeout it may as well live on."""
    return event.fatal is not None and not event.fatal.reason.startswith("Timeout")
