"""Bounds of a record, so that one bad writer does not harm the others, and bytes → text that always succeeds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.parse.exceptions import CAUSE, CONTEXT, GROUP_HEADER, HEADER
from agent.record import Drop

if TYPE_CHECKING:
    from agent.parse.parsed import Parsed
    from agent.record import Value

MAX_TEXT: Final = 65_536
"""Characters of one body or attribute; the rest is cut off (see `cut`), and the record says so with `TRUNCATED`."""
MAX_ATTRIBUTES: Final = 128
"""Attributes of one record: backends refuse whole requests for more. The rest is counted in `dropped_attributes_count`."""
MAX_DEPTH: Final = 64
"""Nesting of a JSON value; deeper lines stay text."""
MAX_JOINED_LINES: Final = 5_000
MAX_JOINED_BYTES: Final = 1 << 20
"""Bounds of a traceback, or a line in pieces. Only as much text is joined as a body can hold; the rest is a record of its own."""
OPEN_AGE: Final = 2.0
"""Seconds; how long a record may be open: then it is given out as it is, with `INCOMPLETE`, however busy its writer and others are."""
INCOMPLETE: Final = "log.incomplete"
"""Attribute, true where more of a record may have followed: it was open for too long, or had no room for more. What followed are records of their own."""
TRUNCATED: Final = "log.truncated"
"""Attribute, true where a text of the record was cut."""

_OLDEST: Final = MAX_TEXT // 4
"""Characters of a long traceback's beginning that are kept at most."""
_NEWEST: Final = MAX_TEXT - _OLDEST - len(HEADER)
"""Of its end."""
_FRAME: Final = "\n  File "
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def to_text(line: bytes) -> str:
    r"""The line as text; bytes that are not UTF-8 become `\xNN`."""
    return line.decode("utf-8", "backslashreplace")


def is_utf8(line: bytes) -> bool:
    """Whether the bytes are UTF-8 throughout."""
    if line.isascii():
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def without_surrogates(text: str) -> str:
    r"""The text with what UTF-8 can't express written out: `\xNN` for an undecodable byte, `\uNNNN` for half a pair."""
    return _SURROGATES.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def limited(parsed: Parsed) -> Parsed:
    """The same within the bounds, with the reasons if something had to go."""
    reasons = list(parsed.reasons)
    attributes, dropped = parsed.attributes, parsed.dropped_attributes
    if len(attributes) > MAX_ATTRIBUTES:
        dropped += len(attributes) - MAX_ATTRIBUTES
        attributes = dict(list(attributes.items())[:MAX_ATTRIBUTES])
        reasons.append(Drop.ATTRIBUTE_LIMIT)
    body = shortened(parsed.body)
    kept = {key: shortened(value) for key, value in attributes.items()}
    if body is not parsed.body or any(kept[key] is not value for key, value in attributes.items()):
        kept[TRUNCATED] = True
        reasons.append(Drop.OVERSIZED)
    return parsed._replace(body=body, attributes=kept, dropped_attributes=dropped, reasons=tuple(reasons))


def shortened(value: Value) -> Value:
    """The value itself, or, if a text in it is too long, a copy with that text cut."""
    if isinstance(value, (str, bytes)):
        return value if len(value) <= MAX_TEXT else cut(value) if isinstance(value, str) else value[:MAX_TEXT]
    if isinstance(value, list):
        items = [shortened(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(value, dict):
        entries = {key: shortened(item) for key, item in value.items()}
        return entries if any(entries[key] is not item for key, item in value.items()) else value
    return value


def marked(parsed: Parsed) -> Parsed:
    """The record, saying that a text of it was cut, if it does not yet."""
    if TRUNCATED in parsed.attributes:
        return parsed
    return parsed._replace(attributes={**parsed.attributes, TRUNCATED: True}, reasons=(*parsed.reasons, Drop.OVERSIZED))


def cut(text: str) -> str:
    """The beginning of a long text; of a traceback also its end: the newest frames, and which exception it was."""
    header = text.find(HEADER, 0, _OLDEST)
    first, rest = text.rfind(_FRAME, 0, _OLDEST), text.find(_FRAME, len(text) - _NEWEST)
    if header < 0 or min(first, rest) < 0 or GROUP_HEADER in text[: first + MAX_TEXT]:  # a group's exception stands above its members
        return text[:MAX_TEXT]
    gone = text[first:rest]
    if CAUSE not in gone and CONTEXT not in gone:
        return text[:first] + text[rest:]
    link = text.find(f"\n{HEADER}", len(text) - _NEWEST)  # the frames of two exceptions are not one stack
    return text[:header] + (text[link + 1 :] if link >= 0 else HEADER + text[rest:])
