"""The table of formats, and which of them a line is written in. To add one: a file with `sniff` and `parse`, and a row here."""

from __future__ import annotations

from enum import Enum, auto
from string import ascii_uppercase, digits
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.parse import access, json_lines, level_lines, logfmt, plain, progress, syslog, text_lines, w3c
from agent.record import Drop

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.parse.parsed import Parsed


class Rest(Enum):
    """Which lines below a record may be more of it (a traceback always may)."""

    NONE = auto()
    INDENTED = auto()
    ANY = auto()
    """All that do not begin a record themselves."""


class Format(NamedTuple):
    """The recognition and the reading of one kind of lines."""

    name: str
    sniff: Callable[[bytes], bool]
    """Whether a line is surely written so: decides in a file whose format is not known yet, so it must not accept too easily."""
    parse: Callable[[bytes, int], Parsed | None]
    """The record of a line, or None if it is not written so. The number is the present time in nanoseconds: some times have no year."""
    malformed: str = ""
    """The reason to count where a line looks so and is not."""
    rest: Rest = Rest.NONE
    first: bytes = b""
    """The bytes that its lines may begin with; empty: any."""
    below: Callable[[bytes], str] | None = None
    """The name of the format of all lines below a line that says so, otherwise empty."""


PLAIN: Final = Format("plain", lambda _: True, plain.parse, rest=Rest.INDENTED)
FORMATS: Final = (
    Format("json", json_lines.sniff, json_lines.parse, Drop.MALFORMED_JSON, first=b"{ \t\r\n\v\f"),
    Format("python", text_lines.sniff, text_lines.parse, rest=Rest.ANY, first=text_lines.FIRST),
    Format("syslog", syslog.sniff, syslog.parse, Drop.MALFORMED_SYSLOG, first=f"<{ascii_uppercase}{digits}".encode()),
    Format("logfmt", logfmt.sniff, logfmt.parse, Drop.MALFORMED_LOGFMT),
    Format("access", access.sniff, access.parse),
    Format(
        w3c.NAME,
        w3c.sniff,
        lambda line, _: w3c.parse(line),
        first=f"#{digits}".encode(),
        below=lambda line: _with_fields(w3c.declared(line)),
    ),
    Format("timed", text_lines.sniff_timed, text_lines.parse_timed, rest=Rest.ANY, first=text_lines.FIRST),
    Format("progress", progress.sniff, progress.parse),
    Format("level", level_lines.sniff, level_lines.parse, rest=Rest.INDENTED, first=level_lines.FIRST),
    PLAIN,
)
_BY_FIRST: Final = tuple(tuple(one for one in FORMATS if not one.first or byte in one.first) for byte in range(256))
BY_NAME: Final = {one.name: one for one in FORMATS}


def named(name: str) -> Format | None:
    """The format of this name; `w3c` may be followed by the fields of its lines."""
    known, _, fields = name.partition(" ")
    found = BY_NAME.get(known)
    return found._replace(name=name, parse=lambda line, _: w3c.parse(line, fields)) if found and fields else found


def _with_fields(fields: str) -> str:
    return f"{w3c.NAME} {fields}" if fields else ""


def detect(line: bytes) -> Format:
    """The first format that a line is surely written in; plain text in the end."""
    for one in _BY_FIRST[line[0]] if line else ():
        if one.sniff(line):
            return one
    return PLAIN
