"""The record that is still open: a head, and the lines that belong to it, until something says that it is over."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from agent.names import EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE
from agent.parse.announcements import announces, announces_death
from agent.parse.exceptions import ExceptionInfo, FatalError
from agent.parse.limits import INCOMPLETE, MAX_JOINED_BYTES, MAX_JOINED_LINES, MAX_TEXT, cut, to_text
from agent.parse.parsed import Parsed
from agent.parse.severity import ERROR, WARN
from agent.parse.traceback import parse_fatal_error, parse_traceback
from agent.parse.traceback_extent import (
    LATE_NS,
    MAX_DOUBTFUL_BYTES,
    MAX_DOUBTS,
    MAX_MESSAGE,
    NEVER_RAISED,
    Ending,
    is_later_write,
    is_whole,
)
from agent.parse.traceback_tokens import ANSI

STACKTRACE: Final = EXCEPTION_STACKTRACE
TYPE: Final = EXCEPTION_TYPE
MESSAGE: Final = EXCEPTION_MESSAGE
_BEGINNINGS: Final = ("<module>", "_bootstrap", "_bootstrap_inner")
"""Where a program and a thread begin; a thread's announcement may be torn off when two of them die together."""
_HEADED: Final = re.compile(r"(?:\s*\+ Exception Group |\s*)Traceback \(most recent call last\):\s*$")
"""How a logger's line ends that a traceback begins in."""
_FAILURE: Final = re.compile(
    r"(?i)fail|error|except|trace|could ?n[o']t|cannot|can't|unable|not able|retr(?:y|ied)|ignor|caught|crash|abort|giv(?:e|ing) up|lost|refus|tim(?:ed|e) ?out|invalid"
    r"|broken|problem|wrong|unexpected|rais(?:ed|ing)|\bstack|reject|denied|skipp|swallow|recover|reconnect|fall(?:ing)? ?back|interrupt|cancel|unavailable|unreachable|missing"
)
"""Words with which a record below WARN speaks of the exception that it was given."""
_MESSAGE: Final = MAX_TEXT // 4
"""Bytes below an exception's line that a record always has room for, however long the stack above it is: `cut` leaves a text its end."""
_ITS_END: Final = 256
"""Characters of a text by which its end is known again."""
_Told = ExceptionInfo | FatalError | None
_UNREAD: Final = (-1, "", None)

NOWHERE: Final = Parsed(None, {})
"""The base of lines that nobody wrapped."""


class Doubt(NamedTuple):
    """A line that may be more of a traceback's message: where it begins, where its last piece does, and what a wrapper knows of it."""

    offset: int
    end: int
    line: bytes
    base: Parsed
    pause_ns: int
    """Between reading the line before and this one."""


class Doubts:
    """The lines behind an open traceback that are held back until it is known whether they are its own; bounded in number, size and age."""

    __slots__ = ("_last_ns", "_since_ns", "_size", "held")

    def __init__(self) -> None:
        self.held: list[Doubt] = []
        self._size = 0
        self._since_ns = self._last_ns = 0

    @property
    def lines(self) -> list[bytes]:
        """What they say."""
        return [doubt.line for doubt in self.held]

    @property
    def pauses(self) -> list[int]:
        """The pause before each, nanoseconds."""
        return [doubt.pause_ns for doubt in self.held]

    def sure(self, now_ns: int) -> None:
        """A line was surely the traceback's: how long one may be in doubt counts from here."""
        self._since_ns = self._last_ns = now_ns

    def ending(self, now_ns: int) -> Ending | None:
        """Why one more can't be held back, if it can't. A clock that was set back is no reason."""
        if now_ns - self._since_ns > LATE_NS:
            return Ending.LATER
        return Ending.TOO_MANY if len(self.held) >= MAX_DOUBTS or self._size >= MAX_DOUBTFUL_BYTES else None

    def add(self, offset: int, end: int, line: bytes, base: Parsed, now_ns: int) -> None:
        """Hold a line back."""
        self.held.append(Doubt(offset, end, line, base, now_ns - self._last_ns))
        self._size += len(line)
        self._last_ns = now_ns

    def take(self) -> list[Doubt]:
        """All of them, in order; from here on they are the caller's."""
        taken, self.held, self._size = self.held, [], 0
        return taken


