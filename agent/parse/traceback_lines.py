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
from typing import TYPE_CHECKING, ClassVar, Final

from agent.parse.announcements import LOGGING, announces, announces_death, announces_stacks, is_loop_context, is_torn
from agent.parse.exceptions import BARE_GROUP_HEADER, GROUP_HEADER, HEADER
from agent.parse.severity import PYTHON_LEVELS
from agent.parse.times_in_text import RepeatedPrefix
from agent.parse.traceback_message import MessageLines
from agent.parse.traceback_tokens import DEPTH_LIMIT, FINAL, FRAME, MORE, REPEATED, SEPARATORS, LineKind, Phase, Place, Token, unindented

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADLESS: Final = re.compile(r"  \| [^\W\d][\w.<>]*: .*\(\d+ sub-exceptions?\)|[\w.]*RemoteTraceback: ?", re.DOTALL)
_BAD_SOURCE: Final = re.compile(r'  File ".*", line \d+')
"""The interpreter's report of an invalid program: a SyntaxError without header."""
_LOOP_CONTEXT: Final = re.compile(r"[a-z_]+: ")
_FATAL_BODY: Final = re.compile(
    r"  |Python runtime state: |Extension modules: |(?:Current thread|Thread|Stack)\b.*\(most recent call first\):|$",
)
_LEVELS: Final = frozenset(PYTHON_LEVELS)
_LOGGING_ENDS: Final = ("Message: ", "Unable to print", "Use the traceback above")


