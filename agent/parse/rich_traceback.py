"""Tracebacks in the boxes that rich draws (`rich.traceback`, `RichHandler`, Typer): what they tell, as far as a box shows it. Pure.

Fact: `rich/traceback.py` of versions 10 to 14. A box holds `PATH:LINE in FUNCTION` and some lines of source; the exception stands below.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.parse.exceptions import CAUSE, CONTEXT, ExceptionInfo, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

TITLE: Final = "Traceback (most recent call last) "
BOX_BEGIN: Final = re.compile(r"[╭+┌][─-]+ Traceback \(most recent call last\) [─-]+[╮+┐]")
BOX_END: Final = re.compile(r"[╰+└][─-]{4,}[╯+┘]")
MARGIN: Final = "│|╭+"
"""How the lines of a box begin, without indentation."""
EXCEPTION: Final = re.compile(r"((?:[^\W\d]\w*\.)*[A-Z]\w*)(?:: (.*))?")
_PLACE: Final = re.compile(r"(\S.*?):(\d+) in (\S.*)")
_SOURCE: Final = re.compile(r"[❱>] *(\d+) (.*)")


def parse_boxes(text: str) -> ExceptionInfo | None:
    """The exception in the boxes of a text, the last one with those that led to it; None if there is none."""
    if TITLE not in text:
        return None
    older: ExceptionInfo | None = None
    link, inside, frames = "", False, list[Frame]()
    for line in map(str.strip, text.split("\n")):
        if BOX_BEGIN.match(line):
            inside, frames = True, []
        elif inside and BOX_END.match(line):
            inside = False
        elif inside:
            _add(frames, line[1:-1].strip())
        elif line in (CAUSE, CONTEXT):
            link = line
        elif frames and (match := EXCEPTION.fullmatch(line)):
            older, frames = _exception(match, frames, older, link), []
    return older


def _add(frames: list[Frame], content: str) -> None:
    """The meaning of a line of a box: a place, or the source of the place above."""
    if place := _PLACE.fullmatch(content):
        frames.append(Frame(place[1], int(place[2][:18]), place[3]))
    elif frames and (source := _SOURCE.fullmatch(content)):
        last = frames[-1]
        frames[-1] = Frame(last.filename, last.lineno, last.function, source[2].strip())


def _exception(match: re.Match[str], frames: Sequence[Frame], older: ExceptionInfo | None, link: str) -> ExceptionInfo:
    module, _, name = match[1].rpartition(".")
    caused = link == CAUSE
    return ExceptionInfo(
        name, module or None, match[2] or "", tuple(frames), cause=older if caused else None, context=None if caused else older
    )
