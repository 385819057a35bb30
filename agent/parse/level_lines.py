"""Lines that begin with a level in small letters and a colon, as winston's `simple` format writes them: `error: card refused {"order":17}`.

A key with its value (`debug: true`) is not such a line. Unlike a logger's line with a time, such a line goes on only in indented ones:
compilers and tools print `error: …` among lines of other kinds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

from agent.parse.fields import promote
from agent.parse.limits import to_text
from agent.parse.terminal import clean

if TYPE_CHECKING:
    from agent.parse.parsed import Parsed
    from agent.record import Value

_WORDS: Final = "error|warning|warn|info|notice|debug|verbose|silly|trace|critical|crit|alert|emerg|fatal"
_LINE: Final = re.compile(
    rf"(?P<level>{_WORDS}): {{1,8}}(?!(?:true|false|null|none|yes|no|on|off|~|-?[\d._]{{1,32}}|\[.*\]|'[^']*'|\"[^\"]*\"|[|>][+-]?|[&*]\w+)\s*$)(?P<message>\S.*)",
    re.DOTALL,
)
FIRST: Final = bytes({ord(word[0]) for word in _WORDS.split("|")}) + b"\x1b"
_FIRST: Final = frozenset(word[:2].encode() for word in _WORDS.split("|"))


def sniff(line: bytes) -> bool:
    """Whether a line begins with a level and says something."""
    return parse(line, 0) is not None


def parse(line: bytes, now_ns: int) -> Parsed | None:
    """The record of a line, or None. An object behind the message holds its fields."""
    if line[:2] not in _FIRST and line[:1] != b"\x1b":
        return None
    match = _LINE.fullmatch(clean(to_text(line)).rstrip())
    if match is None:
        return None
    message, fields = _parted(match["message"])
    return promote({"level": match["level"], "message": message, **fields}, now_ns)


def _parted(message: str) -> tuple[str, dict[str, Value]]:
    """The message, and the fields of an object that ends it."""
    at = message.find(' {"')
    if at < 0 or message[-1:] != "}":
        return message, {}
    try:
        fields: dict[str, Value] = orjson.loads(message[at + 1 :])
    except ValueError:
        return message, {}
    return (message, {}) if "level" in fields or "message" in fields else (message[:at], fields)