class Grammar:
    """The state machine of the module's picture.

    `next_record` decides the one thing the text does not: whether an unindented line below an exception line is
    another record (true) or more of the message (false). None = it can't tell: then it is another record, but one that
    ends no group whose box is open; for a `patient` reader, which holds such lines back until they are decided, it is
    undecided. With `embedded` a header inside a message belongs to the
    message (the text is known to be one traceback); without, it begins another traceback.

    A handler returns the token of a line, or None where the traceback is over before it.
    """

    __slots__ = ("_embedded", "_next_record", "_patient", "_place", "_prefix", "message", "unprefixed")

    def __init__(self, next_record: Callable[[str], bool | None] = unindented, *, embedded: bool = False, patient: bool = False) -> None:
        self._next_record = next_record
        self._embedded = embedded
        self._patient = patient
        self.reset()

    @property
    def phase(self) -> Phase:
        """Where the next line stands."""
        return self._place.phase

    @property
    def depth(self) -> int:
        """How many boxes are open around it."""
        return self._place.depth

    def reset(self, phase: Phase = Phase.IDLE, depth: int = 0) -> None:
        """Forget the open traceback, if any. `CHAINED` begins where a traceback without header may stand."""
        self._place = Place(phase, depth)
        self.message = MessageLines(self._place, self._next_record, patient=self._patient)
        self._prefix = RepeatedPrefix()
        self.unprefixed = ""

    def feed(self, line: str) -> Token:
        """Classify the next line (already `clean`, no newline)."""
        if self._place.phase is Phase.IDLE:
            return self._idle(line)
        whole, line = line, self._prefix.strip(line)
        if self._begins_another(line):
            return self._begin(whole)
        if self._is_announced(line):
            return self._end(line)
        self.message.prefixed, self.unprefixed = ("", "") if line is whole else (whole, line)
        token = self._place.box(line) or self._HANDLERS[self._place.phase](self, line)
        if token is None:
            return self._end(line)
        self.message.settle(token)
        return token

    # --- outside -----------------------------------------------------------------------------------------------------

    def _idle(self, line: str) -> Token:
        if line.endswith(HEADER):
            return self._begin(line)
        if line in SEPARATORS:
            self._place.phase = Phase.CHAINED
            return Token(LineKind.SEPARATOR, line, starts=True)
        if _HEADLESS.fullmatch(line) or _BAD_SOURCE.fullmatch(line):
            self._place.phase = Phase.CHAINED
            return (self._chained(line) or Token(LineKind.END, line))._replace(starts=True)
        return self._idle_report(line)

    def _idle_report(self, line: str) -> Token:
        if announces_death(line) or announces_stacks(line):
            self._place.phase = Phase.FATAL
            return Token(LineKind.ANNOUNCEMENT, line, starts=True)
        if (announced := announces(line)) or is_loop_context(line):
            self._place.phase = Phase.PREAMBLE
            if line == LOGGING:
                self.message.report_of_logging()
            return Token(LineKind.ANNOUNCEMENT if announced else LineKind.PREAMBLE, line, starts=True)
        return Token(LineKind.OUTSIDE, line)

    def _begin(self, line: str) -> Token:
        """A header, perhaps behind the prefix of a log line, which the following lines may repeat."""
        group = line.endswith(BARE_GROUP_HEADER)
        self.reset(Phase.STACK, int(group))
        self._prefix = RepeatedPrefix(line.removesuffix(BARE_GROUP_HEADER if group else HEADER))
        return Token(LineKind.GROUP_HEADER if group else LineKind.HEADER, line, int(group), starts=True)

    def _begins_another(self, line: str) -> bool:
        """A header where none can stand inside the open traceback."""
        if not line.endswith(HEADER) or self._place.phase in (Phase.PREAMBLE, Phase.CHAINED, Phase.MEMBER, Phase.QUOTED):
            return False
        at_the_edge = not line.startswith("  ") or line.endswith(BARE_GROUP_HEADER)
        return at_the_edge and (self._place.phase is Phase.STACK or not self._embedded)

    def _is_announced(self, line: str) -> bool:
        """Whether another report begins here, whatever is open; what a message quotes of one is a part of it."""
        if self._embedded or self._place.phase is Phase.QUOTED or not (announces(line) or announces_death(line)):
            return False
        return self._place.phase is not Phase.STACK or not is_torn(line)

    def _end(self, line: str) -> Token:
        """The open traceback has ended; the line may begin the next."""
        self.reset()
        token = self._idle(line)
        return token if token.starts else Token(LineKind.END, line)

    # --- phases ------------------------------------------------------------------------------------------------------

    def _preamble(self, line: str) -> Token | None:
        if token := self._header(line, line):
            return token
        return Token(LineKind.NOISE, line) if _LOOP_CONTEXT.match(line) or line[:2] == "  " else None

    def _header(self, text: str, line: str) -> Token | None:
        """A header, plain or of a group, where one is due."""
        place = self._place
        if text == HEADER:
            place.phase = Phase.STACK
            return Token(LineKind.HEADER, text, place.depth)
        if (text == GROUP_HEADER) if place.depth else (line == BARE_GROUP_HEADER):
            place.phase, place.depth = Phase.STACK, place.depth or 1
            return Token(LineKind.GROUP_HEADER, text, place.depth)
        return None

    def _in_stack(self, line: str) -> Token | None:
        text = self._place.inside(line)
        if text is None:
            # The C printer of 3.11 and 3.12 forgets the margin before two kinds of lines.
            return self._body(line) or self._repeated(line) or self._place.stray(line)
        return self._body(text) or self._frame(text) or self._repeated(text) or self._final(text) or self._gap(text)

    def _body(self, text: str) -> Token | None:
        return self._place.token(LineKind.BODY, text[4:]) if text[:4] == "    " else None

    def _frame(self, text: str) -> Token | None:
        match = FRAME.fullmatch(text) if text[2:6] == "File" else None
        if match is None:
            return None
        self._place.phase = Phase.STACK
        return self._place.token(LineKind.FRAME if match[3] is not None else LineKind.SYNTAX, text, match)

    def _repeated(self, text: str) -> Token | None:
        match = REPEATED.fullmatch(text) if text[:3] == "  [" else None
        return self._place.token(LineKind.REPEATED, text, match) if match else None

    def _final(self, text: str) -> Token | None:
        match = FINAL.fullmatch(text)
        if match is None or match[1] in _LEVELS:
            return None
        quoted = not match[2] and match[1].endswith("RemoteTraceback")
        self._place.phase = Phase.QUOTED if quoted else Phase.MESSAGE
        self.message.begin(text)
        return self._place.token(LineKind.FINAL, text, match)

    def _gap(self, text: str) -> Token | None:
        return self._place.stray(text) if text and not text.isspace() else Token(LineKind.NOISE, text, self._place.depth)

    def _in_message(self, line: str) -> Token | None:
        return self.message.read(line)

    def _in_quoted(self, line: str) -> Token | None:
        return self.message.read_quoted(line)

    def _chained(self, line: str) -> Token | None:
        text = self._place.inside(line)
        if text is None:
            return self._place.stray(line)
        if not text:
            return Token(LineKind.BLANK, text, self._place.depth)
        return self._header(text, line) or self._headless(text, line) or self._place.stray(line)

    def _headless(self, text: str, line: str) -> Token | None:
        """An exception that was never raised prints without a header; so may a group, inside its margin."""
        if not self._place.depth and line.startswith("  | "):
            self._place.depth, text = 1, line[4:]
        return self._frame(text) or self._counted(LineKind.DEPTH_LIMIT, DEPTH_LIMIT, text) or self._final(text)

    def _counted(self, kind: LineKind, pattern: re.Pattern[str], text: str) -> Token | None:
        """The text in place of exceptions that were not printed."""
        match = pattern.fullmatch(text)
        if match is None:
            return None
        self._place.go(Phase.MESSAGE)
        return Token(kind, text, self._place.depth, match)

    def _in_member(self, line: str) -> Token | None:
        text = self._place.inside(line)
        return (self._counted(LineKind.MORE, MORE, text) if text else None) or self._chained(line)

    def _after_box(self, line: str) -> Token | None:
        text = self._place.inside(line)
        if not text:
            return self._place.blank()
        if text in SEPARATORS and self._place.blanks:
            self._place.phase = Phase.CHAINED
            return Token(LineKind.SEPARATOR, text, self._place.depth)
        return None

    def _in_call_stack(self, line: str) -> Token | None:
        """The lines that logging adds to the report of its own failure."""
        if line.startswith("Arguments: "):
            self._place.phase = Phase.CLOSED
            return Token(LineKind.NOISE, line)
        return Token(LineKind.NOISE, line) if line[:2] == "  " or line.startswith(_LOGGING_ENDS) else None

    def _in_fatal(self, line: str) -> Token | None:
        return Token(LineKind.NOISE, line) if _FATAL_BODY.match(line) else None

    _HANDLERS: ClassVar[dict[Phase, Callable[[Grammar, str], Token | None]]] = {
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
