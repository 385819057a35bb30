from __future__ import annotations

import pytest

from agent.net.message import Response, foreign, parse_url
from agent.net.progress import Phases


@pytest.mark.parametrize(
    ("url", "secure", "host", "port", "path", "authority"),
    [
        ("http://h", False, "h", 80, "/", "h"),
        ("https://h/a?b=c", True, "h", 443, "/a?b=c", "h"),
        ("http://h:4318/v1/logs", False, "h", 4318, "/v1/logs", "h:4318"),
        ("http://h:443/", False, "h", 443, "/", "h:443"),
        ("https://h:443/", True, "h", 443, "/", "h"),
        ("http://[::1]:8080/x", False, "::1", 8080, "/x", "[::1]:8080"),
        ("http://[2001:db8::1]/", False, "2001:db8::1", 80, "/", "[2001:db8::1]"),
        ("HTTP://Example.ORG/", False, "example.org", 80, "/", "example.org"),
        ("http://bücher.example/", False, "xn--bcher-kva.example", 80, "/", "xn--bcher-kva.example"),
        ("http://h/#part", False, "h", 80, "/", "h"),
        ("http://h?q=1", False, "h", 80, "/?q=1", "h"),
        ("http://h/ü", False, "h", 80, "/%C3%BC", "h"),
        ("http://h/%C3%BC/ключ?q=値&a=b", False, "h", 80, "/%C3%BC/%D0%BA%D0%BB%D1%8E%D1%87?q=%E5%80%A4&a=b", "h"),
        ("http://h/😀", False, "h", 80, "/%F0%9F%98%80", "h"),
    ],
)
def test_urls_are_taken_apart(url, secure, host, port, path, authority):  # noqa: PLR0917 - one row of a table
    """A URL's parts are those that the connection, TLS and the request line need; the `Host` header has the port only if it is not the scheme's default."""
    target = parse_url(url)
    assert (target.secure, target.host, target.port, target.path, target.authority) == (secure, host, port, path, authority)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:4318",
        "/v1/logs",
        "ftp://h/",
        "http://",
        "http://:80/",
        "http://h:99999/",
        "http://h:x/",
        "http://[::1",
        "http://h/\x01",
    ],
)
def test_what_is_no_url_is_refused_without_repeating_it(url):
    """A URL that can't be sent to raises ValueError."""
    with pytest.raises(ValueError):
        parse_url(url)


def test_credentials_of_a_url_become_basic_authentication():
    """User and password, percent-decoded, are sent as RFC 7617 has it and are not part of the Host header."""
    target = parse_url("http://us%40er:pa%3Ass@h/")
    assert target.authorization == "Basic dXNAZXI6cGE6c3M="
    assert target.authority == "h"


def test_a_password_is_not_in_the_complaint():
    """The message about a wrong URL does not hold it."""
    with pytest.raises(ValueError) as raised:
        parse_url("ftp://user:hunter2@h/")
    assert "hunter2" not in str(raised.value)


def test_header_lookup_takes_the_first():
    """Of several headers of one name the first is returned, None if there is none."""
    response = Response(200, [("a", "1"), ("a", "2")], b"", Phases(), None, "", "1.1")
    assert (response.header("a"), response.header("b")) == ("1", None)


@pytest.mark.parametrize(
    ("first", "speaks"),
    [
        (b"\x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x04\x00", "HTTP/2"),
        (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", "HTTP/2"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
        (b"220 mail.example ESMTP\r\n", "SMTP or FTP"),
        (b"-ERR wrong number of arguments\r\n", "Redis"),
        (b"HTTP/1.1 200 OK\r\n", None),
        (b"HTTP/1.0 400 Bad Request\r\n", None),
        (b"", None),
        (b"\0\0", None),
    ],
)
def test_other_protocols_are_known_by_their_first_bytes(first, speaks):
    """The greeting of another protocol is recognized, and the error names that protocol."""
    found = foreign(first)
    assert (found.speaks if found else None) == speaks
