"""An answer's body as text."""

from __future__ import annotations

import pytest

from agent.net.body_text import body_text
from agent.net.message import Response
from agent.net.progress import Phases

TEXT = "größe: ключ"


def answer(body: bytes, content_type: str = "") -> Response:
    """An answer."""
    return Response(200, [("content-type", content_type)], body, Phases(), None, "h:80", "1.1")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides(encoding):
    """A body with a byte order mark is what that says, whatever its type says, and the mark is not part of the text."""
    assert body_text(answer(TEXT.encode(encoding), "text/plain; charset=iso-8859-1")) == TEXT


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [
        ("utf-8", "text/plain"),
        ("utf-8", "application/json; charset=UTF-8"),
        ("koi8-r", 'text/html;charset="KOI8-R"'),
        ("windows-1251", "text/plain; format=flowed; Charset=windows-1251"),
        ("utf-16-le", "text/plain; charset=utf-16le"),
    ],
)
def test_the_type_says_the_characters(encoding, content_type):
    """Without a mark the Content-Type says the character set, and else it is UTF-8."""
    text = "ключ"
    assert body_text(answer(text.encode(encoding), content_type)) == text


@pytest.mark.parametrize("charset", ["idna", "unicode_escape", "rot13", "zlib", "undefined", "iso-8859-99", "x" * 1000, ""])
def test_an_unknown_character_set_is_utf_8(charset):
    """What is not a character set that we know is not tried."""
    assert body_text(answer(b"\\u0041 \xc3\xa9 \xff", f"text/plain; charset={charset}")) == "\\u0041 é \ufffd"
