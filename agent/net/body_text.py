"""An answer's body as text: by its byte order mark, or else by what its Content-Type says, or else as UTF-8. Pure."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.net.message import Response

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_CHARACTERS: Final = re.compile(
    r"utf[-_]?(8|16|32)([-_]?[bl]e)?|us[-_]ascii|ascii|latin[-_]?\d+|iso[-_]?8859[-_]\d+|windows[-_]\d+|cp\d+|koi8[-_][rut]"
    r"|shift[-_]?jis|euc[-_](jp|kr)|gb2312|gbk|gb18030|big5",
    re.IGNORECASE,
)
"""Of Python's codecs those that are character sets: not `idna`, `unicode_escape` and their like."""


def body_text(response: Response) -> str:
    """The text; what can't be decoded becomes U+FFFD."""
    body = response.body
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    return body.decode(_said(response.header("content-type") or ""), "replace")


def _said(content_type: str) -> str:
    """The character set of a Content-Type, if it is one that Python knows."""
    found = _CHARSET.search(content_type)
    if found is None or not _CHARACTERS.fullmatch(found[1]):
        return "utf-8"
    try:
        return codecs.lookup(found[1]).name
    except LookupError:
        return "utf-8"
