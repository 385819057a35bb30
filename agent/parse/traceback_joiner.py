"""Which lines of a log belong to one traceback: the line state machine of the tailer.

    OUTSIDE ──START──> open ──CONTINUE*──> (END: the line after it | START: the next traceback)

A position may be stored only before the first line of an open traceback; `open` says whether one is.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from agent.parse.announcements import OPENINGS as ANNOUNCEMENTS
from agent.parse.exceptions import CAUSE, CONTEXT
from agent.parse.severity import ANY_PYTHON_LEVEL
from agent.parse.traceback_lines import Grammar
from agent.parse.traceback_tokens import LineKind, Phase, clean, unindented

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINES: Final = 10_000
"""Lines of one traceback; beyond them it is declared over, so that no input can hold a position for ever."""

_OPENINGS: Final = (CAUSE.encode(), CONTEXT.encode(), *ANNOUNCEMENTS, b"  | ", b"  File ")
_FIRST: Final = frozenset(opening[:1] for opening in _OPENINGS)
_STACK_LINE: Final = re.compile(rb'  File ".*", line \d+, in |  \[Previous line repeated |(?:[^\W\d]\w*\.)*[A-Z]\w*(?:: |$)')
_LEVEL: Final = re.compile(ANY_PYTHON_LEVEL.encode())


def may_open(line: bytes) -> bool:
    """A cheap look that all but a few lines of a log fail; the grammar decides on the others."""
    if b"(most recent call " in line or b"RemoteTraceback:" in line:
        return True
    return line[:1] in _FIRST and line.startswith(_OPENINGS)


def goes_on(line: bytes) -> bool:
    """Whether a line looks like one of a stack that was interrupted: a frame, its source, or the exception line."""
    return line.startswith(b"    ") or (_STACK_LINE.match(line) is not None and _LEVEL.match(line) is None)


class Joint(Enum):
    """How a line stands to the tracebacks of its source."""

    START = auto()
    """It begins one (an open one has ended before it)."""
    CONTINUE = auto()
    """It belongs to the open one, and so do the undecided lines above it."""
    DOUBT = auto()
    """Perhaps more of the open one's message. Hold it back: CONTINUE confirms it; before END, START or the last line `message_lines` decides."""
    END = auto()
    """It does not belong: the open one ended before it."""
    OUTSIDE = auto()
    """It has nothing to do with any. While `open`, another writer's line in the middle of one."""


_JOINTS: Final = {LineKind.END: Joint.END, LineKind.DOUBT: Joint.DOUBT, LineKind.STRAY: Joint.OUTSIDE, LineKind.OUTSIDE: Joint.OUTSIDE}


class TracebackJoiner:
    """Feed it the lines of one source in order.

    `next_record` is the source's own test for the first line of a record; it settles whether an unindented line below
    an exception line is more of the message; where it can't decide, the line is undecided. Without it every such line is a
    record of its own.
    """

    __slots__ = ("_grammar", "_lines", "begun", "interrupted", "open")

    def __init__(self, next_record: Callable[[bytes], bool | None] | None = None) -> None:
        self._grammar = Grammar(_on_text(next_record), patient=True) if next_record else Grammar(unindented)
        self._lines = 0
        self.open = False
        """Whether a traceback is open behind the last line that was fed."""
        self.begun = LineKind.OUTSIDE
        """The kind of the last START line."""
        self.interrupted = False
        """Whether the last START came in the middle of a stack: the exception line of the one before may be still to come."""

    @property
    def complete(self) -> bool:
        """Whether the open traceback may end here: its exception line was seen and no box is open.

        A tailer that has waited long enough for more may then close it with `reset`.
        """
        grammar = self._grammar
        boxed = grammar.phase is Phase.MESSAGE and grammar.depth > 0
        return grammar.phase in (Phase.MESSAGE, Phase.CLOSED, Phase.IDLE, Phase.FATAL) and not boxed

    def feed(self, line: bytes) -> Joint:
        """How the next line (with or without its newline) stands."""
        if not self.open and not may_open(line):
            return Joint.OUTSIDE
        return self._classify(line)

    @property
    def unprefixed(self) -> bytes:
        """The last line without the prefix that a logger put before each line; empty if it had none."""
        return self._grammar.unprefixed.encode("utf-8", "surrogateescape")

    def reset(self) -> None:
        """Close the open traceback: end of the source, rotation, or a wait that has ended."""
        self._grammar.reset()
        self._lines = 0
        self.open = False

    def _classify(self, line: bytes) -> Joint:
        if self._lines >= MAX_LINES:
            self.reset()
            return Joint.END
        in_stack = self._grammar.phase is Phase.STACK and not self._grammar.depth
        token = self._grammar.feed(clean(line.removesuffix(b"\n").decode("utf-8", "surrogateescape")))
        if token.starts:
            self.open, self._lines, self.begun, self.interrupted = True, 1, token.kind, in_stack
            return Joint.START
        self._lines += 1
        self.open = self._grammar.phase is not Phase.IDLE
        return self._joint(token.kind)

    def _joint(self, kind: LineKind) -> Joint:
        if kind in (LineKind.END, LineKind.OUTSIDE):
            self._lines = 0
        return _JOINTS.get(kind, Joint.CONTINUE)


def _on_text(next_record: Callable[[bytes], bool | None]) -> Callable[[str], bool | None]:
    def test(line: str) -> bool | None:
        return next_record(line.encode("utf-8", "surrogateescape"))

    return test
