"""An exception as it was read from a log, and the text that CPython would print for it.

The values are plain and frozen so that every reader (text, JSON) and every writer (events, fingerprints) shares them.
Order follows CPython's own: frames oldest call first, and in a chain the exception that ended the program is the
outermost value with the older ones hanging off `cause` or `context`.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEADER = "Traceback (most recent call last):"
GROUP_HEADER = "Exception Group Traceback (most recent call last):"
BARE_GROUP_HEADER = f"  + {GROUP_HEADER}"
"""As it stands where no box is open."""
CAUSE = "The above exception was the direct cause of the following exception:"
CONTEXT = "During handling of the above exception, another exception occurred:"
BOX_DASHES = "-" * 16
BOX_CLOSE = "+" + "-" * 36


@dataclass(frozen=True, slots=True)
class Frame:
    """One call of a stack.

    `source_line` is the first line printed below the location, `detail` what follows it (carets, further source lines
    of a multi-line expression), both without the four columns of indentation. `function` is "" where the text names
    none (the place a SyntaxError points at). `repeated` counts the identical frames CPython folded into this one.
    """

    filename: str
    lineno: int | None
    function: str
    source_line: str | None = None
    repeated: int = 0
    locals: Mapping[str, str] | None = None
    detail: tuple[str, ...] = ()

    @property
    def colno(self) -> int | None:
        """First marked character of `source_line`, 0-based, if a caret line says so (PEP 657)."""
        return self._marked()[0]

    @property
    def end_colno(self) -> int | None:
        """Character behind the last marked one of `source_line`, 0-based."""
        return self._marked()[1]

    def _marked(self) -> tuple[int | None, int | None]:
        if self.source_line is None or not self.detail or not is_caret_line(self.detail[0]):
            return None, None
        carets = self.detail[0]
        start = len(carets) - len(carets.lstrip())
        return _at_column(self.source_line, start), _at_column(self.source_line, len(carets.rstrip()))


@dataclass(frozen=True, slots=True)
class Truncated:
    """Counts of the parts that the text or its writer left out.

    exceptions   members of this group that were not printed ("and N more exceptions")
    frames       frames skipped by the logger; `frames_at` is the index in `frames` where they are missing
    links        older exceptions of the chain beyond our bound
    depth_limit  the group was not printed since it is nested deeper than this (0: it was)
    incomplete   the text ends before the exception line: type and value are unknown ("")
    """

    exceptions: int = 0
    frames: int = 0
    frames_at: int = 0
    links: int = 0
    depth_limit: int = 0
    incomplete: bool = False


NOT_TRUNCATED = Truncated()


@dataclass(frozen=True, slots=True)
class ExceptionInfo:
    """One exception with what it was raised from.

    `module` is None where the text gives none (builtins and `__main__` print without it). `value` is the message as
    printed, perhaps of several lines; in text form the notes are part of it, since nothing tells them apart.
    `syntax` is the place a SyntaxError points at. At most one of `cause` and `context` is known from text.
    """

    type: str
    module: str | None
    value: str
    frames: tuple[Frame, ...]
    notes: tuple[str, ...] = ()
    cause: ExceptionInfo | None = None
    context: ExceptionInfo | None = None
    group: tuple[ExceptionInfo, ...] = ()
    is_group: bool = False
    syntax: Frame | None = None
    truncated: Truncated = NOT_TRUNCATED

    @property
    def qualified(self) -> str:
        """The type as CPython prints it: `module.Outer.Inner`, without a module where none is known."""
        return f"{self.module}.{self.type}" if self.module else self.type


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """The stack of one thread at a fatal error; `ident` is the hexadecimal id as printed, frames oldest first."""

    ident: str
    current: bool
    frames: tuple[Frame, ...]
    name: str = ""
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class FatalError:
    """A fatal error, reported by faulthandler or the interpreter itself ("Fatal Python error: …")."""

    reason: str
    threads: tuple[ThreadStack, ...]
    runtime_state: str = ""
    extension_modules: tuple[str, ...] = ()

    @property
    def current(self) -> ThreadStack | None:
        """The thread that died, if the text marks it."""
        return next((thread for thread in self.threads if thread.current), None)


def is_caret_line(text: str) -> bool:
    """Whether a line consists of nothing but the marks CPython puts below a source line."""
    marks = text.strip()
    return bool(marks) and not marks.strip("^~")


def _at_column(line: str, column: int) -> int:
    """The character index at a display column: CPython pads carets for wide characters."""
    if line.isascii():
        return min(column, len(line))
    width = 0
    for index, char in enumerate(line):
        if width >= column:
            return index
        width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return len(line)


# --- rendering -------------------------------------------------------------------------------------------------------


def render(exc: ExceptionInfo) -> str:
    """The text CPython's `traceback` module prints for `exc`, each line ended by a newline."""
    return "".join(line + "\n" for line in _render_chain(exc, 0))


