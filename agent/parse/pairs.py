"""`key=value` pairs behind a message, as structlog's console, logrus and slog write them: texts, for the layout knows no other type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from agent.record import Value

_PAIR: Final = re.compile(r"""\s{1,64}([\w.@/-]{1,64})=("(?:[^"\\]|\\.){0,16384}"|'(?:[^'\\]|\\.){0,16384}'|[^\s"'=]{1,4096})?(?=\s|$)""")
_LOGGER: Final = re.compile(r"(.*\S) {1,64}\[([\w.]{1,128})\]", re.DOTALL)


def part(text: str) -> tuple[str, dict[str, Value]]:
    """The message, and the pairs that follow it until the end of the text."""
    text = text.rstrip()
    found: list[re.Match[str]] = []
    for match in _PAIR.finditer(text):
        if found and match.start() != found[-1].end():
            found = []
        found.append(match)
    if not found or found[-1].end() != len(text):
        found = []
    message = text[: found[0].start()] if found else text
    pairs: dict[str, Value] = {match[1]: unquoted(match[2] or "") for match in found}
    if named := _LOGGER.fullmatch(message):  # structlog puts the logger between both
        message = named[1]
        pairs = {"logger": named[2], **pairs}
    return unquoted(message.rstrip()), pairs


def unquoted(value: str) -> str:
    """A value without its quotes; escapes that are not JSON's stay as they are."""
    if value[:1] not in ("'", '"') or value[-1] != value[0] or len(value) < 2:
        return value
    if value[0] == "'":
        return value[1:-1]
    try:
        return str(orjson.loads(value))
    except ValueError:
        return value[1:-1].replace('\\"', '"')
