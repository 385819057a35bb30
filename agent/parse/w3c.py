"""Logs whose first lines name their fields: the W3C Extended Log File Format, as IIS, CloudFront, Exchange and the Windows firewall write it.

    #Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status …
    2026-11-22 10:00:00 10.0.0.4 GET /shelf q=1 443 - 192.0.2.7 curl/8 200 …

The names that are known become OpenTelemetry's; other fields keep theirs. `-` is not a value. Where the directive was not seen, lines in the order
that IIS has by default are known as well. The line stays the body; the status of a response gives the severity.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from agent.names import HTTP_STATUS
from agent.parse.limits import to_text
from agent.parse.parsed import Parsed
from agent.parse.severity import of_status
from agent.parse.timestamps import from_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.record import Value

NAME: Final = "w3c"
_DIRECTIVE: Final = re.compile(r"#Fields: ?(\S.*)")
_ANY_DIRECTIVE: Final = re.compile(rb"#(?:Fields|Software|Version|Date|Start-Date|End-Date|Remark|Log-type|Time Format): ?\S")
_IIS: Final = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken"
_LIKE_IIS: Final = re.compile(
    rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [\da-fA-F.:%]{2,64} [A-Z]{3,16} /\S* \S+ \d{1,5} \S+ [\da-fA-F.:%]{2,64} \S+ \S+ [1-5]\d\d \d{1,5} \d{1,10} \d{1,10}"
)
_ITEM: Final = re.compile(r'"(?:[^"]|"")*"|[^\s"]\S*')
_COMMAS: Final = re.compile(r'(?:^|,)("(?:[^"]|"")*"|[^,]*)')
_MOST_FIELDS: Final = 96
_NAMES: Final = {
    "c-ip": "client.address", "c-port": "client.port", "s-ip": "server.address", "s-port": "server.port", "cs-host": "server.address",
    "cs(host)": "server.address", "cs-method": "http.request.method", "cs-uri-stem": "url.path", "cs-uri-query": "url.query",
    "cs-username": "user.name", "cs(user-agent)": "user_agent.original", "sc-status": HTTP_STATUS, "sc-bytes": "http.response.body.size",
    "cs-bytes": "http.request.body.size", "src-ip": "source.address", "dst-ip": "destination.address", "src-port": "source.port",
    "dst-port": "destination.port",
}  # fmt: skip
_TEXTS: Final = frozenset(("client.address", "server.address", "url.path", "url.query", "user.name", "user_agent.original"))
_TIMES: Final = frozenset(("date", "time", "date-time", "timestamp"))


def sniff(line: bytes) -> bool:
    """Whether a line is a directive, or one of IIS in its default order."""
    return _ANY_DIRECTIVE.match(line) is not None or _LIKE_IIS.fullmatch(line) is not None


def declared(line: bytes) -> str:
    """The fields that a directive names, separated as it does; empty if it does not."""
    match = _DIRECTIVE.fullmatch(to_text(line).rstrip()) if line.startswith(b"#Fields:") else None
    return match[1] if match else ""


def parse(line: bytes, fields: str = _IIS) -> Parsed | None:
    """The record of a line with these fields, or of a directive; None if it has another number of them."""
    text = to_text(line).rstrip()
    if line[:1] == b"#":
        return Parsed(text, {}) if _ANY_DIRECTIVE.match(line) else None
    names, items = _names(fields), _items(text, fields)
    if len(names) != len(items) or not names:
        return None
    values = {name: item for name, item in zip(names, items, strict=True) if item not in ("-", "")}
    time = values.get("date-time") or values.get("timestamp") or f"{values.get('date', '')}T{values.get('time', '')}"
    time_ns = from_text(time)
    if not time_ns and not _TIMES.isdisjoint(names):
        return None
    attributes = dict(_attribute(name, value) for name, value in values.items() if name not in _TIMES)
    status = attributes.get(HTTP_STATUS)
    return Parsed(text, attributes, time_ns, of_status(status) if isinstance(status, int) and status >= 100 else 0)


@lru_cache(maxsize=16)
def _names(fields: str) -> tuple[str, ...]:
    return tuple(fields.split("," if "," in fields else None)[:_MOST_FIELDS])


def _items(text: str, fields: str) -> Sequence[str]:
    """The fields of a line: between tabs, between commas where the directive has them, otherwise between blanks."""
    if "\t" in text:
        return text.split("\t")
    if '"' not in text:
        return text.split("," if "," in fields else " ")
    return [_unquoted(item) for item in (_COMMAS if "," in fields else _ITEM).findall(text)]


def _unquoted(item: str) -> str:
    return item[1:-1].replace('""', '"') if item[:1] == '"' else item


def _attribute(name: str, value: str) -> tuple[str, Value]:
    known = _NAMES.get(name.lower(), "")
    if name.lower() == "cs(referer)":
        return "http.request.header.referer", [value]
    if known in _TEXTS:
        return known, value.replace("+", " ") if known == "user_agent.original" else value
    return known or name, int(value) if value.isdecimal() and len(value) < 19 else value