def _render_chain(exc: ExceptionInfo, depth: int) -> Iterator[str]:
    """A chain, oldest exception first. `depth` is the number of boxes around it."""
    for position, (link, separator) in enumerate(_oldest_first(exc)):
        if position:
            yield from _indented(["", separator, ""], depth)
        yield from _render_one(link, depth)


def _oldest_first(exc: ExceptionInfo) -> list[tuple[ExceptionInfo, str]]:
    """The links of a chain, each with the separator that stands before it."""
    links: list[tuple[ExceptionInfo, str]] = []
    link: ExceptionInfo | None = exc
    while link is not None:
        links.append((link, CAUSE if link.cause is not None else CONTEXT))
        link = link.cause or link.context
    return links[::-1]


def _render_one(exc: ExceptionInfo, depth: int) -> Iterator[str]:
    if exc.truncated.depth_limit:
        yield from _indented([f"... (max_group_depth is {exc.truncated.depth_limit})"], depth)
    elif exc.is_group:
        yield from _render_group(exc, depth)
    else:
        yield from _indented(_render_stack(exc, HEADER), depth)
        yield from _indented(_render_final(exc), depth)


def _render_group(exc: ExceptionInfo, depth: int) -> Iterator[str]:
    margin = depth or 1
    for number, line in enumerate(_render_stack(exc, GROUP_HEADER)):
        outer = number == 0 and depth == 0
        yield "  + " + line if outer else _margin(margin) + line
    yield from _indented(_render_final(exc), margin)
    yield from _render_members(exc, margin)


def _render_members(exc: ExceptionInfo, depth: int) -> Iterator[str]:
    """The boxes of a group."""
    titles = [str(number + 1) for number in range(len(exc.group))] + ["..."] * (exc.truncated.exceptions > 0)
    for position, title in enumerate(titles):
        lead = "  " * depth + ("  " if position else "+-")
        yield f"{lead}+{BOX_DASHES} {title} {BOX_DASHES}"
        yield from _render_member(exc, position, depth + 1)
    if titles and not _closes_itself(exc):
        yield "  " * (depth + 1) + BOX_CLOSE


def _closes_itself(exc: ExceptionInfo) -> bool:
    """Whether a group inside the last box has drawn the closing line already (CPython draws it once)."""
    if exc.truncated.exceptions:
        return False
    return any(link.is_group and not link.truncated.depth_limit for link, _ in _oldest_first(exc.group[-1]))


def _render_member(exc: ExceptionInfo, position: int, depth: int) -> Iterator[str]:
    if position < len(exc.group):
        return _render_chain(exc.group[position], depth)
    hidden = exc.truncated.exceptions
    return _indented([f"and {hidden} more exception{'s' if hidden > 1 else ''}"], depth)


def _render_stack(exc: ExceptionInfo, header: str) -> list[str]:
    if not exc.frames:
        return []
    return [header, *(line for frame in exc.frames for line in render_frame(frame))]


def render_frame(frame: Frame) -> Iterator[str]:
    """The lines of one frame: location, source, marks, and the repetition note."""
    suffix = f", in {frame.function}" if frame.function else ""
    yield f'  File "{frame.filename}", line {frame.lineno}{suffix}'
    if frame.source_line is not None:
        yield "    " + frame.source_line
        yield from ("    " + line for line in frame.detail)
    if frame.repeated:
        yield f"  [Previous line repeated {frame.repeated} more time{'s' if frame.repeated > 1 else ''}]"


def _render_final(exc: ExceptionInfo) -> list[str]:
    if exc.truncated.incomplete:
        return []
    location = list(render_frame(exc.syntax)) if exc.syntax else []
    final = f"{exc.qualified}: {exc.value}" if exc.value else exc.qualified
    notes = [line for note in exc.notes for line in note.split("\n")]
    return [*location, *final.split("\n"), *notes]


def _indented(lines: list[str], depth: int) -> Iterator[str]:
    margin = _margin(depth)
    return (margin + line for line in lines)


def _margin(depth: int) -> str:
    return "  " * depth + "| " if depth else ""
