"""Trace and span ids as logs carry them → bytes. Hexadecimal of full length only (W3C Trace Context, section 3.2.2).

Anything else (a decimal id of Datadog's, a zero, a shortened id) is not understood and stays where it was, as an attribute.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from agent.record import Value

_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class TraceParent(NamedTuple):
    """A `traceparent` header, taken apart."""

    trace_id: bytes
    span_id: bytes
    flags: int


def trace_id(value: Value) -> bytes | None:
    """16 bytes, or None if the value is no trace id."""
    return _identifier(value, 32)


def span_id(value: Value) -> bytes | None:
    """8 bytes, or None if the value is no span id."""
    return _identifier(value, 16)


def trace_flags(value: Value) -> int | None:
    """The flags byte from a number or two hexadecimal digits, or None."""
    if isinstance(value, str):
        return int(value, 16) if len(value) == 2 and _HEX.fullmatch(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255 else None


def traceparent(value: Value) -> TraceParent | None:
    """A W3C `traceparent` of any version but ff, or None."""
    match = _PARENT.fullmatch(value) if isinstance(value, str) and not value.startswith("ff") else None
    if match is None:
        return None
    trace, span = trace_id(match[1]), span_id(match[2])
    return TraceParent(trace, span, int(match[3], 16)) if trace and span else None


def _identifier(value: Value, digits: int) -> bytes | None:
    if not isinstance(value, str) or len(value) != digits or not _HEX.fullmatch(value):
        return None
    identifier = bytes.fromhex(value)
    return identifier if any(identifier) else None
