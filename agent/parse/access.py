"""Access logs of web servers: the Common and the Combined Log Format, with what servers change of them. Fields have OpenTelemetry's names.

    192.0.2.7 - ann [22/Nov/2026:10:00:00 +0000] "GET /a?b=1 HTTP/1.1" 200 512 "https://…" "curl/8"     Apache, nginx, gunicorn, Traefik
    192.0.2.7 - - [22/Nov/2026 10:00:00] "GET /a HTTP/1.1" 200 -                                        Werkzeug
    [22/Nov/2026 10:00:00] "GET /a HTTP/1.1" 200 512                                                     Django
    192.0.2.7:51234 - "GET /a HTTP/1.1" 200 OK                                                           uvicorn, behind a level
    [2026-11-22T10:00:00.123Z] "GET /a HTTP/1.1" 200 - 0 12 3 2 "192.0.2.7" "curl/8" …                   Envoy
    192.0.2.7:51234 [22/Nov/2026:10:00:00.123] in web/a 0/0/1/2/3 200 512 - - ---- … "GET /a HTTP/1.1"   HAProxy; of TCP without status and request
    [pid: 7|…] 192.0.2.7 () {…} [Sun Nov 22 10:00:00 2026] GET /a => … (HTTP/1.1 200) …                  uWSGI
    [GIN] 2026/11/22 - 10:00:00 | 200 | 1.2ms | 192.0.2.7 | GET "/a"                                     Gin

The line stays the body. Where the writer gives no level, the status does: from 500 on ERROR, from 400 on WARN, below INFO; a writer's own level stays.
Without a status HAProxy's termination state does: ERROR where the server's side or HAProxy itself has ended a session, WARN where a time ran out.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from agent.names import HTTP_STATUS
from agent.parse.limits import to_text
from agent.parse.parsed import Parsed
from agent.parse.severity import ERROR, WARN, of_status
from agent.parse.terminal import clean
from agent.parse.timestamps import from_text

if TYPE_CHECKING:
    from agent.record import Value

_REQUEST: Final = r'"(?P<request>(?:[^"\\]|\\.){0,16384})"'
_CLIENT: Final = r"(?P<client>\[[\w:.%]{2,64}\]|[\da-fA-F]{0,4}(?::[\da-fA-F.]{0,15}){2,8}|[\w.%-]{1,255})"
_CLF: Final = r"\[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}[: ]\d\d:\d\d:\d\d(?: [+-]\d{4})?)\]"
_ASCTIME: Final = r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}"
_QUOTED: Final = r'(?:[^"\\]|\\.){0,16384}'
_SIZE: Final = r"(?P<status>[1-5]\d\d) (?P<size>\d{1,18}|-)"
_ENDS: Final = rf'(?: "(?P<referer>{_QUOTED})" "(?P<agent>{_QUOTED})")?(?: .*)?'
_VHOST: Final = r"(?:(?P<host>[\w.-]{1,255}):(?P<hostport>\d{1,5}) )?"
_WHO: Final = rf"{_CLIENT}(?::(?P<port>\d{{1,5}}))?(?:, ?[\w.:]{{1,64}}){{0,8}}"
_ENVOY: Final = (
    rf"\[(?P<time>\d{{4}}-\d\d-\d\dT[\d:.]{{8,18}}Z)\] {_REQUEST} (?P<status>[1-5]\d\d) \S{{1,128}}(?: [^\s\"]{{1,128}}){{0,2}}(?: \"[^\"]{{0,1024}}\")?"
    rf' (?P<received>\d{{1,18}}) (?P<size>\d{{1,18}}) \d{{1,18}} (?:\d{{1,18}}|-) "(?P<client>[^"]{{0,255}})" "(?P<agent>{_QUOTED})" .*'
)
_HAPROXY_BEGIN: Final = rf"{_CLIENT}:(?P<port>\d{{1,5}}) \[(?P<time>\d\d/[A-Z][a-z]{{2}}/\d{{4}}:\d\d:\d\d:\d\d\.\d{{3}})\]"
_HAPROXY: Final = (
    rf"{_HAPROXY_BEGIN} (?P<frontend>[^\s/]{{1,256}}) (?P<backend>[^\s/]{{1,256}})/(?P<server>\S{{1,256}}) [\d/+-]{{5,64}} (?:(?P<status>-1|[1-5]\d\d) )?"
    rf"\+?(?P<size>\d{{1,18}}) (?:\S{{1,256}} \S{{1,256}} )?(?P<end>[A-Za-z-]{{2,4}}) [\d/+]{{9,64}} [\d/]{{3,32}}(?: \{{[^}}]{{0,4096}}\}}){{0,2}}(?: {_REQUEST})?"
)
_HAPROXY_ERROR: Final = rf"{_HAPROXY_BEGIN} (?P<frontend>[^\s/]{{1,256}})/\S{{1,256}}: (?P<failure>\S.*)"
_UWSGI: Final = (
    rf"\[pid: \d{{1,8}}\|[^\]]{{1,64}}\] {_CLIENT} \((?P<user>[^)]{{0,64}})\) \{{[^}}]{{1,64}}\}}"
    rf" \[(?P<time>{_ASCTIME})\] (?P<request>[A-Z]{{3,16}} \S{{1,16384}}) => generated (?P<size>\d{{1,18}}) bytes in \d{{1,18}} \w{{1,8}}"
    rf" \(HTTP/[\d.]{{1,3}} (?P<status>[1-5]\d\d)\) .*"
)
_PATTERNS: Final = (
    rf'{_VHOST}{_WHO} \S{{1,64}} (?P<user>[^\[\]"]{{1,64}}?) {_CLF} {_REQUEST} {_SIZE}{_ENDS}',
    rf"{_CLIENT} {_CLF} {_REQUEST} {_SIZE}{_ENDS}",  # aiohttp
    rf"{_CLF} {_REQUEST} {_SIZE}",
    rf"{_CLIENT}:(?P<port>\d{{1,5}}) - {_REQUEST} (?P<status>[1-5]\d\d)(?: [A-Z][\w '-]{{0,64}})?",
    _ENVOY,
    _HAPROXY,
    _HAPROXY_ERROR,
    _UWSGI,
    rf'\[GIN\] (?P<time>\d{{4}}/\d\d/\d\d - \d\d:\d\d:\d\d) \| {{0,4}}(?P<status>[1-5]\d\d) \| {{0,16}}[^|]{{1,32}}\| {{0,40}}{_CLIENT} \| (?P<request>[A-Z]{{3,16}} {{1,16}}"[^"]{{0,16384}}")(?:\s.*)?',
)
_compiled: Final = lru_cache(maxsize=None)(partial(re.compile, flags=re.DOTALL))
"""Patterns are compiled when a line may be of an access log."""
_STATUS: Final = re.compile(rb'" [1-5]\d\d(?: |$)')
_OTHERS: Final = re.compile(rb"\[(?:pid: |GIN\] )|[\w.:]{2,64}:\d{1,5} \[\d\d/[A-Z]")
"""How lines begin whose status is not behind the request: uWSGI, Gin, HAProxy."""
_LINE: Final = re.compile(r"([A-Z]{3,16}) {1,16}\"?(\S{1,16384}?)\"?(?: (?:HTTP/)?(\d(?:\.\d)?))?")
_NAMES: Final = (
    ("user", "user.name"), ("agent", "user_agent.original"), ("host", "server.address"), ("client", "client.address"),
    ("frontend", "haproxy.frontend"), ("backend", "haproxy.backend"), ("server", "haproxy.server"), ("end", "haproxy.termination_state"),
)  # fmt: skip
_NUMBERS: Final = (
    ("status", HTTP_STATUS), ("size", "http.response.body.size"), ("received", "http.request.body.size"), ("port", "client.port"),
    ("hostport", "server.port"),
)  # fmt: skip


def sniff(line: bytes) -> bool:
    """Whether the line is one of an access log."""
    return parse(line, 0) is not None


def parse(line: bytes, _now_ns: int) -> Parsed | None:
    """The record of a line, or None if it is not one of an access log."""
    if _STATUS.search(line) is None and (b"[" not in line or _OTHERS.match(line) is None):
        return None
    text = clean(to_text(line)).rstrip()
    groups = match(text)
    if groups is None or not groups.get("time"):
        return None
    attributes = attributes_of(groups)
    return Parsed(text, attributes, from_text((groups["time"] or "").replace(" - ", " ")), _severity(groups))


def _severity(parts: dict[str, str | None]) -> int:
    status = int(parts.get("status") or 0)
    if status > 0:
        return of_status(status)
    ended_by = (parts.get("end") or "-")[0]
    return ERROR if parts.get("failure") or ended_by in "SRI" else WARN if ended_by in "sPDK" else of_status(0)


def match(text: str) -> dict[str, str | None] | None:
    """The parts of a line of an access log, or of a message that says the same."""
    for pattern in _PATTERNS:
        if found := _compiled(pattern).fullmatch(text):
            return found.groupdict()
    return None


def attributes_of(parts: dict[str, str | None]) -> dict[str, Value]:
    """The parts under OpenTelemetry's names (semantic conventions, HTTP server spans)."""
    attributes: dict[str, Value] = {name: value for part, name in _NAMES if (value := parts.get(part)) and value != "-"}
    if request := _LINE.fullmatch(parts.get("request") or ""):
        attributes["http.request.method"] = request[1]
        path, _, query = request[2].partition("?")
        attributes["url.path"] = path
        if query:
            attributes["url.query"] = query
        if request[3]:
            attributes["network.protocol.version"] = request[3]
    attributes |= {name: int(value) for part, name in _NUMBERS if (value := parts.get(part)) and value not in ("-", "-1")}
    if (referer := parts.get("referer")) and referer != "-":
        attributes["http.request.header.referer"] = [referer]
    return attributes
