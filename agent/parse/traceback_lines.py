"""The line grammar of Python's tracebacks, CPython 3.8 to 3.14: one line in, one token out, constant state.

Facts: `traceback.py` and `pythonrun.c` of those versions. The assembler (text to values) and the joiner (log lines to
records) read the same tokens, so that they can never disagree about where a traceback ends.

    IDLE ──header──> STACK ──"Type: message"──> MESSAGE ──blank, "The above …"──> CHAINED ──header / type──> …
      │                ^                          │  ^
      │                │                          │  └─ more lines of the message
      └─ "Exception in thread …" ──> PREAMBLE     └──"+-+--- 1 ---"──> MEMBER ──header / type──> …  ──"+-----"──> CLOSED
      └─ "--- Logging error ---"  ──> PREAMBLE, and MESSAGE may lead to CALL_STACK
      └─ "Fatal Python error: …"  ──> FATAL

Every handler does work proportional to its line, so a text is read in linear time.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from agent.parse.announcements import LOGGING, announces, announces_death, announces_stacks, is_torn
from agent.parse.exceptions import CAUSE, CONTEXT, GROUP_HEADER, HEADER
from agent.parse.times_in_text import timeless
from agent.parse.traceback_extent import closes_bracket, expects_more, is_more, is_other, opens_bracket

if TYPE_CHECKING:
    from collections.abc import Callable

ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
FRAME: Final = re.compile(r'(?:  |> )File "(.*)", line (\d+|None)(?:, in (.*))?')
FINAL: Final = re.compile(r"((?:<unknown>\.)?[^\W\d]\w*(?:\.(?:\w+|<\w+>))*)(?::(?: (.*))?)?", re.DOTALL)
REPEATED: Final = re.compile(r"  \[Previous line repeated (\d+) more times?\]")
MORE: Final = re.compile(r"and (\d+) more exceptions?")
DEPTH_LIMIT: Final = re.compile(r"\.\.\. \(max_group_depth is (\d+)\)")
BOX: Final = re.compile(r"( +)(\+-)?\+-{12,16} (\d+|\.\.\.) -{12,16}|( +)\+-{36}")
_HEADLESS: Final = re.compile(r"  \| [^\W\d][\w.<>]*: .*\(\d+ sub-exceptions?\)|[\w.]*RemoteTraceback: ?", re.DOTALL)
_BAD_SOURCE: Final = re.compile(r'  File ".*", line \d+')
"""What the interpreter prints of the program itself when it is none: a SyntaxError without header."""
_LOOP: Final = re.compile(r"(?:future|handle|task|protocol|transport): <")
"""How asyncio goes on in the message of its logger."""
_LOOP_CONTEXT: Final = re.compile(r"[a-z_]+: ")
_FATAL_BODY: Final = re.compile(
    r"  |Python runtime state: |Extension modules: |(?:Current thread|Thread|Stack)\b.*\(most recent call first\):|$",
)
_LEVELS: Final = frozenset({"TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL"})
_SEPARATORS: Final = frozenset({CAUSE, CONTEXT})
_BAR: Final = re.compile(r" {1,3}\d{1,3}%\|")
"""How a bar of tqdm's begins that is indented: it goes on below what a program prints meanwhile."""
_QUOTE: Final = '"""'
_STACK_INFO: Final = "Stack (most recent call last):"
"""What `logging` writes below an exception with `stack_info=True`."""
MAX_STRAY_LINES: Final = 64
"""So many lines of others in a row inside an open traceback, and it counts as cut off."""


class Kind(Enum):
    """What a line is."""

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
    """Perhaps more of the message: it is, if a token follows that goes on with the traceback (see `traceback_extent`)."""
    BLANK = auto()
    SEPARATOR = auto()
    MEMBER = auto()
    CLOSE = auto()
    MORE = auto()
    DEPTH_LIMIT = auto()
    NOISE = auto()
    """Belongs to the block, tells nothing about the exception."""
    STRAY = auto()
    """Another writer's line in between; the traceback stays open."""
    END = auto()
    """Not part of the traceback that was open before this line."""


