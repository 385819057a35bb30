"""Lines that libraries write with the standard library's `logging`, asyncio above all, as events of the agent: folded like those.

Without it `logging` writes warnings and errors to standard error by itself, each with its traceback: asyncio alone wrote thousands of
lines a second while the process had no descriptor left.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import describe
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from agent.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class LibraryWarning(Event):
    """A library has logged a warning."""

    name = "library warning"
    level = Level.WARNING
    labels = ("library",)
    library: str
    message: str
    error: str


@dataclass(frozen=True, slots=True)
class LibraryError(LibraryWarning):
    """A library has logged an error; asyncio does so for an exception that the agent's code has not handled."""

    name = "library error"
    level = Level.ERROR


class _Handler(logging.Handler):
    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__(logging.WARNING)
        self._telemetry = telemetry

    def emit(self, record: logging.LogRecord) -> None:
        """Emit an event: the first line of the message, and the exception in one line."""
        kind = LibraryError if record.levelno >= logging.ERROR else LibraryWarning
        error = record.exc_info[1] if record.exc_info else None
        message = record.getMessage().partition("\n")[0][:500]
        self._telemetry.emit(kind(record.name.partition(".")[0], message, describe(error) if error else ""))


def report_to(telemetry: Telemetry) -> None:
    """Send what libraries log from now on to `telemetry`, and nowhere else; a second call replaces the first."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(handler)
    root.addHandler(_Handler(telemetry))
