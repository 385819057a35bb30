"""Lines of access logs: OpenTelemetry's names for what they say, a severity by the status, and the time."""

from __future__ import annotations

import time

import pytest

from agent.parse import access, text_lines
from agent.parse.formats import detect
from agent.parse.timestamps import from_text

SECOND = from_text("2026-11-22T10:00:00Z")

LINES = {
    '192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] "GET /a?b=1 HTTP/1.1" 200 512': (9, "192.0.2.7", "GET", "/a", 200, 512),
    '192.0.2.7 - ann [22/Nov/2026:11:00:00 +0100] "POST /pay HTTP/2.0" 503 0 "https://shop.example/" "curl/8.1"': (17, "192.0.2.7", "POST", "/pay", 503, 0),
    '2001:db8::7 - - [22/Nov/2026:10:00:00 +0000] "HEAD / HTTP/1.1" 404 - "-" "-"': (13, "2001:db8::7", "HEAD", "/", 404, None),
    'www.example.com:443 192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 301 162 "-" "a \\"b\\""': (9, "192.0.2.7", "GET", "/", 301, 162),
    '192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 499 0 "-" "x" 0.120 [shop] "up" 17': (13, "192.0.2.7", "GET", "/", 499, 0),
    '192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] "\\x16\\x03\\x01" 400 157 "-" "-"': (13, "192.0.2.7", None, None, 400, 157),
    '127.0.0.1 - - [22/Nov/2026 10:00:00] "GET /a HTTP/1.1" 500 -': (17, "127.0.0.1", "GET", "/a", 500, None),
    '[22/Nov/2026 10:00:00] "GET /a/?x=y HTTP/1.1" 302 0': (9, None, "GET", "/a/", 302, 0),
    '192.0.2.7 [22/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 150 "-" "aiohttp"': (9, "192.0.2.7", "GET", "/a", 200, 150),
    '192.0.2.7:50123 [22/Nov/2026:10:00:00.000] in~ shop/a 0/0/1/2/3 503 212 - - ---- 1/1/0/0/0 0/0 {shop.example} "GET /a HTTP/1.1"': (17, "192.0.2.7", "GET", "/a", 503, 212),
    "[pid: 9|app: 0|req: 4/7] 192.0.2.7 () {34 vars in 412 bytes} [Sun Nov 22 10:00:00 2026] PUT /a?x=y => generated 21 bytes in 7 msecs (HTTP/1.1 404) 3 headers in 90 bytes (1 switches on core 0)": (13, "192.0.2.7", "PUT", "/a", 404, 21),
    '[GIN] 2026/11/22 - 10:00:00 | 200 |    7.215µs |       192.0.2.7 | DELETE   "/a?x=y"': (9, "192.0.2.7", "DELETE", "/a", 200, None),
    '[2026-11-22T10:00:00.000Z] "GET /a HTTP/2" 503 UH no_healthy_upstream - "-" 0 19 1 - "192.0.2.7" "curl" "id" "host" "-"': (17, "192.0.2.7", "GET", "/a", 503, 19),
    '[2026-11-22T10:00:00.000Z] "GET /a HTTP/1.1" 503 UF 0 91 3 - "192.0.2.7" "curl" "id" "host" "-"': (17, "192.0.2.7", "GET", "/a", 503, 91),
}  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), LINES.items(), ids=LINES)
def test_a_request_is_told_in_opentelemetrys_names(line, expected):
    """The client, its request, the result and the time are attributes; the line itself is the body."""
    parsed = detect(line.encode()).parse(line.encode(), 0)
    said = parsed.attributes

    names = ("client.address", "http.request.method", "url.path", "http.response.status_code", "http.response.body.size")
    assert (parsed.severity, *[said.get(name) for name in names]) == expected
    assert (parsed.body, parsed.time_ns) == (line, SECOND)


