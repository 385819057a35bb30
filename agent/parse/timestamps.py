"""The time in a record → nanoseconds since the Unix epoch, 0 = unknown.

Texts: ISO 8601 and RFC 3339, extended or basic (`20260102T030405Z`), with a date of the month, the week or the year, `T`, `t` or a space, `24:00`,
`.` or `,` before the fraction, up to nanoseconds, `Z`, `z`, `+02`, `+0200`, `+02:00`, ` UTC` or nothing; other notations by way of `odd_times`.
A date alone is not a time: midnight would be made up. A time without zone is taken as UTC: that is what containers run in, and guessing a zone
from the agent's own would change the meaning of a file with the place where it is read. One without a year is within the last year. Numbers:
seconds, milli-, micro- or nanoseconds since the epoch, distinguished by magnitude. A number before 1973 or beyond 2262 is not a time but an uptime,
a zero or an overflow: unknown.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from agent.parse import odd_times

if TYPE_CHECKING:
    from agent.record import Value

NS: Final = 1_000_000_000
EARLIEST: Final = 100_000_000 * NS
LATEST: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - for times without a zone
_MICROSECOND: Final = timedelta(microseconds=1)
_SCALES: Final = ((100_000_000_000, NS), (100_000_000_000_000, 1_000_000), (100_000_000_000_000_000, 1_000))
"""Below this number the unit has this many nanoseconds: 10^11 s is the year 5138, 10^11 ms is 1973."""

_ISO: Final = re.compile(
    r"(\d{4})(-?)(\d\d)\2(\d\d)[Tt ](\d\d)(:?)(\d\d)(?:\6(\d\d)(?:[.,](\d{1,9})\d*)?)? ?(?:Z|z|UTC|GMT|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)
_WEEK_OR_DAY: Final = re.compile(r"(\d{4})-?(?:W(\d\d)-?([1-7])|(\d{3}))(?=[Tt ])", re.ASCII)
_TAIL: Final = re.compile(r"[.,](\d{1,9})\d*([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_NUMBER: Final = re.compile(r"(\d{1,20})(?:[.,](\d{0,9})\d*)?", re.ASCII)
_YEARLESS: Final = re.compile(r"(?:([A-Z][a-z]{2}) ([ \d]\d)|(\d\d)-?(\d\d)) (\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?", re.ASCII)

_from_iso: Final = datetime.fromisoformat


def parse_time(value: Value) -> int:
    """Nanoseconds since the epoch of a timestamp as any JSON type; 0 if it is not one."""
    if isinstance(value, str):
        return from_text(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return from_int(value) if isinstance(value, int) else from_float(value)
    if isinstance(value, dict):
        return odd_times.of_object(value, _of_part)
    return odd_times.of_list(value, from_text) if isinstance(value, list) else 0


def _of_part(value: Value) -> int:
    """As `parse_time`, for a part of an object: its own objects are one level deep at most."""
    inner = value.get("$numberLong") if isinstance(value, dict) else value
    return 0 if isinstance(inner, (dict, list)) else parse_time(inner)


def from_text(text: str) -> int:
    """Nanoseconds of an ISO 8601 text or of a number in a text; 0 if it is neither."""
    if not 18 < len(text) < 28 or text[16] != ":":  # anywhere else a datetime would hide digits that it can't hold
        return _from_parts(text)
    try:
        moment = _from_iso(text)
    except ValueError:
        return _from_parts(text)
    if len(text) == 27 and text[26] != "Z":  # seven digits without a zone: one more than a datetime holds
        return _from_parts(text)
    nanoseconds = (moment - (_EPOCH if moment.tzinfo else _LOCAL_EPOCH)) // _MICROSECOND * 1000
    return nanoseconds if EARLIEST <= nanoseconds <= LATEST else 0


def from_int(number: int) -> int:
    """Nanoseconds of a count since the epoch, its unit known by magnitude; 0 if it can't be a time."""
    return bounded(number * next((unit for limit, unit in _SCALES if number < limit), 1))