class Open:
    """Lines that make one record. `head` is what the first line says; without one, all lines are a traceback.

    `base` holds the time and the attributes of what the first line was wrapped in.
    """

    __slots__ = (
        "_begun",
        "_lines",
        "_message",
        "_read",
        "_stack",
        "_stack_at",
        "_text_end",
        "apart",
        "base",
        "end",
        "first",
        "head",
        "incomplete",
        "offset",
        "resumed",
        "shortened",
        "size",
    )

    def __init__(self, offset: int, line: bytes, head: Parsed | None, base: Parsed = NOWHERE) -> None:
        self.offset = self.end = offset
        self.first = line
        self.head = head
        self.base = base
        self._lines: list[bytes] = []
        self._stack: list[bytes] = [] if head else [line]
        self._begun = False
        self._stack_at = self._text_end = offset
        self._read: tuple[int, str, _Told] = _UNREAD
        self._message = 0
        """Bytes below its traceback's exception line."""
        self.size = len(line) if line.isascii() else text_size(line)
        self.apart = False
        """Whether its traceback was written some time after its text, or right before an exception ended its writer: by the interpreter, it may be."""
        self.incomplete = False
        """Whether more of it may follow, which it has no room or no time for."""
        self.resumed = False
        """Whether it has gone on already behind another one that stood in its middle."""
        self.shortened = False
        """Whether its traceback has lost lines already."""

    @property
    def full(self) -> bool:
        """Whether no more lines of a stack may be joined."""
        return self.size >= MAX_JOINED_BYTES or len(self._lines) + len(self._stack) >= MAX_JOINED_LINES

    def has_room(self, line: bytes, *, below: bool = False) -> bool:
        """Whether a line of text can be joined without any being cut. `below`: it stands below an exception's line."""
        size = text_size(line) + 1
        fits = self.size + size <= MAX_TEXT or (below and self._message + size <= _MESSAGE)
        return fits and len(self._lines) + len(self._stack) < MAX_JOINED_LINES

    @property
    def traced(self) -> bool:
        """Whether it has a traceback already."""
        return bool(self._stack)

    @property
    def lines(self) -> tuple[bytes, ...]:
        """All lines, in the order they are told in: what the redactor's search must see."""
        return (self.first, *self._lines, *self._stack)

    @property
    def last(self) -> bytes:
        """Its last line."""
        return self._stack[-1] if self._stack else self._lines[-1] if self._lines else self.first

    @property
    def stack(self) -> tuple[bytes, ...]:
        """The lines of its traceback."""
        return tuple(self._stack)

    def unfinished(self) -> bool:
        """Whether its traceback is what an interpreter printed of an exception that nobody caught, and its message may go on.

        Without frames the message tells one error from another, so it had better be too short.
        """
        stack, error = self._traceback()
        if not isinstance(error, ExceptionInfo) or not error.frames or self.whole():
            return False
        return _is_uncaught(stack, error)

    def whole(self) -> bool:
        """Whether its traceback's message is one that has no more lines."""
        _, error = self._traceback()
        return isinstance(error, ExceptionInfo) and is_whole(error.qualified, error.value)

    def _traceback(self) -> tuple[str, _Told]:
        """The text of its traceback, and what that tells: read once for each number of lines."""
        if self._read[0] != len(self._stack):
            stack = _uncoloured(to_text(b"\n".join(self._stack)).rstrip("\n"))
            self._read = (len(self._stack), stack, _told(stack))
        return self._read[1:]

    def rehead(self, first: bytes, head: Parsed) -> None:
        """All its lines so far are its head."""
        self.first, self.head, self._lines = first, head, []

    def add(self, offset: int, line: bytes) -> None:
        """Join a line of text."""
        self.end = offset
        self._text_end = self._text_end if self._stack else offset
        (self._stack or self._lines).append(line)
        self.size += text_size(line) + 1

    def add_trace(self, offset: int, line: bytes, *, below: bool = False) -> None:
        """Join a line of a traceback. `below`: it stands below the exception's line."""
        self.end = offset
        self._stack_at = self._stack_at if self._stack else offset
        self._stack.append(line)
        self.size += text_size(line) + 1
        self._message = self._message + text_size(line) + 1 if below else 0

    def begins_trace_at(self, offset: int) -> bool:
        """Whether its traceback has one line, the one at an offset."""
        return len(self._stack) == 1 and self._stack_at == offset

    def drop_trace(self) -> None:
        """The first line of its traceback was not its own."""
        self.size -= text_size(self._stack.pop()) + 1
        self.end = self._text_end

    def claim_exception(self) -> None:
        """A traceback goes on from an exception that was never raised: its line, and more of its message, are the last of the text."""
        lines = [self.first, *self._lines]
        newest = range(len(lines) - 1, max(-1, len(lines) - 1 - MAX_MESSAGE), -1)
        found = next((at for at in newest if NEVER_RAISED.fullmatch(to_text(lines[at]))), None)
        if found is None:
            return
        claimed, self._lines = lines[found:], lines[1:found]
        self.head = self.head if found else None
        while not claimed[-1].strip():
            claimed.pop()
        self._stack = [*claimed, b""]

    def shorten(self) -> bool:
        """Make room for a long traceback's end by leaving out what a record has no room for anyhow. False if that makes little room, or none."""
        joined = b"\n".join(self._stack)
        text = to_text(joined)
        if len(text) <= MAX_TEXT or (kept := cut(text))[-_ITS_END:] != text[-_ITS_END:]:
            return False
        lines = kept.encode().split(b"\n")
        if 4 * len(lines) > 3 * MAX_JOINED_LINES:  # to do this again for every few lines would take for ever
            return False
        self.size += len(kept.encode()) - len(joined)
        self._stack, self._read, self.shortened = lines, _UNREAD, True
        return not self.full

    def note_written(self, written_ns: int) -> None:
        """Its last line was written at this time, nanoseconds since the Unix epoch."""
        time_ns = (self.head.time_ns if self.head else 0) or self.base.time_ns
        self.apart = self.apart or (self.traced and is_later_write(time_ns, written_ns))

    def begin_trace(self) -> None:
        """The first line is the first one of a traceback as well: a logger was given the text of one."""
        at = max(self.first.find(b"Traceback ("), 0)
        self._stack = [self.first[at:]]
        self._begun = True

    def close(self) -> list[tuple[int, int, Parsed]]:
        """What it came to be: offset, where the last line begins, and the record; two where a traceback is not its own."""
        if self.head is not None and not self._stack and not self.incomplete:  # nearly every record
            made = self._with_lines(self.head, self._lines) if self._lines else self.head
            return [(self.offset, self.end, levelled(made, self.base) if self.base.severity else made)]
        closed = self._closed()
        if self.incomplete:
            offset, end, last = closed[-1]
            closed[-1] = offset, end, last._replace(attributes={**last.attributes, INCOMPLETE: True})
        return closed

    def _closed(self) -> list[tuple[int, int, Parsed]]:
        if self.head is not None and not self._stack:
            return [(self.offset, self.end, self._with_lines(self.head, self._lines))]
        stack, error = self._traceback()
        if self.head is None:
            return [(self.offset, self.end, self._alone(stack, error))]
        if error is None:
            lines = self._stack[1:] if self._begun else [*self._lines, *self._stack]
            return [(self.offset, self.end, self._with_lines(self.head, lines))]
        if self._begun:
            return [(self.offset, self.end, _with_traceback(_named(self.head, error), stack, error))]
        head = self._with_lines(self.head, self._lines)
        if not _belongs(head, error) or ((head.severity < ERROR or self.apart) and _is_uncaught(stack, error)):
            return [(self.offset, self._text_end, head), (self._stack_at, self.end, self._alone(stack, error))]
        return [(self.offset, self.end, _with_traceback(head, stack, error))]

    def _alone(self, stack: str, error: _Told) -> Parsed:
        """A traceback that nobody introduced."""
        if error is None:
            return placed(Parsed(stack, {}), self.base)
        return _with_traceback(placed(_headless(stack, error), self.base), stack, error)

    def _with_lines(self, head: Parsed, lines: list[bytes]) -> Parsed:
        if not lines:
            return head
        text = to_text(b"\n".join(lines)).rstrip()
        text = _uncoloured(text) if head.severity_text else text
        return head._replace(body=f"{head.body!s}\n{text}" if text else head.body)


