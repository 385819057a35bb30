"""Syslog: RFC 5424, RFC 3164, and what syslog daemons write into files (the same without priority, the time perhaps as RFC 3339).

A time without year is taken to be within the last year, and, having no zone either, UTC.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.parse.limits import to_text
from agent.parse.odd_times import MONTHS
from agent.parse.parsed import Parsed
from agent.parse.severity import SYSLOG
from agent.parse.timestamps import from_text, yearless

if TYPE_CHECKING:
    from agent.record import Value

_NAMES: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_PARAM: Final = r'(?:[^\s="\]]{1,64}="(?:[^"\\\]]|\\.)*")'

_5424: Final = re.compile(
    r"<(?P<priority>\d{1,3})>(?P<version>[1-9]\d?) (?P<time>\S+) (?P<hostname>\S{1,255}) (?P<appname>\S{1,48}) (?P<procid>\S{1,128})"
    rf" (?P<msgid>\S{{1,32}}) (?P<data>-|(?:\[[^\s=\]\"]{{1,64}}(?: {_PARAM})*\])+)(?: (?P<message>.*))?",
    re.DOTALL,
)
_3164: Final = re.compile(
    r"(?:<(?P<priority>\d{1,3})>)?(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))"
    r" (?P<hostname>(?!\d{4}-\d\d-\d\dT? )[\w.:-]+) (?P<appname>(?!\d\d:\d\d:)[\w./@-]{1,64})(?:\[(?P<procid>\d+)\])?: ?(?P<message>.*)",
    re.DOTALL,
)
_BARE: Final = re.compile(r"<(?P<priority>\d{1,3})>(?P<message>.*)", re.DOTALL)
_ELEMENT: Final = re.compile(rf"\[([^\s=\]\"]+)((?: {_PARAM})*)\]")
_ONE_PARAM: Final = re.compile(r' ([^\s="\]]+)="((?:[^"\\\]]|\\.)*)"')
_ESCAPED: Final = re.compile(r'\\(["\\\]])')
_BEGIN: Final = re.compile(rb"<\d{1,3}>|[A-Z][a-z]{2} [ \d]\d \d\d:|\d{4}-\d\d-\d\dT")


def sniff(line: bytes) -> bool:
    """Whether the line has a priority with a header, or the header that daemons write into files."""
    return _BEGIN.match(line) is not None and any(layout.fullmatch(to_text(line)) for layout in (_5424, _3164))


def parse(line: bytes, now_ns: int) -> Parsed | None:
    """The record of a line; of a priority with any text, too, as RFC 3164 (section 4.3.3) asks of a receiver."""
    if _BEGIN.match(line) is None:
        return None
    text = to_text(line)
    match = _5424.fullmatch(text) or _3164.fullmatch(text) or _BARE.fullmatch(text)
    priority = match.groupdict().get("priority") if match else None
    return _record(match, now_ns) if match and int(priority or 0) < 192 else None


def _record(match: re.Match[str], now_ns: int) -> Parsed:
    groups = match.groupdict()
    attributes: dict[str, Value] = {
        f"syslog.{name}": groups[name] for name in ("hostname", "appname", "procid", "msgid") if groups.get(name) not in (None, "-")
    }
    severity, text = 0, ""
    if groups["priority"] is not None:
        facility, number = divmod(int(groups["priority"]), 8)
        attributes["syslog.facility"] = facility
        severity, text = SYSLOG[number], _NAMES[number]
    if groups.get("data") not in (None, "-"):
        attributes["syslog.structured_data"] = _structured(groups["data"])
    time_ns = _time(groups.get("time") or "-", now_ns, attributes)
    message = (groups["message"] or "").removeprefix("\ufeff")
    return Parsed(message, attributes, time_ns, severity, text)


def _time(text: str, now_ns: int, attributes: dict[str, Value]) -> int:
    time_ns = yearless(text, now_ns) if text[:3] in MONTHS else from_text(text)
    if not time_ns and text != "-":
        attributes["syslog.timestamp"] = text
    return time_ns


def _structured(data: str) -> dict[str, Value]:
    """`[id name="value"]…` → {id: {name: value}}."""
    return {
        element[1]: {param[1]: _ESCAPED.sub(r"\1", param[2]) for param in _ONE_PARAM.finditer(element[2])}
        for element in _ELEMENT.finditer(data)
    }
