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
        ("utf-16-le", "text/plain; charset=unicode"),
        ("windows-1251", "text/plain; charset='Windows-1251'"),
        ("cp1251", "text/plain; charset=cp-1251"),
        ("cp866", "text/plain; charset = IBM866 ; format=fixed"),
        ("utf-8", 'multipart/mixed; boundary="a; charset=koi8-r"; charset=utf-8'),
        ("mac_cyrillic", "text/plain; charset=x-mac-cyrillic"),
        ("iso8859-5", "text/plain; charset=ISO-8859-5"),
    ],
)
def test_the_type_says_the_characters(encoding, content_type):
    """Without a mark the Content-Type says the character set, and else it is UTF-8."""
    text = "ключ"
    assert body_text(answer(text.encode(encoding), content_type)) == text


@pytest.mark.parametrize("charset", ["idna", "unicode_escape", "rot13", "zlib", "undefined", "iso-8859-99", "x" * 1000, ""])
def test_an_unknown_character_set_is_utf_8(charset):
    """An unknown character set is ignored."""
    assert body_text(answer(b"\\u0041 \xc3\xa9 \xff", f"text/plain; charset={charset}")) == "\\u0041 é \ufffd"


@pytest.mark.parametrize(
    ("charset", "encoding", "text"),
    [
        ("ISO-8859-1", "cp1252", "“ready” – 5 €"),
        ("us-ascii", "cp1252", "café"),
        ("Shift_JIS", "cp932", "①正常"),
        ("Windows-31J", "cp932", "①正常"),
        ("EUC-KR", "cp949", "똠방각하"),
        ("ks_c_5601-1987", "cp949", "정상"),
        ("gb2312", "gbk", "镕"),
        ("GBK", "gb18030", "€"),
        ("TIS-620", "cp874", "ปกติ"),
        ("Big5", "big5hkscs", "正常"),
        ("ISO-2022-JP", "iso2022_jp", "正常"),
        ("macintosh", "mac_roman", "é"),
    ],
)
def test_a_name_means_what_is_sent_under_it(charset, encoding, text):
    """Servers send a wider character set than they name; it is read as browsers read it."""
    assert body_text(answer(text.encode(encoding), f"text/plain; charset={charset}")) == text


@pytest.mark.parametrize(
    ("content_type", "head", "encoding"),
    [
        ("text/html", "<!doctype html><meta charset=windows-1251>", "cp1251"),
        ("text/html", '<META http-equiv="Content-Type" content="text/html; charset=koi8-r">', "koi8-r"),
        ("application/xml", '<?xml version="1.0" encoding="KOI8-R"?>', "koi8-r"),
        ("", "<meta charset='windows-1251'>", "cp1251"),
        ("text/html", "<meta charset=utf-16>", "utf-8"),
        ("text/html; charset=utf-8", "<meta charset=windows-1251>", "utf-8"),
        ("text/plain", "<meta charset=windows-1251>", "utf-8"),
        ("text/html", " " * 1024 + "<meta charset=windows-1251>", "utf-8"),
    ],
)
def test_a_document_may_name_its_characters_itself(content_type, head, encoding):
    """HTML and XML do so in their first KiB; the Content-Type wins, and no other text is searched."""
    assert body_text(answer(f"{head}ключ".encode(encoding), content_type)).endswith("ключ")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_json_in_two_bytes_a_character_is_read(encoding):
    """Without a mark the zero byte of the first character tells."""
    assert body_text(answer('{"status": "ok"}'.encode(encoding), "application/json")) == '{"status": "ok"}'
