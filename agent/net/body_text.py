"""An answer's body as text: by its byte order mark, else its Content-Type, else the declaration of HTML or XML, else UTF-8. Pure.

Names of character sets mean what browsers take them for (WHATWG Encoding Standard, section 4.2): `iso-8859-1` is read as windows-1252, of which it
is a part, and so on, because that is what is sent under these names.
"""

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
_PARAMETER: Final = re.compile(r';\s*([^\s=;"]{1,40})\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)')
_DECLARED: Final = re.compile(rb"<(?:meta|\?xml)\b[^>]{0,300}?(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_PAGE: Final = re.compile(r"(?:x-)?(?:cp|ibm|dos|win|windows)-?(\d+)")
_LABELS: Final = {
    "unicode": "utf-16-le",
    "utf-16": "utf-16-le",
    "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
}
"""Names that Python does not know, or reads differently."""
_WIDER: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
"""Codec → the one that browsers use for it."""
_NO_CHARACTERS: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "unicode_escape", "raw-unicode-escape", "raw_unicode_escape", "utf-7"}
)
"""Of Python's text codecs those that are not character sets of documents."""
_HEAD: Final = 1024
"""Bytes in which a document names its own character set (HTML Standard, "Determining the character encoding")."""


def body_text(response: Response) -> str:
    """Return the text; bytes that can't be decoded become U+FFFD."""
    body, content_type = response.body, response.header("content-type") or ""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    return body.decode(_codec(_charset(content_type)) or _own(body, content_type) or "utf-8", "replace")


def _charset(content_type: str) -> str:
    """Return the `charset` of a Content-Type (RFC 9110 section 8.3), "" if it has none."""
    return next((value.strip().strip("\"'") for name, value in _PARAMETER.findall(content_type) if name.lower() == "charset"), "")


def _own(body: bytes, content_type: str) -> str:
    """Return the codec that the document declares, or that its zero bytes show; else ""."""
    if body[:2].count(0) == 1:  # an ASCII character in two bytes (RFC 4627 section 3)
        return "utf-16-be" if body[0] == 0 else "utf-16-le"
    found = _DECLARED.search(body[:_HEAD]) if re.search("html|xml|^$", content_type) else None
    codec = _codec(found[1].decode("ascii")) if found else ""
    return "utf-8" if codec.startswith("utf-16") else codec  # in UTF-16 the declaration would not have been found


def _codec(label: str) -> str:
    """Return Python's codec for the name of a character set; "" if there is none."""
    label = _PAGE.sub(r"cp\1", label.lower()) if _PAGE.fullmatch(label.lower()) else label.lower()
    try:
        name = codecs.lookup(_LABELS.get(label, label)).name
        b"a".decode(name, "replace")
    except (LookupError, ValueError):  # unknown, or not a codec of texts
        return ""
    return "" if name in _NO_CHARACTERS else _WIDER.get(name, name)