def test_more_is_told_where_the_line_has_it():
    """User, agent, referrer, query, protocol and virtual host."""
    lines = [access.parse(line.encode(), 0).attributes for line in LINES]
    ann = lines[1]
    host = lines[3]

    assert (ann["user.name"], ann["user_agent.original"], ann["network.protocol.version"]) == ("ann", "curl/8.1", "2.0")
    assert ann["http.request.header.referer"] == ["https://shop.example/"]
    assert lines[0]["url.query"] == "b=1"
    assert (host["server.address"], host["server.port"]) == ("www.example.com", 443)


@pytest.mark.parametrize(
    ("line", "status", "port"),
    [
        ('INFO:     192.0.2.7:51268 - "GET /a HTTP/1.1" 500 Internal Server Error', 500, 51268),
        ('[2026-11-22 10:00:00 +0000] [1] [INFO] 192.0.2.7:48492 - - [22/Nov/2026:10:00:00 +0000] "GET /a 1.1" 200 - "-" "x"', 200, 48492),
        ('INFO:aiohttp.access:192.0.2.7 [22/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 150 "-" "x"', 200, None),
    ],
)
def test_a_level_that_the_writer_gave_stays(line, status, port):
    """uvicorn, hypercorn and aiohttp log requests as any message: the level is theirs, the request is read as well."""
    parsed = text_lines.parse(line.encode(), 0)

    assert (parsed.severity, parsed.severity_text) == (9, "INFO")
    assert (parsed.attributes["http.response.status_code"], parsed.attributes["url.path"]) == (status, "/a")
    assert (parsed.attributes["client.address"], parsed.attributes.get("client.port")) == ("192.0.2.7", port)


@pytest.mark.parametrize(
    "line",
    ['he said "GET" 200 times', '192.0.2.7 - - [today] "GET / HTTP/1.1" 200 1', '192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] "GET /" 700 1'],
)
def test_what_only_looks_so_is_no_request(line):
    """A word in quotes, a time that is not one, a status that does not exist."""
    assert access.parse(line.encode(), 0) is None


@pytest.mark.parametrize(
    "bad",
    [
        "a" * 60_000,
        "a, " * 20_000,
        "[pid: 1|" + "a" * 60_000,
        "[GIN] " * 10_000,
        "1.1:1 [22/N" + "/" * 60_000,
        '" 200 ' * 10_000,
        "1:" * 30_000,
        '\\"' * 30_000,
    ],
)
def test_no_line_takes_long(bad):
    """Parts that repeat are bounded."""
    begin = time.process_time()
    for line in (bad + '" 200 1', f'192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] "{bad}" 200 x', f'192.0.2.7 - {bad} "GET /" 200 1'):
        access.parse(line.encode(), 0)

    assert time.process_time() - begin < 0.5


@pytest.mark.parametrize(
    ("rest", "severity", "state"),
    [
        ("shop shop/till-1 0/0/5007 212 -- 1/1/0/0/0 0/0", 9, "--"),
        ("shop~ shop/<NOSRV> -1/-1/0 0 SC 1/1/0/0/3 0/0", 17, "SC"),
        ("shop shop/till-1 0/1/60002 77 sD 9/8/7/6/0 0/0", 13, "sD"),
        ("shop shop/till-1 0/0/17 0 CD 1/1/0/0/0 0/0", 9, "CD"),
        ('shop shop/<NOSRV> -1/-1/-1/-1/3 -1 0 - - CR-- 1/1/0/0/0 0/0 "<BADREQ>"', 9, "CR--"),
        ("shop/1: SSL handshake failure", 17, None),
    ],
)
def test_haproxy_says_how_a_session_ended(rest, severity, state):
    """Without a status the termination state gives the severity; sessions of TCP have neither status nor request."""
    line = f"192.0.2.7:50123 [22/Nov/2026:10:00:00.000] {rest}"
    parsed = detect(line.encode()).parse(line.encode(), 0)

    assert (parsed.severity, parsed.time_ns, parsed.body) == (severity, SECOND, line)
    assert (parsed.attributes["haproxy.frontend"].rstrip("~"), parsed.attributes.get("haproxy.termination_state")) == ("shop", state)
    assert "http.response.status_code" not in parsed.attributes