def may_be_cause(line: bytes) -> bool:
    """Whether a line may be an exception that was never raised, which a traceback below goes on from."""
    return NEVER_RAISED.fullmatch(to_text(line)) is not None


def levelled(parsed: Parsed, base: Parsed) -> Parsed:
    """The record with its wrapper's level if it has none itself: that of all a service prints, so it says nothing of a traceback."""
    if base.severity and not parsed.severity and not parsed.severity_text:
        return parsed._replace(severity=base.severity, severity_text=base.severity_text)
    return parsed


def text_size(line: bytes) -> int:
    """Characters of a line as text, at least."""
    return len(line) if line.isascii() else len(to_text(line))


def placed(parsed: Parsed, base: Parsed) -> Parsed:
    """The record with what its wrapper knows of it: the time if it has none itself, and attributes below its own."""
    if base is NOWHERE:
        return parsed
    reasons = (*parsed.reasons, *base.reasons) if base.reasons else parsed.reasons
    return parsed._replace(time_ns=parsed.time_ns or base.time_ns, attributes={**base.attributes, **parsed.attributes}, reasons=reasons)


def _named(head: Parsed, error: _Told) -> Parsed:
    """The record of a logger that was given a traceback to write: its message is what stands before that, and the exception's own line."""
    if not isinstance(error, ExceptionInfo) or not error.type:
        return head
    title = f"{error.qualified}: {error.value}".removesuffix(": ")
    return head._replace(body=f"{_HEADED.sub('', head.body) if isinstance(head.body, str) else ''} {title}".strip())


