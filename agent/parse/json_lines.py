"""JSON lines, one by one: an object per line. Well-formed lines go through `orjson`; what it refuses the patient standard library reads again.

Ordinary lines are read many at a time, by `json_columns`; this here is its reference, and takes what it leaves.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Final

import orjson
import re2

from agent.parse import fields as named
from agent.parse.limits import MAX_DEPTH, without_surrogates
from agent.parse.plain import parse as as_text
from agent.record import Drop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.parse.parsed import Parsed
    from agent.record import Value

_BEGIN: Final = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.){0,256}"\s*:')
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
LONG_NUMBER: Final = re2.compile(rb"[:,\[\s](?:[0-9]{20}|-[0-9]{19})")
"""An integer that may need more than 64 bits: `orjson` would round it."""


def sniff(line: bytes) -> bool:
    """Whether the line begins as an object does."""
    return _BEGIN.match(line) is not None


def parse(line: bytes, now_ns: int) -> Parsed | None:
    """The record of a line, or None if it is not a JSON object."""
    if line.lstrip()[:1] != b"{":
        return None
    if too_deep(line) and not _is_flat_at_last(line):
        return as_text(line, now_ns)._replace(reasons=(Drop.TOO_DEEP,))
    fields = decode(line)
    return None if fields is None else named.promote(fields, now_ns)


def decode(line: bytes) -> dict[str, Value] | None:
    """The object of a line, or None if there is none."""
    try:
        value = None if LONG_NUMBER.search(line) else orjson.loads(line)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        return value
    return _patiently(line)


def objects_of(line: bytes) -> list[tuple[int, bytes]]:
    """The objects of a line that holds several and nothing else, each with the byte it begins at; none where it does not."""
    text = line.decode("utf-8", "surrogateescape")
    found: list[tuple[int, bytes]] = []
    at = 0
    try:
        while at < len(text):
            value, end = _PATIENT.raw_decode(text, at)
            if not isinstance(value, dict):
                return []
            found.append((len(text[:at].encode("utf-8", "surrogateescape")), text[at:end].encode("utf-8", "surrogateescape")))
            at = end + len(text[end:]) - len(text[end:].lstrip(" \t,"))
    except (ValueError, RecursionError):
        return []
    return found if len(found) > 1 else []


def too_deep(line: bytes) -> bool:
    """Whether values nest deeper than `MAX_DEPTH`."""
    if line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
        return False
    depth = deepest = 0
    for byte in _STRING.sub(b"", line):
        depth += (byte in b"{[") - (byte in b"}]")
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def _is_flat_at_last(line: bytes) -> bool:
    """Whether all that is deep was the value of a name that comes again: the last one is the record's, as with any such name."""
    try:
        level = [orjson.loads(line)]
    except orjson.JSONDecodeError:
        return False
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _values(outer) if isinstance(inner, (dict, list))]
    return not level


def _values(outer: dict[str, Value] | list[Value]) -> Iterable[Value]:
    return outer.values() if isinstance(outer, dict) else outer


def _patiently(line: bytes) -> dict[str, Value] | None:
    """JSON that `orjson` refuses and other readers take: NaN, huge numbers, half surrogate pairs, bytes that are not UTF-8, control characters."""
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
    """An integer as `orjson` takes it (64 bits, with or without a sign), or its digits."""
    if len(digits) > 20:
        return digits
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else digits


def _real(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


_PATIENT: Final = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_real, parse_constant=str)
