"""The lines of Python's tracebacks as tokens, CPython 3.8 to 3.14: their patterns, and where in a traceback a line stands."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, NamedTuple

from agent.parse.exceptions import CAUSE, CONTEXT

ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
FRAME: Final = re.compile(r'(?:  |> )File "(.*)", line (\d+|None)(?:, in (.*))?')
FINAL: Final = re.compile(r"((?:<unknown>\.)?[^\W\d]\w*(?:\.(?:\w+|<\w+>))*)(?::(?: (.*))?)?", re.DOTALL)
REPEATED: Final = re.compile(r"  \[Previous line repeated (\d+) more times?\]")
MORE: Final = re.compile(r"and (\d+) more exceptions?")
DEPTH_LIMIT: Final = re.compile(r"\.\.\. \(max_group_depth is (\d+)\)")
SEPARATORS: Final = frozenset({CAUSE, CONTEXT})
_BOX: Final = re.compile(r"( +)(\+-)?\+-{12,16} (\d+|\.\.\.) -{12,16}|( +)\+-{36}")
MAX_STRAY_LINES: Final = 64
"""So many lines of others in a row inside an open traceback, and it counts as cut off."""


class LineKind(Enum):
    """The role of a line in the traceback."""

    OUTSIDE = auto()
    ANNOUNCEMENT = auto()
    """Begins a report that has nothing to do with what is open (see `announcements`)."""
    PREAMBLE = auto()
    HEADER = auto()
    GROUP_HEADER = auto()
    FRAME = auto()
    SYNTAX = auto()
    BODY = auto()
    REPEATED = auto()
    FINAL = auto()
    MESSAGE = auto()
    DOUBT = auto()
    """Perhaps more of the message: it is, if a token follows that continues the traceback (see `traceback_extent`)."""
    BLANK = auto()
    SEPARATOR = auto()
    MEMBER = auto()
    CLOSE = auto()
    MORE = auto()
    DEPTH_LIMIT = auto()
    NOISE = auto()
    """Belongs to the block, but not to the exception."""
    STRAY = auto()
    """Another writer's line in between; the traceback stays open."""
    END = auto()
    """Not part of the traceback that was open before this line."""


class Token(NamedTuple):
    """A classified line. `depth` counts the boxes around it; `starts` is true where a traceback begins here."""

    kind: LineKind
    text: str = ""
    depth: int = 0
    match: re.Match[str] | None = None
    starts: bool = False


class Phase(Enum):
    """Where in a traceback the next line stands."""

    IDLE = auto()
    PREAMBLE = auto()
    STACK = auto()
    MESSAGE = auto()
    QUOTED = auto()
    CHAINED = auto()
    MEMBER = auto()
    CLOSED = auto()
    CALL_STACK = auto()
    FATAL = auto()


class Place:
    """The phase, and the boxes of exception groups around the next line."""

    __slots__ = ("blanks", "depth", "phase", "strays")

    def __init__(self, phase: Phase = Phase.IDLE, depth: int = 0) -> None:
        self.phase = phase
        self.depth = depth
        self.blanks = 0
        """Blank lines in a row above the next one."""
        self.strays = 0

    def token(self, kind: LineKind, text: str, match: re.Match[str] | None = None) -> Token:
        """A line that is surely the traceback's."""
        self.strays = 0
        return Token(kind, text, self.depth, match)

    def blank(self) -> Token:
        """An empty line."""
        self.blanks += 1
        return Token(LineKind.BLANK, "", self.depth)

    def stray(self, line: str) -> Token | None:
        """Another writer's line; None where there are too many in a row."""
        self.strays += 1
        return None if self.strays > MAX_STRAY_LINES else Token(LineKind.STRAY, line, self.depth)

    def go(self, phase: Phase) -> None:
        """The next line stands in another phase."""
        self.phase, self.blanks = phase, 0

    def box(self, line: str) -> Token | None:
        """The border of a box, if the line is one where it can stand."""
        match = _BOX.fullmatch(line) if self.depth and "+-" in line else None
        if match is None:
            return None
        if match[4] is not None:
            return self._close(len(match[4]) // 2)
        child, first = len(match[1]) // 2 + bool(match[2]), match[2] is not None
        if not (child == self.depth + 1 if first else 2 <= child <= self.depth):
            return None
        self.depth = child
        self.go(Phase.MEMBER)
        return Token(LineKind.MEMBER, match[3], child)

    def _close(self, depth: int) -> Token | None:
        if not 2 <= depth <= self.depth:
            return None
        self.depth = depth
        self.go(Phase.CLOSED)
        return Token(LineKind.CLOSE, "", depth)

    def inside(self, line: str) -> str | None:
        """The content of a line within the boxes, None if it lacks their margin. Leaves boxes that have ended."""
        if not self.depth:
            return line
        column = len(line) - len(line.lstrip(" "))
        if line[column : column + 1] != "|" or column % 2 or not 2 <= column <= 2 * self.depth:
            return self._outside_boxes(line)
        text = line[column + 2 :]
        if column == 2 * self.depth:
            return text
        if self.phase is Phase.CLOSED or not text or text in SEPARATORS:
            self.depth = column // 2
            return text
        return None

    def _outside_boxes(self, line: str) -> str | None:
        """A chain may go on behind a group's boxes, which CPython does not always close."""
        if self.phase is Phase.CLOSED or line in SEPARATORS:
            self.depth = 0
            return line
        return None


def clean(line: str) -> str:
    """A line without its carriage return and colours (3.13 and later colour on request)."""
    line = line.removesuffix("\r")
    return ANSI.sub("", line) if "\x1b" in line else line


def unindented(line: str) -> bool | None:
    """The cautious next-record test: whatever is not indented may be another record."""
    return False if line[:1] in (" ", "\t") else None