def _with_traceback(parsed: Parsed, stack: str, error: _Told) -> Parsed:
    """The record with the attributes that OpenTelemetry has for exceptions (semantic conventions, exceptions-logs)."""
    attributes = {**parsed.attributes, **_names(error), STACKTRACE: stack}
    return parsed._replace(attributes=attributes, severity=parsed.severity or ERROR)


def _names(error: _Told) -> dict[str, str]:
    return {TYPE: error.qualified, MESSAGE: error.value} if isinstance(error, ExceptionInfo) and error.type else {}


def _told(stack: str) -> _Told:
    """The error it tells of, if it does: threads that die together first print "Exception in thread …" each, and the tracebacks later."""
    return parse_traceback(stack) or parse_fatal_error(stack)


def _is_uncaught(stack: str, error: _Told) -> bool:
    """Whether it is what an interpreter printed of an exception that nobody caught, and not a logger's.

    The interpreter unwinds to the very beginning (the program's own module, or a thread's or a process's start) and says of a thread or a
    process which one it was; a logger shows the stack from where the exception was caught.
    """
    first_line = stack.split("\n", 1)[0]
    if announces(first_line) or announces_death(first_line) or not isinstance(error, ExceptionInfo):
        return True
    first = error.frames[0] if error.frames else None
    return error.syntax is not None if first is None else first.function in _BEGINNINGS or first.filename == "<frozen runpy>"


def _belongs(head: Parsed, error: _Told) -> bool:
    """Whether a logger's record has written the traceback below it (`exc_info=True`), as far as its level and its words tell.

    Below INFO and DEBUG a program has most likely printed an exception by itself (`traceback.print_exc()`), unless the record speaks of it:
    in words of failure, by the exception's name or message, or with a colon at its end.
    """
    if not 0 < head.severity < WARN or not isinstance(error, ExceptionInfo):
        return True
    text = str(head.body)
    named = any(name and name in text for name in (error.type, error.value))
    return named or text.rstrip().endswith(":") or _FAILURE.search(text) is not None


def _headless(stack: str, error: _Told) -> Parsed:
    """A traceback that nobody introduced: what the interpreter prints of an exception that nobody caught, or stacks that somebody asked for."""
    if isinstance(error, ExceptionInfo) and error.type:
        return Parsed(f"{error.qualified}: {error.value}".removesuffix(": "), {}, severity=ERROR)
    asked_for = isinstance(error, FatalError) and not error.reason  # the program lives on
    return Parsed(stack.split("\n", 1)[0], {}, severity=WARN if asked_for else ERROR)


def _uncoloured(text: str) -> str:
    """Colours are no content."""
    return ANSI.sub("", text) if "\x1b" in text else text
