"""The exception or the interpreter's death that a record holds, and how it was reported. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.issues.event.error_event import Mechanism
from agent.issues.event.frames import main_file
from agent.issues.reading.record_fields import STACKTRACE, stream_of
from agent.parse.exceptions import ExceptionInfo
from agent.parse.limits import TRUNCATED
from agent.parse.remote_traceback import unfold_remote
from agent.parse.traceback import parse_fatal_error, parse_traceback
from agent.parse.traceback_json import from_structured

if TYPE_CHECKING:
    from agent.issues.event.error_event import ErrorEvent
    from agent.issues.reading.unhandled import Unhandled
    from agent.parse.exceptions import FatalError
    from agent.record import LogRecord

HEADER: Final = "Traceback (most recent call last)"
_ELSEWHERE: Final = {"Exception in thread": "threading", "Exception ignored": "unraisablehook", "Process ": "multiprocessing"}
"""The first words of a report of an exception that does not end the program → Sentry's name of the hook that writes it."""
_COMPARED: Final = 512
"""Characters of a truncated title that are compared."""


def read_exception(record: LogRecord) -> ExceptionInfo | None:
    """The exception in a record's fields or in its text."""
    found = from_structured(record.attributes)
    if found is not None and not found.frames and not found.type[:1].isupper():
        found = None  # a field of such a name with any word in it, as in `"exception": "none"`
    if found is None and isinstance(record.body, str) and HEADER in record.body:
        found = parse_traceback(record.body)
    return found and unfold_remote(found)


def read_fatal(record: LogRecord) -> FatalError | None:
    """The death of an interpreter that faulthandler or the interpreter itself has printed."""
    for text in (record.attributes.get(STACKTRACE), record.body):
        if isinstance(text, str) and (found := parse_fatal_error(text)) is not None:
            return found
    return None


def fatal_exception(fatal: FatalError) -> ExceptionInfo:
    """The exception that stands for an interpreter's death, with the stack of the thread that died."""
    thread = fatal.current or (fatal.threads[0] if fatal.threads else None)
    return ExceptionInfo("FatalPythonError", "", fatal.reason or "(no reason given)", thread.frames if thread else ())


def is_bare(record: LogRecord, exception: ExceptionInfo) -> bool:
    """Whether the record is a traceback alone, without a logger's message."""
    if record.severity_text or STACKTRACE not in record.attributes or not isinstance(record.body, str):
        return False
    title = f"{exception.qualified}: {exception.value}".removesuffix(": ")
    same = record.body[:_COMPARED] == title[:_COMPARED] if TRUNCATED in record.attributes else record.body == title
    return same or record.body.startswith((HEADER, "Exception in thread", "Exception ignored"))


def mechanism_of(record: LogRecord, exception: ExceptionInfo | None, logged: Unhandled | None, *, bare: bool) -> Mechanism:
    """How an exception was reported: a bare traceback is the interpreter's report of one that nothing caught.

    On stdout it is a print of the program's own, unless the stack goes down to the program itself: then stderr was redirected (`2>&1`).
    """
    if exception is None:
        return Mechanism("logging")
    if bare and (stream_of(record) != "stdout" or main_file(exception.frames) is not None):
        return Mechanism(next((name for start, name in _ELSEWHERE.items() if _begins(record, start)), "excepthook"), handled=False)
    return Mechanism(logged.mechanism, handled=False) if logged else Mechanism("logging")


def ends_the_interpreter(record: LogRecord, event: ErrorEvent) -> bool:
    """Whether an exception that nothing caught was the main thread's: others end their thread, or a process of their own.

    Directly below a logger's error the traceback may be the logger's or the interpreter's: one down to the program itself explains an end
    in both cases.
    """
    if event.exception is None or event.fatal is not None:
        return False
    frames = event.exception.frames
    if event.mechanism.type != "excepthook" and (STACKTRACE not in record.attributes or main_file(frames) is None):
        return False
    elsewhere = any(_begins(record, start) for start in _ELSEWHERE)
    return not elsewhere and not (frames and frames[0].function.startswith("_bootstrap"))


def _begins(record: LogRecord, start: str) -> bool:
    texts = (record.body, record.attributes.get(STACKTRACE))
    return any(isinstance(text, str) and text.startswith(start) for text in texts)
