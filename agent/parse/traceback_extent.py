r"""The extent of an exception's message where no line marks its end: on a stream of plain text.

`raise ValueError("first\nsecond")` prints `second` at the left edge, like any line that a program prints itself. Certain lines are decided one
by one: in a chain or a box the message continues until the separator or the border; an indented line, or one that its neighbours mark as a part
(`is_more`), belongs to the message. All other lines are undecided: they are held back until a later line or a silence decides, and then
`message_lines` decides on all of them at once.

The reasons: a message that is cut off after its first line hides the cause of a failure (pydantic, SQLAlchemy, a subprocess's output). An ordinary
line that is taken for a part of it changes neither type nor frames, so the issue is the same, and it stays in the record's text. So undecided lines
go to the message where a process has most likely died (the exception was not caught, or the stream ended), and not where
the program continues: it printed an exception that it had caught, or it keeps writing. An exception that the interpreter itself words in one line
(`is_whole`) takes no undecided line: programs print such an exception, print a last line and exit with 0. Either way the harm is
bounded by `MAX_DOUBTS`, `FEW` and `LATE_NS`. Still wrong: if a program catches at its outermost level, prints one exception in one
line of its own words and continues at once, its next lines belong to that exception, up to its next silence or report; and a note on an
exception that the interpreter worded is a record of its own.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from agent.parse.severity import ANY_PYTHON_LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_DOUBTS: Final = 128
"""Number of undecided lines that are held back: more of them come from a program that continues. Nearly all messages are shorter."""
FEW: Final = 20
"""Most lines between a message's first line and a certain other line; more of them are rather a program's output before its next failure."""
MAX_DOUBTFUL_BYTES: Final = 65_536
LATE_NS: Final = 1_000_000_000
"""An exception is printed at once: a line that is read so many nanoseconds after its last certain line does not belong to it. No line waits longer."""
TOGETHER_NS: Final = 20_000_000
"""In a program that continues slowly, a line that is read within this time after the one before was written together with it."""
AT_ONCE_NS: Final = 50_000_000
"""A logger writes its text and a traceback at one go, within so many nanoseconds of the time in the text (some 10 ms on a busy machine)."""
LONGEST_WRITE_NS: Final = 600_000_000_000
"""Where text and write are further apart, the text's clock is of another zone, or the file is a copy."""
_SECOND_NS: Final = 1_000_000_000
_EXPECTS: Final = (":", ",", "(", "[", "{", "\\")
_PAIRS: Final = {"[": "]", "(": ")", "{": "}"}
_CLOSERS: Final = frozenset(_PAIRS.values())
_WARNING: Final = re.compile(r"\S.*?:\d+: (?:[\w.]+\.)?\w*Warning\b")
_LEVELLED: Final = re.compile(rf"\[?{ANY_PYTHON_LEVEL}(?:\]| *[-|:])")
_THREAD: Final = re.compile(r"Thread-\d+(?: \([^)]*\))?:")
"""The rest of "Exception in thread …" where two threads print it at once."""
_WHOLE: Final = re.compile(
    r"KeyError: (['\"]).*\1|KeyError: [\w.-]+|ZeroDivisionError: .*by zero|KeyboardInterrupt: |RecursionError: maximum recursion depth .*"
    r"|\w+: \[Errno \d+\] .*|NameError: name '\w+' is not defined.*|(?:ModuleNotFound|Import)Error: (?:No module named|cannot import name) .*"
    r"|AttributeError: .* has no attribute '\w+'.*|IndexError: [a-z]+ index out of range|TypeError: .*(?: object is not |\(\) (?:takes|missing) ).*",
)
"""Lines that show their own end, as CPython 3.8 to 3.14 word them."""

NEVER_RAISED: Final = re.compile(r"(?:[^\W\d]\w*\.)*(?:[A-Z]\w*|\w*error|\w*exit)(?:: .*)?", re.DOTALL)
"""The line of an exception that was never raised and so has no header: stricter than that below a stack, since nothing else tells."""
MAX_MESSAGE: Final = 20
"""Lines of such an exception's message, at most."""


def is_later_write(time_ns: int, written_ns: int) -> bool:
    """Whether what was written at one time can't be of the text that a logger wrote at another: an interpreter's traceback below an error.

    Both in nanoseconds since the Unix epoch, 0 = unknown; a time in whole seconds is taken for the end of its second.
    """
    if not time_ns or not written_ns:
        return False
    pause_ns = written_ns - time_ns - (0 if time_ns % _SECOND_NS else _SECOND_NS)
    return AT_ONCE_NS < pause_ns < LONGEST_WRITE_NS


class Ending(Enum):
    """The event behind the undecided lines."""

    GONE = auto()
    """Nothing: the stream has ended, hence its program as well."""
    SILENCE = auto()
    """Nothing so far: the writer may have finished."""
    ANOTHER = auto()
    """A line that certainly is something else: a record, another traceback."""
    LATER = auto()
    """A line that comes too late for the message: its writer continues."""
    TOO_MANY = auto()
    """More and more lines: the writer continues."""


def message_lines(
    ending: Ending, pauses: Sequence[int], *, structured: bool, unfinished: Callable[[], bool], whole: Callable[[], bool]
) -> int:
    """How many of the undecided lines are more of the message; of each its `pause` is known, in nanoseconds between the line before and it.

    `structured`: the program's own records are of a format that these lines are not written in, so that no other writer can have written
    them. `unfinished`: the traceback is one that an interpreter prints of an uncaught exception, and its message may have more
    lines; `whole`: it surely has none (`is_whole`). Both are asked only where it matters, since it takes reading the traceback.
    """
    if ending is Ending.GONE:
        return 0 if not structured and whole() else len(pauses)
    if ending is Ending.TOO_MANY or (ending is Ending.ANOTHER and not structured and len(pauses) > FEW):
        return 0
    if not structured and not unfinished():
        return 0
    if ending is Ending.LATER:
        return next((number for number, pause in enumerate(pauses) if pause > TOGETHER_NS), len(pauses))
    return len(pauses)


def is_whole(name: str, message: str) -> bool:
    """Whether an exception is one that the interpreter or the standard library words itself, in one line (only notes may follow it)."""
    return _WHOLE.fullmatch(f"{name}: {message}") is not None


def is_other(text: str) -> bool:
    """Whether a line that is in no known format is nevertheless something of its own: a warning, or what begins with a level."""
    return (
        _LEVELLED.match(text) is not None or _THREAD.fullmatch(text) is not None or ("Warning" in text and _WARNING.match(text) is not None)
    )


def expects_more(text: str) -> bool:
    """Whether a line of a message can hardly be its last: it ends in the middle, or its exception line has nothing behind the colon."""
    return text.rstrip().endswith(_EXPECTS)


def is_more(text: str) -> bool:
    """Whether a line can hardly be a beginning: `}`, `[SQL: …]`, `(Background on this error at: …)`, the last line of a list."""
    first, last = text[:1], text[-1:]
    return first in _CLOSERS or (first in ("[", "(") and last == _PAIRS[first]) or closes_bracket(text)


def opens_bracket(text: str) -> bool:
    """Whether a line begins what another will have to close: `[SQL: SELECT *`."""
    return text[:1] in _PAIRS and text.count(text[0]) > text.count(_PAIRS[text[0]])


def closes_bracket(text: str) -> bool:
    """Whether a line ends what an earlier one began."""
    last = text[-1:]
    return last in ("]", "}") and text.count(last) > text.count("[" if last == "]" else "{")
