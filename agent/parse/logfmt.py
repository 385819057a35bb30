"""logfmt: `key=value key="quoted value" flag`. Values are texts: the format knows no other type, except that a bare key is true."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

from agent.parse.fields import promote
from agent.parse.limits import to_text

if TYPE_CHECKING:
    from agent.parse.parsed import Parsed
    from agent.record import Value

_PAIR: Final = re.compile(r'\s*(?:([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)|([^\s="\'{}\[\](),]+))(?=\s|$)')
"""A bare key has no quotes or brackets: they belong to a value with blanks in it, as `repr` writes them, and then this is not logfmt."""
_BEGIN: Final = re.compile(rb'\s*[^\s="\[{(]+=(?:"|[^\s"]*(?:\s|$))')
_KNOWN: Final = re.compile(rb"(?i:(?:^|\s)(?:level|lvl|severity|msg|message|event|ts|time|timestamp)=)")


def sniff(line: bytes) -> bool:
    """Whether the line begins with a pair and has one of the names that every writer of logfmt uses, and another pair."""
    return _BEGIN.match(line) is not None and _KNOWN.search(line) is not None and line.count(b"=") > 1


def parse(line: bytes, now_ns: int) -> Parsed | None:
    """The record of a line, or None if it is not pairs throughout."""
    if _BEGIN.match(line) is None:
        return None
    text = to_text(line).rstrip()
    fields: dict[str, Value] = {}
    at = 0
    for pair in _PAIR.finditer(text):
        if pair.start() != at:
            return None
        name, value, bare = pair.groups()
        fields[name or bare] = True if value is None else _unquoted(value) if value[:1] == '"' else value
        at = pair.end()
    return promote(fields, now_ns) if at == len(text) else None


def _unquoted(value: str) -> str:
    try:
        return str(orjson.loads(value))
    except ValueError:  # escapes that are none of JSON's stay as they are
        return value[1:-1].replace('\\"', '"')
