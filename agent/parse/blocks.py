"""Lines that belong together because the first of them shows the form of the last one.

PEM: from `-----BEGIN` to `-----END`, so that a key in it is seen as one thing. A JSON object: from `{` to the brace that closes it, as
`json.dumps(…, indent=2)` prints it. A rich traceback: from the box's upper border to the exception's line below, over all boxes of a chain.
Two lines of java.util.logging: time and logger, then level and message. A crash of another language's program: see `crash_reports`.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from agent.parse.crash_reports import FIRST as CRASHES
from agent.parse.crash_reports import report_of
from agent.parse.exceptions import CAUSE, CONTEXT
from agent.parse.layout_parts import JAVA_LEVELS, JAVA_TIME
from agent.parse.odd_times import MONTHS
from agent.parse.rich_traceback import BOX_BEGIN, BOX_END, EXCEPTION, MARGIN

PEM_BEGIN: Final = b"-----BEGIN "
PEM_END: Final = b"-----END "
FIRST: Final = frozenset((b"{", b"/", b"+", b" ", b"\xe2"))
FIRST_TWO: Final = CRASHES | frozenset(month[:2].encode() for month in MONTHS)
"""The beginnings of lines that may begin a block."""
_NOT_AMID: Final = (b"{", b"goroutine ")
"""How a block begins that may as well stand in the middle of a text."""
_PEM_LINES: Final = 200
_OBJECT: Final = re.compile(rb'\{\s*(?:"(?:[^"\\]|\\.){0,256}"\s*:.*[,{\[]\s*)?', re.DOTALL)
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_LINKS: Final = (CAUSE, CONTEXT)
_JAVA_FIRST: Final = re.compile(rf"{JAVA_TIME} [\w.$]{{1,256}}(?: [\w.$<>]{{1,256}})?".encode())
_JAVA_SECOND: Final = re.compile(rf"(?:{JAVA_LEVELS}):".encode())


class LineBlock(Protocol):
    """Lines whose continuation is known. `over`: the last one was taken."""

    over: bool

    def takes(self, line: bytes) -> bool:
        """Whether the next line belongs to it; False: it was broken off, and the line is like any other."""


class Pem:
    """A key or a certificate."""

    def __init__(self) -> None:
        self.over = False
        self._left = _PEM_LINES

    def takes(self, line: bytes) -> bool:
        """Every line, up to the last one or a number that no key has."""
        self._left -= 1
        self.over = PEM_END in line or not self._left
        return True


class JsonObject:
    """An object of several lines: all but the first and the last are indented, or close what is open."""

    def __init__(self, first: bytes) -> None:
        self.over = False
        self._depth = _depth(first)

    def takes(self, line: bytes) -> bool:
        """A line within the braces."""
        if line[:1] not in (b" ", b"\t", b"}", b"]", b""):
            return False
        self._depth += _depth(line)
        self.over = self._depth <= 0
        return True


class JavaRecord:
    """The two lines that java.util.logging's own formatter begins a record with."""

    def __init__(self) -> None:
        self.over = False

    def takes(self, line: bytes) -> bool:
        """The second line, which has the level."""
        self.over = _JAVA_SECOND.match(line) is not None
        return self.over


class RichTraceback:
    """The boxes that rich draws around a stack, each with the exception's line below it."""

    def __init__(self) -> None:
        self.over = False
        self._inside = True
        self._named = False

    def takes(self, line: bytes) -> bool:
        """A line of a box, the exception's line, or what leads to the next box."""
        text = line.decode("utf-8", "replace").strip()
        if self._inside:
            self._inside = BOX_END.match(text) is None
            self._named = False
            return not self._inside or text[:1] in MARGIN
        if BOX_BEGIN.match(text):
            self._inside = True
            return True
        if self._named or EXCEPTION.fullmatch(text) is None:
            return not text or text in _LINKS
        self._named = True
        return True


def block_of(line: bytes, *, amid: bool = False) -> LineBlock | None:
    """The block that a line begins where a record may begin; a key may begin in any line of a record. `amid`: a text is open that takes any lines."""
    if amid and line.startswith(_NOT_AMID):
        return None
    if line[:1] == b"{":
        return JsonObject(line) if _OBJECT.fullmatch(line) and _depth(line) > 0 else None
    if b"Traceback (most recent call last) " in line:
        return RichTraceback() if BOX_BEGIN.match(line.decode("utf-8", "replace").strip()) else None
    return JavaRecord() if line[-1:] != b":" and _JAVA_FIRST.fullmatch(line) else report_of(line)


def closes(line: bytes) -> bool:
    """Whether a line at the left edge does nothing but close what is printed above it: `}`, `});`."""
    return line[:1] in (b"}", b"]", b")") and line.rstrip().lstrip(b"}])") in (b"", b";", b",")


def _depth(line: bytes) -> int:
    """How many braces and brackets a line opens and leaves open."""
    bare = _STRING.sub(b"", line)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")
