"""One search over raw bytes that reports every chunk with a secret in it: too often now and then, never too seldom.

It sees bytes as they were written: another name for a letter (`\u0070`), a backslash before a quote, any case. So no hint has a word boundary.
"""

from __future__ import annotations

import re
from typing import Final

from agent.redact import cards, commands
from agent.redact.names import DOUBTFUL, FOREIGN, GAP, NAMES, normal
from agent.redact.raw import BEGINS, ESCAPE
from agent.redact.shapes import SHAPES

_NARROW: Final = {
    "auth": "auth[^a-z0-9]",
    "otp": "otp(?:[^a-z0-9]|code)",
    "psk": "psk[^a-z0-9]",
    "session": f"session(?:{GAP}(?:id|key|token|cookie)|_*[^a-z0-9_])",
}
"""Names that many harmless words begin with, as far as a key has them."""
_ESCAPES: Final = r"\\u00[2-7]"
"""A letter that was written as an escape may be any of the letters that the hints look for."""
_TELLING: Final = 4
"""Letters of a word that are looked for: few words begin alike."""
_BEGINS: Final = rf"(?:^|[^a-z]|[0-9;\[]m|{ESCAPE})"
"""Before a short name: no letter but those that end an escape or a colour (`\x1b[0m`)."""


_TAGS: Final = "(?-i:[0-9A-Zabijpz])"
"""Tags of OTLP's messages that are letters or digits (common/v1, logs/v1, metrics/v1, trace/v1: none is another small letter)."""
_LONG_INTEGER: Final = rb"\x18[\x80-\xff]{6,8}[\x00-\x7f]"
"""AnyValue.int_value = 3 of 13 to 19 digits, as a card has."""


def spelled(name: str) -> str:
    """A further name as it may stand in running text."""
    return GAP.join(re.escape(word) for word in normal(name).split("_"))


def pattern(more: tuple[str, ...] = ()) -> bytes:
    """One pattern for all that a raw chunk with any secret holds (without case, over bytes); `more` are further names."""
    parts = (
        *(_NARROW.get(name, name) for name in NAMES),
        f"{_BEGINS}(?:{'|'.join(DOUBTFUL)})(?:[^a-z0-9])",
        *(shape.hint for shape in SHAPES),
        *commands.HINTS,
        cards.HINT,
        _ESCAPES,
        "identified[^a-z]",
        f"{_BEGINS}pin[^a-z0-9]",
    )
    text = "|".join((*dict.fromkeys(parts), *map(spelled, more)))
    return b"|".join((text.encode(), *sorted({part for word in FOREIGN for part in _beginnings(word)})))


def encoded_pattern(more: tuple[str, ...] = ()) -> bytes:
    """The same for texts within protobuf, where the last byte of a length stands before a text, and the tag of the next field behind it.

    Either may be a letter or a digit. A number is written in base 128 there.
    """
    text = pattern(more)
    for begins in (_BEGINS, BEGINS):
        text = text.replace(begins.encode(), b"")
    for ends in ("[^a-z0-9]", "[^0-9a-z]", "[^a-z0-9_]", "[^a-z]"):
        text = text.replace(ends.encode(), f"(?:{ends}|{_TAGS})".encode())
    return text + b"|" + _LONG_INTEGER


def _beginnings(word: str) -> set[bytes]:
    """How a word of another language begins in UTF-8 and in JSON's escapes, in each case it is written in; or a long part without accents."""
    plain = max(re.findall("[a-z]+", word), key=len, default="")
    if len(plain) >= _TELLING:
        return {plain.encode()}
    cases = {case[:_TELLING] for case in (word, word.capitalize(), word.upper())}
    return {re.escape(write(case)).replace(b"_", b"[^a-z0-9]?") for case in cases for write in (str.encode, _escaped)}


def _escaped(text: str) -> bytes:
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04x}" for letter in text).encode()
