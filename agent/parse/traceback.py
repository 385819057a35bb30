"""Tracebacks as text: find them, read them, and tell a tailer which lines belong together.

CPython 3.8 to 3.14 (chains, groups, notes, carets, SyntaxError, colours), loguru's variant of the layout, and the
reports of `threading`, `logging`, `faulthandler` and unraisable errors. Nothing here raises on any text, and every
function reads its text once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from agent.parse.exceptions import BARE_GROUP_HEADER, HEADER, ExceptionInfo, Frame
from agent.parse.fatal_error import parse_fatal_error
from agent.parse.rich_traceback import parse_boxes
from agent.parse.traceback_build import Builder
from agent.parse.traceback_extent import MAX_MESSAGE, NEVER_RAISED
from agent.parse.traceback_joiner import Joint, TracebackJoiner
from agent.parse.traceback_lines import Grammar
from agent.parse.traceback_tokens import FINAL, LineKind, Phase, Token, clean, unindented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Joint",
    "TracebackJoiner",
    "find_tracebacks",
    "parse_exception_text",
    "parse_fatal_error",
    "parse_stack",
    "parse_traceback",
]

_HINTS = (HEADER, "The above exception", "During handling of the above", "sub-exception", "RemoteTraceback:")

_BAD_SOURCE = '  File "'

_HEADERS = (LineKind.HEADER, LineKind.GROUP_HEADER)
_BARE_HEADERS = (HEADER, BARE_GROUP_HEADER)


def parse_traceback(text: str) -> ExceptionInfo | None:
    """The first traceback in `text`, None if there is none.

    The text is taken as one record: whatever follows the exception line is its message (of several lines, perhaps
    with another traceback quoted in it). Use `find_tracebacks` for a text of many records. A traceback that is cut
    off before its exception line has the type "" and is marked `truncated.incomplete`.
    """
    if not _may_hold(text):
        return parse_boxes(text)
    cut_off: ExceptionInfo | None = None
    for _, _, info in _read(_lines(text), Grammar(_never, embedded=True), whole=True):
        if info is not None and info.type:
            return info
        cut_off = cut_off or info
    return cut_off


def parse_exception_text(text: str) -> ExceptionInfo | None:
    """The exception `text` consists of, also where it was never raised and so has no header: "ValueError: why"."""
    grammar = Grammar(_never, embedded=True)
    grammar.reset(Phase.CHAINED)
    builder = Builder()
    for _, _, line in _lines(text):
        builder.feed(grammar.feed(clean(line)))
    info = builder.finish(keep_blanks=True)
    return info if info and info.type else parse_traceback(text) or info


def parse_stack(text: str) -> tuple[Frame, ...]:
    """The frames of a text that holds nothing else (`traceback.format_tb`), oldest first."""
    grammar = Grammar()
    grammar.reset(Phase.STACK)
    builder = Builder()
    for _, _, line in _lines(text):
        token = grammar.feed(clean(line))
        if token.kind in (LineKind.FRAME, LineKind.BODY, LineKind.REPEATED):
            builder.feed(token)
    info = builder.finish()
    return info.frames if info else ()


def find_tracebacks(text: str, next_record: Callable[[str], bool | None] = unindented) -> list[tuple[int, int, ExceptionInfo]]:
    """All tracebacks of a text of many lines, each with the characters it spans (start, end behind its last line).

    `next_record` decides whether an unindented line below an exception line begins another record; by default it
    always does. Lines of others between the frames are skipped, they lie inside the span.
    """
    if not _may_hold(text):
        return []
    found = _read(_lines(text), Grammar(next_record))
    return [(start, end, info) for start, end, info in found if info is not None]


def _may_hold(text: str) -> bool:
    return any(hint in text for hint in _HINTS) or text.startswith(_BAD_SOURCE) or f"\n{_BAD_SOURCE}" in text


def _never(_line: str) -> bool:
    return False


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end (behind the newline) and content of each line; nothing but a line feed ends one."""
    start = 0
    while start < len(text):
        newline = text.find("\n", start)
        stop = len(text) if newline < 0 else newline
        yield start, min(stop + 1, len(text)), text[start:stop]
        start = stop + 1


def _read(
    lines: Iterator[tuple[int, int, str]], grammar: Grammar, *, whole: bool = False
) -> Iterator[tuple[int, int, ExceptionInfo | None]]:
    """Each traceback as it ends. A block without an exception gives None."""
    reading: _Reading | None = None
    before = _Before()
    for start, end, raw in lines:
        token = grammar.feed(line := clean(raw))
        if reading and (token.starts or token.kind is LineKind.END):
            yield reading.finish()
            reading, before = None, _Before()  # its lines are read: they begin no other
        if token.starts:
            reading = before.open(token, start)
        if reading:
            reading.feed(token, end)
        before.push(line, start)
    if reading:
        yield reading.finish(whole=whole)


class _Reading:
    """An open traceback and where it lies. Blank lines behind one that stands in a log line are the logger's."""

    __slots__ = ("_builder", "_end", "_prefixed", "_start")

    def __init__(self, start: int, *, prefixed: bool = False) -> None:
        self._start = start
        self._end = start
        self._prefixed = prefixed
        self._builder = Builder()

    def feed(self, token: Token, end: int) -> None:
        self._builder.feed(token)
        if token.kind not in (LineKind.STRAY, LineKind.BLANK):
            self._end = end

    def finish(self, *, whole: bool = False) -> tuple[int, int, ExceptionInfo | None]:
        return self._start, self._end, self._builder.finish(keep_blanks=whole and not self._prefixed)


class _Before:
    """The last lines: an exception that was never raised stands there if a separator comes without header."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=MAX_MESSAGE + 1)

    def push(self, line: str, start: int) -> None:
        self._lines.append((start, line))

    def open(self, token: Token, start: int) -> _Reading:
        lines = list(self._lines) if token.kind is LineKind.SEPARATOR and self._lines and not self._lines[-1][1] else []
        at = next((at for at in range(len(lines) - 1, -1, -1) if NEVER_RAISED.fullmatch(lines[at][1])), None)
        if at is None:
            return _Reading(start, prefixed=token.kind in _HEADERS and token.text not in _BARE_HEADERS)
        reading = _Reading(lines[at][0])
        reading.feed(Token(LineKind.FINAL, lines[at][1], 0, FINAL.fullmatch(lines[at][1])), start)
        for _, line in lines[at + 1 :]:
            reading.feed(Token(LineKind.MESSAGE if line else LineKind.BLANK, line), start)
        return reading
