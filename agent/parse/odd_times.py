"""Times in notations that are not ISO 8601, rewritten as ISO 8601 (or as a number): a table of patterns. Pure.

    2026-11-22T10:00:00.123+01:00[Europe/Berlin]      Java's ZonedDateTime; the offset counts
    2026-11-22 10:00:00.123 +0000 UTC m=+0.012        Go's Time.String
    2026/11/22 10:00:00.123456   2026.11.22 10:00:00  Go's log, nginx; ClickHouse
    22/Nov/2026:10:00:00 +0000   22-Nov-2026 10:00:00 Common Log Format; Tomcat, PHP, BIND
    22 Nov 2026 10:00:00,123     22.11.2026 10:00:00  log4j's DATE, Redis; with dots the day is first
    Sun, 22 Nov 2026 10:00:00 GMT                     RFC 1123, 5322; RFC 850 as Sunday, 22-Nov-26
    Sun Nov 22 10:00:00 2026                          asctime, `date`, with a fraction Apache's error log
    Nov 22, 2026 10:00:00 AM     Nov 22, 2026 @ 10:00:00.123    java.util.logging; Kibana
    Sun Nov 22 2026 10:00:00 GMT+0100 (…)             JavaScript's Date
    11/22/2026 10:00:00 AM       22/11/2026 10:00:00  only where one of the numbers can't be a month
    /Date(1795341600123+0100)/                        .NET; the number counts

Zones by name are those of RFC 5322 and of Europe; an unknown one makes the time unknown. Objects: MongoDB's `$date`, log4j 2's `epochSecond`,
protobuf's `seconds` and `nanos`, Firestore's `_seconds`; lists: Java's [year, month, day, hour, minute, second, nanosecond].
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.record import Value

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ZONES: Final = {
    "": "", "Z": "Z", "UTC": "Z", "GMT": "Z", "UT": "Z", "WET": "Z", "WEST": "+01:00", "BST": "+01:00", "CET": "+01:00", "CEST": "+02:00",
    "EET": "+02:00", "EEST": "+03:00", "MSK": "+03:00", "EST": "-05:00", "EDT": "-04:00", "CST": "-06:00", "CDT": "-05:00", "MST": "-07:00",
    "MDT": "-06:00", "PST": "-08:00", "PDT": "-07:00",
}  # fmt: skip
"""Zones by name → offset from UTC."""

_CLOCK: Final = r"(?P<clock>\d{1,2}:\d\d:\d\d)(?:[.,:](?P<fraction>\d{1,9}))?"
_HALF: Final = r"(?P<hour>\d{1,2})(?P<rest>:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,9}))?[ \u202f](?P<half>[AaPp])\.?[Mm]\.?"
_ZONE: Final = r"(?: ?(?P<zone>[A-Z]{1,4}|[+-]\d\d:?\d\d)(?: \(?[A-Z]{3,4}\)?)?)?"
_DAY: Final = r"(?P<day>\d{1,2})"
_MONTH: Final = r"(?P<month>[A-Z][a-z]{2})"
_YEAR: Final = r"(?P<year>\d{4})"
_WEEKDAY: Final = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"

_PATTERNS: Final = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"{_YEAR}([-/.])(?P<month>\d\d)\2{_DAY}[T ]{_CLOCK}{_ZONE}(?:\[[\w/+:-]{{1,64}}\])?(?: m=[+-][\d.]{{1,32}})?",
        rf"{_YEAR}([-/])(?P<month>\d\d)\2{_DAY},? {_HALF}{_ZONE}",
        rf"(?:{_WEEKDAY},? )?{_DAY}([-/ ]){_MONTH}\2{_YEAR}[: T]{_CLOCK}{_ZONE}",
        rf"(?:{_WEEKDAY},? )?{_DAY}([-/ ]){_MONTH}\2{_YEAR} {_HALF}{_ZONE}",
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, {_DAY}-{_MONTH}-(?P<short>\d\d) {_CLOCK}{_ZONE}",
        rf"{_WEEKDAY} {_MONTH} {{1,2}}{_DAY} {_CLOCK}{_ZONE} {_YEAR}",
        rf"{_WEEKDAY} {_MONTH} {_DAY} {_YEAR} {_CLOCK} GMT(?P<zone>[+-]\d{{4}})(?: \([^)]{{1,64}}\))?",
        rf"{_MONTH} {_DAY}, {_YEAR},? (?:@ )?{_CLOCK}{_ZONE}",
        rf"{_MONTH} {_DAY}, {_YEAR},? {_HALF}{_ZONE}",
        rf"{_DAY}\.(?P<month>\d\d)\.{_YEAR},? {_CLOCK}{_ZONE}",
        rf"(?P<month>\d{{1,2}})/(?P<day>1[3-9]|2\d|3[01])/{_YEAR},? {_HALF}{_ZONE}",
        rf"(?P<month>\d{{1,2}})/(?P<day>1[3-9]|2\d|3[01])/{_YEAR},? {_CLOCK}{_ZONE}",
        rf"(?P<day>1[3-9]|2\d|3[01])/(?P<month>\d{{1,2}})/{_YEAR},? {_CLOCK}{_ZONE}",
    )
)
_DATE: Final = re.compile(r"\\?/Date\((\d{1,16})(?:[+-]\d{4})?\)\\?/", re.ASCII)
_EXPONENT: Final = re.compile(r"(\d)\.(\d{1,18})[eE]\+?(\d{1,2})", re.ASCII)
_LONGEST: Final = 96
_OBJECTS: Final = (("epochSecond", "nanoOfSecond"), ("seconds", "nanos"), ("_seconds", "_nanoseconds"), ("Seconds", "Nanos"))


def rewritten(text: str) -> str:
    """The same time in ISO 8601, or as a number; empty if it is not in one of the notations."""
    if len(text) > _LONGEST:
        return ""
    for pattern in _PATTERNS:
        if (match := pattern.fullmatch(text)) and (iso := _iso(match.groupdict())):
            return iso
    if match := _DATE.fullmatch(text):
        return match[1]
    if match := _EXPONENT.fullmatch(text):
        digits = match[2].ljust(int(match[3]), "0")
        return f"{match[1]}{digits[: int(match[3])]}.{digits[int(match[3]) :]}"
    return ""


def _iso(parts: dict[str, str | None]) -> str:
    zone = parts["zone"] or ""
    offset = zone if zone[:1] in ("+", "-") else ZONES.get(zone)
    month = _month(parts["month"] or "")
    if offset is None or not month:
        return ""
    year = parts.get("year") or f"20{parts['short']}"
    clock = parts.get("clock") or _of_half_day(int(parts["hour"] or 0), parts["rest"] or "", parts["half"] or "")
    return f"{year}-{month}-{(parts['day'] or '').zfill(2)}T{clock.zfill(8)}.{parts['fraction'] or '0'}{offset}"


def _month(text: str) -> str:
    if text.isdigit():
        return text.zfill(2)
    return f"{MONTHS.index(text) + 1:02}" if text in MONTHS else ""


def _of_half_day(hour: int, rest: str, half: str) -> str:
    """12:30 AM is half an hour past midnight; an hour that a half day does not have makes the time not one."""
    return f"{hour % 12 + 12 * (half in 'Pp'):02}{rest}" if 1 <= hour <= 12 else "99:99:99"


def of_list(items: list[Value], parse: Callable[[str], int]) -> int:
    """The moment of Java's list of numbers, read by `parse` from its ISO text; 0 if it is not one."""
    numbers = [item for item in items if isinstance(item, int) and not isinstance(item, bool)]
    if not 5 <= len(items) == len(numbers) <= 7 or any(number < 0 for number in numbers):
        return 0
    year, month, day, hour, minute, second, nanosecond = [*numbers, 0, 0][:7]
    return parse(f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanosecond:09}Z")


def of_object(fields: dict[str, Value], parse: Callable[[Value], int]) -> int:
    """The moment of a time that is an object, its parts read by `parse`; 0 if it is not one."""
    if len(fields) == 1:
        for name in ("$date", "$numberLong"):
            if name in fields:
                return parse(fields[name])
    for whole, part in _OBJECTS:
        seconds, nanoseconds = _integer(fields.get(whole)), _integer(fields.get(part, 0))
        if seconds is not None and nanoseconds is not None and 0 <= nanoseconds < 1_000_000_000:
            return parse(f"{seconds}.{nanoseconds:09}") if 0 < seconds < 1e11 else 0
    return 0


def _integer(value: Value) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
