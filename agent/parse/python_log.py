"""Lines of Python's `logging` (and of those who imitate it) as text: with a level, or at least with a time.

One table: each row is a layout that people really use, its groups named for what they hold. A record may go on in any lines that do not
begin one themselves. Colours are taken out: they are no content.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.parse.limits import to_text
from agent.parse.parsed import Parsed
from agent.parse.severity import from_name
from agent.parse.timestamps import from_text

if TYPE_CHECKING:
    from agent.record import Value

_TIME: Final = r"(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)"
_WORDS: Final = "(?i:TRACE|DEBUG|INFO|SUCCESS|NOTICE|WARN(?:ING)?|ERROR|EXCEPTION|CRIT(?:ICAL)?|FATAL|ALERT|EMERG(?:ENCY)?)"
_LEVEL: Final = f"(?P<level>{_WORDS})"
_GAP: Final = "[ :|-]{1,4}"
_NAME: Final = r"(?P<logger>\w[\w.$<>/-]{0,127})"
"""Names and gaps are bounded: where both may hold dashes, a long line of dashes would take for ever."""
_REST: Final = r"\]?:?(?: {1,8}[|:-])? {1,8}(?P<message>.*)"
"""What stands before the message is taken off, but not the dashes that a message itself begins with."""

LAYOUTS: Final = {
    "loguru": rf"{_TIME} \| {_LEVEL} +\| (?P<logger>[\w.<>]+):(?P<function>[\w.<>]+):(?P<line>\d+){_REST}",
    "structlog console": rf"{_TIME} \[{_LEVEL} *{_REST}",
    "celery": rf"\[{_TIME}: {_LEVEL}/(?P<process>[\w-]+){_REST}",
    "gunicorn": rf"\[{_TIME}\] \[(?P<pid>\d+)\] \[{_LEVEL}{_REST}",
    "flask": rf"\[{_TIME}\] {_LEVEL} in {_NAME}{_REST}",
    "name before level": rf"\[?{_TIME}\]? - {_NAME} - {_LEVEL}{_REST}",
    "level, name, colon": rf"\[?{_TIME}\]?{_GAP}\[?{_LEVEL}\]?{_GAP}\[?{_NAME}(?:\]?:| -) (?P<message>.*)",
    "level": rf"\[?{_TIME}\]?{_GAP}\[?{_LEVEL}\b(?:{_REST})?",
    "name, level": rf"\[?{_TIME}\]?{_GAP}\[?{_NAME}\]?{_GAP}\[?{_LEVEL}\b{_REST}",
    "django": rf"{_LEVEL} {_TIME} {_NAME} (?P<pid>\d+) (?P<thread>\d+){_REST}",
    "level, time": rf"\[?{_LEVEL}\]? \[?{_TIME}{_REST}",
    "logging's default": rf"(?P<level>[A-Z]{{4,9}}):{_NAME}:(?P<message>.*)",
    "uvicorn": r"(?P<level>[A-Z]{4,9}): +(?P<message>.*)",
}
_LEVELLED: Final = tuple(re.compile(layout, re.DOTALL) for layout in LAYOUTS.values())
_TIMED: Final = re.compile(rf"\[?{_TIME}{_REST}", re.DOTALL)
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_ATTRIBUTES: Final = {
    "logger": "logger",
    "function": "code.function.name",
    "process": "process.name",
    "thread": "thread.id",
    "pid": "process.pid",
    "line": "code.line.number",
}
_NUMBERS: Final = frozenset(("thread", "pid", "line"))
_BEGIN: Final = re.compile(rf"(?:\x1b\[[0-9;]*m)*\[?(?:\d{{4}}-\d\d-\d\d[T ]\d\d:|{_WORDS}[]: \x1b]|[A-Z]{{4,9}}[:\x1b])".encode())
"""How the lines of all layouts begin: tells cheaply of most others that they are of none."""


def sniff(line: bytes) -> bool:
    """Whether the line is of a layout with a level."""
    return parse(line, 0) is not None


def parse(line: bytes, _now_ns: int) -> Parsed | None:
    """The record of a line with a level, or None."""
    if _BEGIN.match(line) is None:
        return None
    text = _COLOURS.sub("", to_text(line))
    for layout in _LEVELLED:
        if (match := layout.fullmatch(text)) and from_name(match["level"]):
            return _record(match)
    return None


def sniff_timed(line: bytes) -> bool:
    """Whether the line begins with a time."""
    return parse_timed(line, 0) is not None


def parse_timed(line: bytes, now_ns: int) -> Parsed | None:
    """The record of a line that begins with a time, with a level or without."""
    if _BEGIN.match(line) is None:
        return None
    match = _TIMED.fullmatch(_COLOURS.sub("", to_text(line)))
    return parse(line, now_ns) or (_record(match) if match and from_text(match["time"]) else None)


def _record(match: re.Match[str]) -> Parsed:
    groups = match.groupdict()
    attributes: dict[str, Value] = {
        name: int(groups[group]) if group in _NUMBERS else groups[group] for group, name in _ATTRIBUTES.items() if groups.get(group)
    }
    level = groups.get("level") or ""
    return Parsed(
        (groups["message"] or "").rstrip(), attributes, from_text(groups.get("time") or ""), from_name(level) if level else 0, level
    )
