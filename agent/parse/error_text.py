"""The text of a traceback or of a fatal error beside what it says, and the records that are made of both."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

from agent.names import EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE
from agent.parse.announcements import announces, announces_death
from agent.parse.exceptions import ExceptionInfo, FatalError
from agent.parse.parsed import Parsed
from agent.parse.severity import ERROR, WARN
from agent.parse.traceback import parse_fatal_error, parse_traceback
from agent.parse.traceback_extent import is_whole

_BEGINNINGS: Final = ("<module>", "_bootstrap", "_bootstrap_inner")
"""Where a program and a thread begin; a thread's announcement may be torn off when two of them die together."""
_HEADED: Final = re.compile(r"(?:\s*\+ Exception Group |\s*)Traceback \(most recent call last\):\s*$")
"""How a logger's line ends that a traceback begins in."""
_FAILURE: Final = re.compile(
    r"(?i)fail|error|except|trace|could ?n[o']t|cannot|can't|unable|not able|retr(?:y|ied)|ignor|caught|crash|abort|giv(?:e|ing) up|lost|refus|tim(?:ed|e) ?out|invalid"
    r"|broken|problem|wrong|unexpected|rais(?:ed|ing)|\bstack|reject|denied|skipp|swallow|recover|reconnect|fall(?:ing)? ?back|interrupt|cancel|unavailable|unreachable|missing"
)
"""Words with which a record below WARN speaks of the exception that it was given."""


class ErrorText:
    """A text without colours. It may be one of threads that die together: they first print "Exception in thread …" each, and the tracebacks later."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def error(self) -> ExceptionInfo | FatalError | None:
        """The error that the text is of, if it is of one."""
        return parse_traceback(self.text) or parse_fatal_error(self.text)

    @property
    def is_whole(self) -> bool:
        """Whether the exception's message is one that can't have more lines."""
        return isinstance(self.error, ExceptionInfo) and is_whole(self.error.qualified, self.error.value)

    @property
    def is_unfinished(self) -> bool:
        """Whether an interpreter printed it of an uncaught exception whose message may continue.

        Without frames the message tells one error from another, so it had better be too short.
        """
        return isinstance(self.error, ExceptionInfo) and bool(self.error.frames) and not self.is_whole and self.is_uncaught

    @property
    def is_uncaught(self) -> bool:
        """Whether an interpreter printed it of an uncaught exception, and not a logger.

        The interpreter unwinds to the very beginning (the program's own module, or a thread's or a process's start) and names of a thread or a
        process which one it was; a logger shows the stack from where the exception was caught.
        """
        error, first_line = self.error, self.text.split("\n", 1)[0]
        if announces(first_line) or announces_death(first_line) or not isinstance(error, ExceptionInfo):
            return True
        first = error.frames[0] if error.frames else None
        return error.syntax is not None if first is None else first.function in _BEGINNINGS or first.filename == "<frozen runpy>"

    def belongs_to(self, head: Parsed) -> bool:
        """Whether a logger's record has written it below itself (`exc_info=True`), as far as the record's level and words tell.

        Below INFO and DEBUG a program has most likely printed an exception by itself (`traceback.print_exc()`), unless the record speaks of it:
        in words of failure, by the exception's name or message, or with a colon at its end.
        """
        if not 0 < head.severity < WARN or not isinstance(self.error, ExceptionInfo):
            return True
        said = str(head.body)
        named = any(name and name in said for name in (self.error.type, self.error.value))
        return named or said.rstrip().endswith(":") or _FAILURE.search(said) is not None

    def alone(self) -> Parsed:
        """Its record where no logger introduced it: the output of an interpreter, or stacks printed on request."""
        if self._title:
            return Parsed(self._title, {}, severity=ERROR)
        asked_for = isinstance(self.error, FatalError) and not self.error.reason  # the program lives on
        return Parsed(self.text.split("\n", 1)[0], {}, severity=WARN if asked_for else ERROR)

    def introduced(self, head: Parsed) -> Parsed:
        """The record of a logger that was given the text to write: its message is what stands before it, and the exception's own line."""
        said = _HEADED.sub("", head.body) if isinstance(head.body, str) else ""
        return head._replace(body=f"{said} {self._title}".strip()) if self._title else head

    def added_to(self, parsed: Parsed) -> Parsed:
        """The record with the attributes that OpenTelemetry has for exceptions (semantic conventions, exceptions-logs)."""
        error = self.error
        names = {EXCEPTION_TYPE: error.qualified, EXCEPTION_MESSAGE: error.value} if isinstance(error, ExceptionInfo) and error.type else {}
        attributes = {**parsed.attributes, **names, EXCEPTION_STACKTRACE: self.text}
        return parsed._replace(attributes=attributes, severity=parsed.severity or ERROR)

    @property
    def _title(self) -> str:
        """`Type: message`; empty where neither is known."""
        if not isinstance(self.error, ExceptionInfo) or not self.error.type:
            return ""
        return f"{self.error.qualified}: {self.error.value}".removesuffix(": ")
