"""JSON lines: one object per line. Well-formed lines go through `orjson`; what it refuses is read again by the patient standard library.

`read` is the agent's hottest loop: it turns whole chunks of well-formed lines into records without a call per line. Its reference is
`parse`, line by line; a property test holds them equal.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

import orjson
import re2

from agent.parse import fields as named
from agent.parse.limits import MAX_DEPTH, MAX_TEXT, without_surrogates
from agent.parse.plain import parse as as_text
from agent.parse.reasons import TOO_DEEP
from agent.parse.timestamps import EARLIEST, from_text, parse_time
from agent.record import LogRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.parse.parsed import Parsed
    from agent.record import Origin, Value

_BEGIN: Final = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.){0,256}"\s*:')
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LONG_NUMBER: Final = re2.compile(rb"[:,\[\s](?:[0-9]{20}|-[0-9]{19})")
"""An integer that may need more than 64 bits: `orjson` would round it."""
_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
_EXACT: Final = 4_000_000_000_000_000_000
"""Up to here (the year 2096) a double holds microseconds exactly with a half to spare; what is later takes the longer way."""
_HAZARDS: Final = re2.compile(rb"[:,\[\s](?:[0-9]{20}|-[0-9]{19})|(?:[{\[][^{\[\n]*){65}")
"""The same, or a line with so many brackets that it may nest deeper than `MAX_DEPTH`."""


def hazardous(text: bytes) -> bool:
    """Whether any line of a chunk may hold what `orjson` takes and we do not: numbers beyond 64 bits, deep nesting."""
    return _HAZARDS.search(text) is not None


def read(
    lines: Sequence[tuple[int, bytes]], start: int, origin: Origin, observed_ns: int, into: list[LogRecord], *, careful: bool = True
) -> int:
    """Append the records of `lines[start:]` up to the first line that needs patience; return its index, or the number of lines.

    `careful`: some line may be hazardous, look at each.

    One loop on purpose, with everything in local variables: each call saved here is a tenth of a second per million lines.
    """
    loads, plans, numbers, from_iso, text_time, from_hex = (
        orjson.loads,
        named.plans,
        named.levels,
        datetime.fromisoformat,
        from_text,
        bytes.fromhex,
    )
    append, make, kind = into.append, tuple.__new__, LogRecord
    for index in range(start, len(lines)):
        offset, line = lines[index]
        try:
            fields = loads(line)
            time_name, level_name, body_name, trace_name, span_name, plain, present = plans[tuple(fields)]
            if careful and (too_deep(line) or _LONG_NUMBER.search(line)):
                return index
            if not plain or type(fields) is not dict or len(line) > MAX_TEXT:
                return index
            stamp, level, body = fields.pop(time_name), fields.pop(level_name), fields.pop(body_name)
            if type(level) is str:
                severity = numbers[level]
            elif (understood := named.as_level(level, bunyan=present.bunyan)) is not None:
                severity, level = understood
            else:
                return index
            if type(body) is not str:
                return index
            if type(stamp) is not str:
                time_ns = parse_time(stamp)
            elif stamp[26:] == "Z" and stamp[4] == "-":  # microseconds and Z: what nearly everybody writes
                time_ns = int(from_iso(stamp).timestamp() * 1e6 + 0.5) * 1000
            else:
                time_ns = text_time(stamp)
            if not EARLIEST <= time_ns <= _EXACT:
                return index
            trace = span = b""
            if trace_name is not None:
                digits = fields.pop(trace_name)
                trace = from_hex(digits)
                if len(digits) != 32 or len(trace) != 16 or trace == _NO_TRACE:
                    return index
            if span_name is not None:
                digits = fields.pop(span_name)
                span = from_hex(digits)
                if len(digits) != 16 or len(span) != 8 or span == _NO_SPAN:
                    return index
        except (ValueError, TypeError):  # no JSON, no object, no time, no id: somebody with more patience takes it
            return index
        append(make(kind, (time_ns, observed_ns, severity, level, body, fields, origin, offset, trace, span, 0, 0)))
    return len(lines)


def sniff(line: bytes) -> bool:
    """Whether the line begins as an object does."""
    return _BEGIN.match(line) is not None


def parse(line: bytes, now_ns: int) -> Parsed | None:
    """The record of a line, or None if it is no JSON object."""
    if line.lstrip()[:1] != b"{":
        return None
    if too_deep(line):
        return as_text(line, now_ns)._replace(reasons=(TOO_DEEP,))
    fields = decode(line)
    return None if fields is None else named.promote(fields)


def decode(line: bytes) -> dict[str, Value] | None:
    """The object of a line, or None if there is none."""
    try:
        value = None if _LONG_NUMBER.search(line) else orjson.loads(line)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        return value
    return _patiently(line)


def too_deep(line: bytes) -> bool:
    """Whether values nest deeper than `MAX_DEPTH`."""
    if line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
        return False
    depth = deepest = 0
    for byte in _STRING.sub(b"", line):
        depth += (byte in b"{[") - (byte in b"}]")
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def _patiently(line: bytes) -> dict[str, Value] | None:
    """What `orjson` refuses and other readers take: NaN, huge numbers, half surrogate pairs, bytes that are not UTF-8, control characters."""
    text = line.decode("utf-8", "surrogateescape")
    try:
        value = _PATIENT.decode(text.strip())
    except (ValueError, RecursionError):
        return None
    return {without_surrogates(key): _clean(item) for key, item in value.items()} if isinstance(value, dict) else None


def _clean(value: Value) -> Value:
    if isinstance(value, str):
        return value if value.isascii() else without_surrogates(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {without_surrogates(key): _clean(item) for key, item in value.items()}
    return value


def _integer(digits: str) -> int | str:
    """An integer of OTLP's (64 bits), or its digits."""
    if len(digits) > 20:
        return digits
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else digits


def _real(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


_PATIENT: Final = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_real, parse_constant=str)
