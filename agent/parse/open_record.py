"""The record that is still open: a head, and the lines that belong to it, until something shows that it has ended."""

from __future__ import annotations

from typing import Final

from agent.parse.error_text import ErrorText
from agent.parse.limits import INCOMPLETE, MAX_JOINED_BYTES, MAX_JOINED_LINES, MAX_TEXT, cut, to_text
from agent.parse.parsed import NOWHERE, Parsed, levelled, placed
from agent.parse.severity import ERROR
from agent.parse.traceback_extent import MAX_MESSAGE, NEVER_RAISED, is_later_write
from agent.parse.traceback_tokens import ANSI

_MESSAGE: Final = MAX_TEXT // 4
"""Bytes below an exception's line that a record always has room for, however long the stack above it is: `cut` leaves a text its end."""
_ITS_END: Final = 256
"""Characters of a text by which its end is known again."""

_UNREAD: Final = (-1, ErrorText(""))


class OpenRecord:
    """Lines that make one record. `head` is what the first line says; without one, all lines are a traceback.

    `base` holds the time and the attributes of what the first line was wrapped in.
    """

    __slots__ = (
        "_begun", "_error", "_lines", "_message", "_stack", "_stack_at", "_text_end", "apart", "base", "end", "first", "head", "incomplete", "offset",
        "resumed", "shortened", "size",
    )  # fmt: skip

    def __init__(self, offset: int, line: bytes, head: Parsed | None, base: Parsed = NOWHERE) -> None:
        self.offset = self.end = offset
        self.first = line
        self.head = head
        self.base = base
        self._lines: list[bytes] = []
        self._stack: list[bytes] = [] if head else [line]
        self._begun = False
        self._stack_at = self._text_end = offset
        self._error = _UNREAD
        """How many lines its traceback had when it was read last, and what it says."""
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
        """All lines in their order, for the redactor's search."""
        return (self.first, *self._lines, *self._stack)

    @property
    def last(self) -> bytes:
        """Its last line."""
        return self._stack[-1] if self._stack else self._lines[-1] if self._lines else self.first

    @property
    def stack(self) -> tuple[bytes, ...]:
        """The lines of its traceback."""
        return tuple(self._stack)

    @property
    def error(self) -> ErrorText:
        """Its traceback, read once for each number of lines."""
        if self._error[0] != len(self._stack):
            self._error = (len(self._stack), ErrorText(_uncoloured(to_text(b"\n".join(self._stack)).rstrip("\n"))))
        return self._error[1]

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
        self._stack, self._error, self.shortened = lines, (-1, self.error), True
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
        """The result: offset, where the last line begins, and the record; two where a traceback is not its own."""
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
        error = self.error
        if self.head is None:
            return [(self.offset, self.end, self._alone(error))]
        if error.error is None:
            lines = self._stack[1:] if self._begun else [*self._lines, *self._stack]
            return [(self.offset, self.end, self._with_lines(self.head, lines))]
        if self._begun:
            return [(self.offset, self.end, error.added_to(error.introduced(self.head)))]
        head = self._with_lines(self.head, self._lines)
        if not error.belongs_to(head) or ((head.severity < ERROR or self.apart) and error.is_uncaught):
            return [(self.offset, self._text_end, head), (self._stack_at, self.end, self._alone(error))]
        return [(self.offset, self.end, error.added_to(head))]

    def _alone(self, error: ErrorText) -> Parsed:
        """A traceback that no logger introduced."""
        if error.error is None:
            return placed(Parsed(error.text, {}), self.base)
        return error.added_to(placed(error.alone(), self.base))

    @staticmethod
    def _with_lines(head: Parsed, lines: list[bytes]) -> Parsed:
        if not lines:
            return head
        text = to_text(b"\n".join(lines)).rstrip()
        text = _uncoloured(text) if head.severity_text else text
        return head._replace(body=f"{head.body!s}\n{text}" if text else head.body)


def may_be_cause(line: bytes) -> bool:
    """Whether a line may be an exception that was never raised, which a traceback below goes on from."""
    return NEVER_RAISED.fullmatch(to_text(line)) is not None


def text_size(line: bytes) -> int:
    """Characters of a line as text, at least."""
    return len(line) if line.isascii() else len(to_text(line))


def _uncoloured(text: str) -> str:
    """Colours are not content."""
    return ANSI.sub("", text) if "\x1b" in text else text
