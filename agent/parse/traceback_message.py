"""The lines of an exception's message, as far as each line decides by itself; the others are undecided (see `traceback_extent`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.parse.announcements import announces_stacks, is_loop_context
from agent.parse.traceback_extent import closes_bracket, expects_more, is_more, is_other, opens_bracket
from agent.parse.traceback_tokens import SEPARATORS, LineKind, Phase, Place, Token, unindented

if TYPE_CHECKING:
    from collections.abc import Callable

_BAR: Final = re.compile(r" {1,3}\d{1,3}%\|")
"""How a bar of tqdm's begins that is indented: it goes on below what a program prints meanwhile."""
_QUOTE: Final = '"""'
_CALL_STACKS: Final = ("Stack (most recent call last):", "Call stack:")
"""The lines that `logging` writes below an exception: with `stack_info=True`, and in the report of its own failure."""


class MessageLines:
    """Reads the lines behind an exception's line. Each result is a token, or None: the traceback is over before the line."""

    __slots__ = ("_doubts", "_expecting", "_next_record", "_opened", "_patient", "_place", "call_stacks", "prefixed")

    def __init__(self, place: Place, next_record: Callable[[str], bool | None], *, patient: bool) -> None:
        self._place = place
        self._next_record = next_record
        self._patient = patient
        self._doubts = 0
        self._opened = False
        self._expecting = False
        self.call_stacks: tuple[str, ...] = _CALL_STACKS[:1]
        """How a stack begins that a logger has added to the message."""
        self.prefixed = ""
        """The present line with the prefix of the logger that was given the lines one by one; empty without one."""

    def report_of_logging(self) -> None:
        """The open block is logging's report of its own failure."""
        self.call_stacks = _CALL_STACKS

    def begin(self, text: str) -> None:
        """The exception's line was read."""
        self._place.blanks = 0
        self._expecting = self._patient and expects_more(text)

    def settle(self, token: Token) -> None:
        """A line that is neither undecided nor another writer's decides those before it."""
        if token.kind not in (LineKind.DOUBT, LineKind.STRAY):
            self._doubts = 0

    def read(self, line: str) -> Token | None:
        """A line below an exception's."""
        place = self._place
        text = place.inside(line)
        if text is None:
            return self._without_margin(line)
        if text in SEPARATORS and place.blanks:
            place.phase = Phase.CHAINED
            return Token(LineKind.SEPARATOR, text, place.depth)
        if not place.depth and text in self.call_stacks:
            place.phase = Phase.CALL_STACK
            return Token(LineKind.NOISE, text)
        if not place.depth and (is_next := self._is_next(text)) is not False:
            return None if is_next or not self._patient else self._doubtful(text)
        return self._blank_or_message(text, marked=place.depth > 0)

    def read_quoted(self, line: str) -> Token | None:
        """The text of a worker's traceback, which multiprocessing passes on as a message between triple quotes."""
        place = self._place
        text = place.inside(line)
        text = line if text is None else text
        opened = place.blanks < 0
        if not opened and text != _QUOTE:
            place.phase = Phase.MESSAGE
            return self.read(line)
        closes = opened and text == _QUOTE
        place.phase, place.blanks = (Phase.MESSAGE, 0) if closes else (Phase.QUOTED, -1)
        return Token(LineKind.MESSAGE, text, place.depth)

    def _without_margin(self, line: str) -> Token | None:
        """A line in an open box that is not in it: the C printer of 3.11 and 3.12 prints so what a message has of further lines."""
        is_next = self._is_next(line)
        if is_next is None:
            return self._doubtful(line) if self._patient else self._place.stray(line)
        return None if is_next else self._blank_or_message(line)

    def _blank_or_message(self, text: str, *, marked: bool = False) -> Token:
        """A line that is blank, indented or (`marked`) within its box's margin. Behind undecided lines it is one of them, or confirms them."""
        if self._doubts and not marked and not self._confirms(text):
            return self._doubt(text)
        return self._message(text) if text else self._place.blank()

    def _message(self, text: str) -> Token:
        self.begin(text)
        return Token(LineKind.MESSAGE, text, self._place.depth)

    def _doubtful(self, text: str) -> Token | None:
        """A line at the left edge, of which the caller can't tell whether it begins a record."""
        if is_other(text) or announces_stacks(text) or is_loop_context(text):
            return self._place.stray(text) if self._place.depth else None
        marked = not self._place.blanks and (self._expecting or is_more(text))
        sure = self._confirms(text) if self._doubts else marked
        return self._message(text) if sure else self._doubt(text)

    def _confirms(self, text: str) -> bool:
        """Whether the undecided lines are explained by this one: it closes what they opened, or it is indented below a single one."""
        if self._opened:
            return closes_bracket(text)
        return self._doubts == 1 and not self._place.blanks and unindented(text) is False and not text.isspace()

    def _doubt(self, text: str) -> Token:
        self._opened = self._opened if self._doubts else opens_bracket(text)
        self._doubts += 1
        self._place.blanks = 0 if text else self._place.blanks + 1
        return Token(LineKind.DOUBT, text, self._place.depth)

    def _is_next(self, text: str) -> bool | None:
        """Whether a line begins another record; None where only what follows can tell."""
        if _BAR.match(text):
            return True
        if not text or unindented(text) is False:
            return False
        if self.prefixed and self._next_record(self.prefixed) and not (self._expecting or is_more(text)):
            return True  # a logger that was given the lines one by one went on to its next record
        return self._next_record(text)
