"""The record that is still open: a head, and the lines that belong to it, until something says that it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.parse.limits import MAX_JOINED_BYTES, MAX_JOINED_LINES, to_text
from agent.parse.parsed import Parsed
from agent.parse.severity import ERROR
from agent.parse.traceback import parse_fatal_error, parse_traceback
from agent.parse.traceback_lines import ANSI

if TYPE_CHECKING:
    from agent.parse.exceptions import ExceptionInfo

STACKTRACE: Final = "exception.stacktrace"
TYPE: Final = "exception.type"
MESSAGE: Final = "exception.message"


NOWHERE: Final = Parsed(None, {})
"""The base of lines that nobody wrapped."""


class Open:
    """Lines that make one record. `head` is what the first line says; without one, all lines are a traceback.

    `base` holds the time and the attributes of what the first line was wrapped in.
    """

    __slots__ = ("_base", "_lines", "_stack", "end", "first", "head", "offset", "size")

    def __init__(self, offset: int, line: bytes, head: Parsed | None, base: Parsed = NOWHERE) -> None:
        self.offset = self.end = offset
        self.first = line
        self.head = head
        self._base = base
        self._lines: list[bytes] = []
        self._stack: list[bytes] = [] if head else [line]
        self.size = len(line)

    @property
    def full(self) -> bool:
        """Whether nothing more may be joined."""
        return self.size >= MAX_JOINED_BYTES or len(self._lines) + len(self._stack) >= MAX_JOINED_LINES

    @property
    def traced(self) -> bool:
        """Whether it has a traceback already."""
        return bool(self._stack)

    @property
    def lines(self) -> tuple[bytes, ...]:
        """All lines, in the order they are told in: what the redactor's search must see."""
        return (self.first, *self._lines, *self._stack)

    def add(self, offset: int, line: bytes) -> None:
        """Join a line of text."""
        self.end = offset
        (self._stack or self._lines).append(line)
        self.size += len(line) + 1

    def add_trace(self, offset: int, line: bytes) -> None:
        """Join a line of a traceback."""
        self.end = offset
        self._stack.append(line)
        self.size += len(line) + 1

    def close(self) -> Parsed:
        """The record as a whole."""
        stack = _uncoloured(to_text(b"\n".join(self._stack)).rstrip("\n"))
        if self.head is None and not _tells(stack):
            return placed(Parsed(stack, {}), self._base)
        head = self.head or placed(_headless(stack), self._base)
        if self._lines:
            text = to_text(b"\n".join(self._lines)).rstrip()
            text = _uncoloured(text) if head.severity_text else text
            head = head._replace(body=f"{head.body!s}\n{text}" if text else head.body)
        return with_traceback(head, stack) if stack else head


def placed(parsed: Parsed, base: Parsed) -> Parsed:
    """The record with what its wrapper knows of it: the time if it has none itself, and attributes below its own."""
    if base is NOWHERE:
        return parsed
    return parsed._replace(time_ns=parsed.time_ns or base.time_ns, attributes={**base.attributes, **parsed.attributes})


def with_traceback(parsed: Parsed, stack: str) -> Parsed:
    """The record with the attributes that OpenTelemetry has for exceptions (semantic conventions, exceptions-logs)."""
    error = parse_traceback(stack)
    attributes = {**parsed.attributes, **_names(error), STACKTRACE: stack}
    return parsed._replace(attributes=attributes, severity=parsed.severity or ERROR)


def _names(error: ExceptionInfo | None) -> dict[str, str]:
    return {TYPE: error.qualified, MESSAGE: error.value} if error and error.type else {}


def _tells(stack: str) -> bool:
    """Whether it tells of an error. Threads that die together first print "Exception in thread …" each, and the tracebacks later."""
    return parse_traceback(stack) is not None or parse_fatal_error(stack) is not None


def _uncoloured(text: str) -> str:
    """Colours are no content."""
    return ANSI.sub("", text) if "\x1b" in text else text


def _headless(stack: str) -> Parsed:
    """A traceback that nobody introduced: what the interpreter prints of an exception that nobody caught."""
    error = parse_traceback(stack)
    title = f"{error.qualified}: {error.value}".removesuffix(": ") if error and error.type else stack.split("\n", 1)[0]
    return Parsed(title, {}, severity=ERROR)