class Token(NamedTuple):
    """A classified line. `depth` counts the boxes around it; `starts` is true where a traceback begins here."""

    kind: Kind
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


def clean(line: str) -> str:
    """A line without its carriage return and colours (3.13 and later colour on request)."""
    line = line.removesuffix("\r")
    return ANSI.sub("", line) if "\x1b" in line else line


def unindented(line: str) -> bool | None:
    """The cautious next-record test: whatever is not indented may be another record."""
    return False if line[:1] in (" ", "\t") else None


class Grammar:
    """The state machine of the module's picture.

    `next_record` decides the one thing the text does not: whether an unindented line below an exception line is
    another record (true) or more of the message (false). None = it can't tell: then it is another record, but one that
    ends no group whose box is open; for a `patient` reader, who holds such lines back until they are decided, it is in
    doubt. With `embedded` a header inside a message belongs to the
    message (the text is known to be one traceback); without, it begins another traceback.
    """

    __slots__ = (
        "_blanks",
        "_doubts",
        "_embedded",
        "_expecting",
        "_logging",
        "_next_record",
        "_opened",
        "_patient",
        "_prefix",
        "_prefix_open",
        "_stray",
        "_whole",
        "depth",
        "phase",
        "unprefixed",
    )

    def __init__(self, next_record: Callable[[str], bool | None] = unindented, *, embedded: bool = False, patient: bool = False) -> None:
        self._next_record = next_record
        self._embedded = embedded
        self._patient = patient
        self.reset()

    def reset(self, phase: Phase = Phase.IDLE) -> None:
        """Forget the open traceback, if any. `CHAINED` begins where a traceback without header may stand."""
        self.phase = phase
        self.depth = 0
        self._blanks = 0
        self._stray = 0
        self._doubts = 0
        self._opened = False
        self._expecting = False
        self._logging = False
        self._prefix: re.Pattern[str] | None = None
        self._prefix_open = False
        self._whole = ""
        self.unprefixed = ""

    def feed(self, line: str) -> Token:
        """Classify the next line (already `clean`, no newline)."""
        if self.phase is Phase.IDLE:
            return self._idle(line)
        whole, line = line, self._unprefixed(line)
        if self._begins_another(line):
            return self._begin(whole)
        if self._is_announced(line):
            return self._end(line)
        self._whole, self.unprefixed = ("", "") if line is whole else (whole, line)
        box = self._box(line) if self.depth and "+-" in line else None
        token = box or self._HANDLERS[self.phase](self, line)
        if self._doubts and token.kind not in (Kind.DOUBT, Kind.STRAY):
            self._doubts = 0
        return token

    # --- outside -----------------------------------------------------------------------------------------------------

    def _idle(self, line: str) -> Token:
        if line.endswith(HEADER):
            return self._begin(line)
        if line in _SEPARATORS:
            self.phase = Phase.CHAINED
            return Token(Kind.SEPARATOR, line, starts=True)
        if _HEADLESS.fullmatch(line) or _BAD_SOURCE.fullmatch(line):
            self.phase = Phase.CHAINED
            return self._chained(line)._replace(starts=True)
        return self._idle_block(line)

    def _idle_block(self, line: str) -> Token:
        if announces_death(line) or announces_stacks(line):
            self.phase = Phase.FATAL
            return Token(Kind.ANNOUNCEMENT, line, starts=True)
        if (announced := announces(line)) or _LOOP.match(line):
            self.phase, self._logging = Phase.PREAMBLE, line == LOGGING
            return Token(Kind.ANNOUNCEMENT if announced else Kind.PREAMBLE, line, starts=True)
        return Token(Kind.OUTSIDE, line)

    def _begin(self, line: str) -> Token:
        """A header, perhaps behind the prefix of a log line, which the following lines may repeat."""
        self.reset(Phase.STACK)
        group = line.endswith("  + " + GROUP_HEADER)
        self.depth = int(group)
        prefix = line.removesuffix("  + " + GROUP_HEADER if group else HEADER)
        self._prefix = timeless(prefix) if prefix else None
        self._prefix_open = bool(prefix)
        return Token(Kind.GROUP_HEADER if group else Kind.HEADER, line, self.depth, starts=True)

    def _begins_another(self, line: str) -> bool:
        """A header where none can stand inside the open traceback."""
        if not line.endswith(HEADER) or self.phase in (Phase.PREAMBLE, Phase.CHAINED, Phase.MEMBER, Phase.QUOTED):
            return False
        at_the_edge = not line.startswith("  ") or line.endswith("  + " + GROUP_HEADER)
        return at_the_edge and (self.phase is Phase.STACK or not self._embedded)

    def _is_announced(self, line: str) -> bool:
        """Whether another report begins here, whatever is open; what a message quotes of one is a part of it."""
        if self._embedded or self.phase is Phase.QUOTED or not (announces(line) or announces_death(line)):
            return False
        return self.phase is not Phase.STACK or not is_torn(line)

    def _unprefixed(self, line: str) -> str:
        if self._prefix is None:
            return line
        match = self._prefix.match(line)
        if self._prefix_open:
            self._prefix_open = False
            if match is None or not line.startswith("  ", match.end()):
                self._prefix = None
                return line
        return line[match.end() :] if match else line

    def _end(self, line: str) -> Token:
        """The open traceback is over; the line may begin the next."""
        self.reset()
        token = self._idle(line)
        return token if token.starts else Token(Kind.END, line)

    def _stray_line(self, line: str) -> Token:
        self._stray += 1
        return self._end(line) if self._stray > MAX_STRAY_LINES else Token(Kind.STRAY, line, self.depth)

    # --- boxes -------------------------------------------------------------------------------------------------------

    def _box(self, line: str) -> Token | None:
        match = BOX.fullmatch(line)
        if match is None:
            return None
        if match[4] is not None:
            return self._close(len(match[4]) // 2)
        child = len(match[1]) // 2 + bool(match[2])
        first = match[2] is not None
        if not (child == self.depth + 1 if first else 2 <= child <= self.depth):
            return None
        self.phase, self.depth, self._blanks = Phase.MEMBER, child, 0
        return Token(Kind.MEMBER, match[3], child)

    def _close(self, depth: int) -> Token | None:
        if not 2 <= depth <= self.depth:
            return None
        self.phase, self.depth, self._blanks = Phase.CLOSED, depth, 0
        return Token(Kind.CLOSE, "", depth)

    def _inside(self, line: str) -> str | None:
        """The content of a line within the boxes, None if it lacks their margin. Leaves boxes that have ended."""
        if not self.depth:
            return line
        column = len(line) - len(line.lstrip(" "))
        if line[column : column + 1] != "|" or column % 2 or not 2 <= column <= 2 * self.depth:
            return self._outside_boxes(line)
        text = line[column + 2 :]
        if column == 2 * self.depth:
            return text
        if self.phase is Phase.CLOSED or not text or text in _SEPARATORS:
            self.depth = column // 2
            return text
        return None

    def _outside_boxes(self, line: str) -> str | None:
        """A chain may go on behind a group's boxes, which CPython does not always close."""
        if self.phase is Phase.CLOSED or line in _SEPARATORS:
            self.depth = 0
            return line
        return None

    # --- phases ------------------------------------------------------------------------------------------------------

    def _preamble(self, line: str) -> Token:
        token = self._header(line, line)
        if token:
            return token
        if _LOOP_CONTEXT.match(line) or line[:2] == "  ":
            return Token(Kind.NOISE, line)
        return self._end(line)

    def _header(self, text: str, line: str) -> Token | None:
        """A header, plain or of a group, where one is due."""
        if text == HEADER:
            self.phase = Phase.STACK
            return Token(Kind.HEADER, text, self.depth)
        due = GROUP_HEADER if self.depth else "  + " + GROUP_HEADER
        if (text if self.depth else line) == due:
            self.phase, self.depth = Phase.STACK, self.depth or 1
            return Token(Kind.GROUP_HEADER, text, self.depth)
        return None

    def _in_stack(self, line: str) -> Token:
        text = self._inside(line)
        if text is None:
            # The C printer of 3.11 and 3.12 forgets the margin before two kinds of lines.
            return self._body(line) or self._repeated(line) or self._stray_line(line)
        return self._body(text) or self._frame(text) or self._repeated(text) or self._final(text) or self._gap(text)

    def _body(self, text: str) -> Token | None:
        return self._belongs(Token(Kind.BODY, text[4:], self.depth)) if text[:4] == "    " else None

    def _frame(self, text: str) -> Token | None:
        match = FRAME.fullmatch(text) if text[2:6] == "File" else None
        if match is None:
            return None
        self.phase = Phase.STACK
        return self._belongs(Token(Kind.FRAME if match[3] is not None else Kind.SYNTAX, text, self.depth, match))

    def _repeated(self, text: str) -> Token | None:
        match = REPEATED.fullmatch(text) if text[:3] == "  [" else None
        return self._belongs(Token(Kind.REPEATED, text, self.depth, match)) if match else None

    def _final(self, text: str) -> Token | None:
        match = FINAL.fullmatch(text)
        if match is None or match[1] in _LEVELS:
            return None
        quoted = not match[2] and match[1].endswith("RemoteTraceback")
        self.phase = Phase.QUOTED if quoted else Phase.MESSAGE
        self._blanks = 0
        self._expecting = self._patient and expects_more(text)
        return self._belongs(Token(Kind.FINAL, text, self.depth, match))

    def _gap(self, text: str) -> Token:
        if text and not text.isspace():
            return self._stray_line(text)
        return Token(Kind.NOISE, text, self.depth)

    def _belongs(self, token: Token) -> Token:
        self._stray = 0
        return token

    def _in_message(self, line: str) -> Token:
        text = self._inside(line)
        if text is None:
            return self._without_margin(line)
        if text in _SEPARATORS and self._blanks:
            self.phase = Phase.CHAINED
            return Token(Kind.SEPARATOR, text, self.depth)
        if not self.depth and (text == _STACK_INFO or (self._logging and text == "Call stack:")):
            self.phase = Phase.CALL_STACK
            return Token(Kind.NOISE, text)
        if not self.depth and (is_next := self._next(text)) is not False:
            return self._end(line) if is_next or not self._patient else self._doubtful(text)
        return self._blank_or_message(text, marked=self.depth > 0)

    def _without_margin(self, line: str) -> Token:
        """A line in an open box that is not in it: the C printer of 3.11 and 3.12 prints so what a message has of further lines."""
        is_next = self._next(line)
        if is_next is None:
            return self._doubtful(line) if self._patient else self._stray_line(line)
        return self._end(line) if is_next else self._blank_or_message(line)

    def _blank_or_message(self, text: str, *, marked: bool = False) -> Token:
        """A line that is blank, indented or (`marked`) within its box's margin. Behind lines in doubt it is one of them, or confirms them."""
        if self._doubts and not marked and not self._confirms(text):
            return self._doubt(text)
        if not text:
            self._blanks += 1
            return Token(Kind.BLANK, text, self.depth)
        return self._message(text)

    def _message(self, text: str) -> Token:
        self._blanks = 0
        self._expecting = self._patient and expects_more(text)
        return Token(Kind.MESSAGE, text, self.depth)

    def _doubtful(self, text: str) -> Token:
        """A line at the left edge, of which the caller can't tell whether it begins a record."""
        if is_other(text) or announces_stacks(text) or _LOOP.match(text):
            return self._stray_line(text) if self.depth else self._end(text)
        marked = not self._blanks and (self._expecting or is_more(text))
        sure = self._confirms(text) if self._doubts else marked
        return self._message(text) if sure else self._doubt(text)

    def _confirms(self, text: str) -> bool:
        """Whether the lines in doubt are explained by this one: it closes what they opened, or it is indented below a single one."""
        if self._opened:
            return closes_bracket(text)
        return self._doubts == 1 and not self._blanks and unindented(text) is False and not text.isspace()

    def _doubt(self, text: str) -> Token:
        self._opened = opens_bracket(text) if not self._doubts else self._opened
        self._doubts += 1
        self._blanks = 0 if text else self._blanks + 1
        return Token(Kind.DOUBT, text, self.depth)

    def _next(self, text: str) -> bool | None:
        if _BAR.match(text):
            return True
        if not text or unindented(text) is False:
            return False
        if self._whole and self._next_record(self._whole) and not (self._expecting or is_more(text)):
            return True  # a logger that was given the lines one by one went on to its next record
        return self._next_record(text)

    def _in_quoted(self, line: str) -> Token:
        """The text of a worker's traceback, which multiprocessing passes on as a message between triple quotes."""
        text = self._inside(line)
        text = line if text is None else text
        opened = self._blanks < 0
        if not opened and text != _QUOTE:
            self.phase = Phase.MESSAGE
            return self._in_message(line)
        closes = opened and text == _QUOTE
        self.phase, self._blanks = (Phase.MESSAGE, 0) if closes else (Phase.QUOTED, -1)
        return Token(Kind.MESSAGE, text, self.depth)

    def _chained(self, line: str) -> Token:
        text = self._inside(line)
        if text is None:
            return self._stray_line(line)
        if not text:
            return Token(Kind.BLANK, text, self.depth)
        return self._header(text, line) or self._headless(text, line) or self._stray_line(line)

    def _headless(self, text: str, line: str) -> Token | None:
        """An exception that was never raised prints without a header; so may a group, inside its margin."""
        if not self.depth and line.startswith("  | "):
            self.depth, text = 1, line[4:]
        return self._frame(text) or self._limit(text) or self._final(text)

    def _limit(self, text: str) -> Token | None:
        match = DEPTH_LIMIT.fullmatch(text)
        if match is None:
            return None
        self.phase, self._blanks = Phase.MESSAGE, 0
        return Token(Kind.DEPTH_LIMIT, text, self.depth, match)

    def _in_member(self, line: str) -> Token:
        text = self._inside(line)
        match = MORE.fullmatch(text) if text else None
        if match:
            self.phase, self._blanks = Phase.MESSAGE, 0
            return Token(Kind.MORE, text or "", self.depth, match)
        return self._chained(line)

    def _after_box(self, line: str) -> Token:
        text = self._inside(line)
        if not text:
            self._blanks += 1
            return Token(Kind.BLANK, "", self.depth)
        if text in _SEPARATORS and self._blanks:
            self.phase = Phase.CHAINED
            return Token(Kind.SEPARATOR, text, self.depth)
        return self._end(line)

    def _in_call_stack(self, line: str) -> Token:
        """What logging adds to the report of its own failure."""
        if line.startswith("Arguments: "):
            self.phase = Phase.CLOSED
            return Token(Kind.NOISE, line)
        if line[:2] == "  " or line.startswith(("Message: ", "Unable to print", "Use the traceback above")):
            return Token(Kind.NOISE, line)
        return self._end(line)

    def _in_fatal(self, line: str) -> Token:
        return Token(Kind.NOISE, line) if _FATAL_BODY.match(line) else self._end(line)

    _HANDLERS: ClassVar[dict[Phase, Callable[[Grammar, str], Token]]] = {
        Phase.PREAMBLE: _preamble,
        Phase.STACK: _in_stack,
        Phase.MESSAGE: _in_message,
        Phase.QUOTED: _in_quoted,
        Phase.CHAINED: _chained,
        Phase.MEMBER: _in_member,
        Phase.CLOSED: _after_box,
        Phase.CALL_STACK: _in_call_stack,
        Phase.FATAL: _in_fatal,
    }