def from_float(number: float) -> int:
    """As `from_int`, for a fraction: exact to the microsecond, which is all that a double holds."""
    if not 0 < number <= LATEST:  # also what is no number, and what would overflow
        return 0
    unit = next((unit for limit, unit in _SCALES if number < limit), 1)
    return bounded(round(number * (unit // 1000)) * 1000 if unit > 1 else int(number))


def bounded(nanoseconds: int) -> int:
    """The same, or 0 if it is implausible."""
    return nanoseconds if EARLIEST <= nanoseconds <= LATEST else 0


class _Seconds(dict[str, int]):
    """A time to the second, with its zone → nanoseconds, 0 = it is none: most lines share theirs with the line before."""

    def __missing__(self, text: str) -> int:
        """Work one out."""
        if len(self) >= 1024:
            self.clear()
        time_ns = from_text(text)
        made = self[text] = 0 if time_ns % NS else time_ns
        return made


_seconds: Final = _Seconds()


def _from_parts(text: str) -> int:
    if len(text) > 25 and (tail := _TAIL.fullmatch(text, 19)):
        second = _seconds[text[:19] + (tail[2] or "Z")]
        return bounded(second + int(tail[1].ljust(9, "0"))) if second else 0
    if match := _ISO.fullmatch(text.strip()):
        return _from_match(match)
    if match := _NUMBER.fullmatch(text):
        return _from_decimal(match[1], match[2] or "")
    if match := _WEEK_OR_DAY.match(text.strip()):
        return _from_week_or_day(match)
    return _from_iso_text(odd_times.rewritten(text.strip()))


def _from_iso_text(text: str) -> int:
    if match := _ISO.fullmatch(text):
        return _from_match(match)
    match = _NUMBER.fullmatch(text)
    return _from_decimal(match[1], match[2] or "") if match else 0


def yearless(text: str, now_ns: int) -> int:
    """`Nov 22 14:51:23`, `1122 14:51:23.123456`: the last such moment that is not more than a day ahead; 0 if it is not one."""
    match = _YEARLESS.fullmatch(text)
    if match is None or (match[1] or "Jan") not in odd_times.MONTHS:
        return 0
    latest = datetime.fromtimestamp(now_ns // NS, tz=UTC) + timedelta(days=1)
    month = odd_times.MONTHS.index(match[1]) + 1 if match[1] else int(match[3])
    day, hour, minute, second = (int(match[group] or 0) for group in (2 if match[1] else 4, 5, 6, 7))
    for year in range(latest.year, latest.year - 9, -1):  # eight years at most between two 29ths of February
        try:
            moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        except ValueError:
            continue
        if moment <= latest:
            return bounded(int(moment.timestamp()) * NS + int((match[8] or "0").ljust(9, "0")))
    return 0


def _from_match(match: re.Match[str]) -> int:
    year, month, day, hour, minute = (int(match[group]) for group in (1, 3, 4, 5, 7))
    second, fraction = int(match[8] or 0), int((match[9] or "0").ljust(9, "0"))
    ends_day = hour == 24 and not minute + second + fraction
    try:
        moment = datetime(year, month, day, 0 if ends_day else hour, minute, min(second, 59), tzinfo=UTC)
        moment += timedelta(days=ends_day, seconds=second > 59) - _offset(match)
    except (ValueError, OverflowError):
        return 0
    passed = moment - _EPOCH
    whole = passed.days * 86400 + passed.seconds
    return bounded(whole * NS + fraction) if second <= 60 else 0


def _from_week_or_day(match: re.Match[str]) -> int:
    """A date of the week (`2026-W01-2`) or of the year (`2026-002`), turned into one of the month."""
    year, week, weekday, day = (int(match[group] or 0) for group in (1, 2, 3, 4))
    try:
        found = date.fromisocalendar(year, week, weekday) if weekday else date(year, 1, 1) + timedelta(days=day - 1)
    except (ValueError, OverflowError):
        return 0
    return _from_parts(found.isoformat() + match.string[match.end() :]) if weekday or (day and found.year == year) else 0


def _offset(match: re.Match[str]) -> timedelta:
    if match[10] is None:
        return timedelta()
    minutes = int(match[11]) * 60 + int(match[12] or 0)
    return timedelta(minutes=-minutes if match[10] == "-" else minutes)


def _from_decimal(whole: str, fraction: str) -> int:
    number = int(whole)
    unit = next((unit for limit, unit in _SCALES if number < limit), 1)
    return bounded(number * unit + int(fraction.ljust(9, "0")) * unit // NS)
