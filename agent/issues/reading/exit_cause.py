"""Why a process may be about to end, from what it printed: an exception that nothing caught, or its interpreter's death. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.issues.reading.record_exception import ends_the_interpreter

if TYPE_CHECKING:
    from agent.issues.event.error_event import ErrorEvent
    from agent.record import LogRecord

VALID_NS: Final = 15 * 10**9
"""How long before its end a process may have printed the cause: it cleans up, and its output and its end arrive in different ways."""


@dataclass(frozen=True, slots=True)
class ExitCause:
    """The causes found so far. Later output takes none back: much is logged while an interpreter shuts down."""

    uncaught_ns: int = 0
    """When an exception that ends the program, or faulthandler's timeout, was last printed; nanoseconds since the Unix epoch, 0 = never."""
    died_ns: int = 0
    """The same of an interpreter's death."""
    unreported: ErrorEvent | None = None
    """A death that is held back: the end of the process becomes an issue with its stack."""

    def then(self, later: ExitCause) -> ExitCause:
        """Both together."""
        return ExitCause(max(self.uncaught_ns, later.uncaught_ns), max(self.died_ns, later.died_ns), later.unreported or self.unreported)

    def uncaught(self, now_ns: int) -> bool:
        """Whether an exception explains an end at this moment."""
        return self.uncaught_ns > now_ns - VALID_NS

    def died(self, now_ns: int) -> bool:
        """Whether a reported death explains an end at this moment."""
        return self.unreported is None and self.died_ns > now_ns - VALID_NS


def cause_of(record: LogRecord, event: ErrorEvent) -> ExitCause:
    """The cause that an error may be for the end of the process that printed it."""
    if is_death(event):
        return ExitCause(died_ns=record.observed_ns)
    if event.fatal is not None or ends_the_interpreter(record, event):  # at its timeout faulthandler may exit with 1
        return ExitCause(uncaught_ns=record.observed_ns)
    return ExitCause()


def is_death(event: ErrorEvent) -> bool:
    """Whether an interpreter has died: after a timeout it may live on."""
    return event.fatal is not None and not event.fatal.reason.startswith("Timeout")
