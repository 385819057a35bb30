"""Trace and span ids as logs carry them → bytes (W3C Trace Context, section 3.2.2).

Understood are hexadecimal ids of full length, with `0x` or without; trace ids of 64 bits (B3, Jaeger), which get zeros on the left; AWS X-Ray's
(`1-5759e988-bd862e3fe1be46a994272793`) and Google Cloud's (`projects/P/traces/ID`); and, where the name is Datadog's, decimal ones. Anything else
(a zero, a shortened id, a UUID) is not understood and stays where it was, as an attribute.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from agent.record import Value

_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_DECIMAL: Final = re.compile(r"[0-9]{1,20}")
_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_XRAY: Final = re.compile(r"(?:Root=)?1-([0-9a-f]{8})-([0-9a-f]{24})(?:;.*)?")
_GOOGLE: Final = re.compile(r"projects/[^/]{1,64}/traces/([0-9a-fA-F]{32})")


class TraceParent(NamedTuple):
    """A `traceparent` header, taken apart."""

    trace_id: bytes
    span_id: bytes
    flags: int


def trace_id(value: Value) -> bytes | None:
    """16 bytes, or None if the value is not a trace id."""
    if not isinstance(value, str):
        return None
    if len(value) not in (32, 16, 34):
        match = _XRAY.fullmatch(value) or _GOOGLE.fullmatch(value)
        return _identifier("".join(match.groups()), 32) if match else None
    digits = value.removeprefix("0x")
    return _identifier(digits.rjust(32, "0") if len(digits) == 16 else digits, 32)


def span_id(value: Value) -> bytes | None:
    """8 bytes, or None if the value is not a span id."""
    return _identifier(value.removeprefix("0x"), 16) if isinstance(value, str) else None


def datadog_trace_id(value: Value) -> bytes | None:
    """As `trace_id`, of `dd.trace_id`: 32 hexadecimal digits, or a decimal number of 64 bits."""
    if isinstance(value, str) and len(value) == 32:
        return _identifier(value, 32)
    low = datadog_span_id(value)
    return bytes(8) + low if low else None


def datadog_span_id(value: Value) -> bytes | None:
    """As `span_id`, of `dd.span_id`: a decimal number."""
    number = int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 1 << 64:
        return None
    return number.to_bytes(8, "big")


def trace_flags(value: Value) -> int | None:
    """The flags byte from a number, two hexadecimal digits, or whether the trace is sampled; None if it is none of them."""
    if isinstance(value, bool) or value in ("True", "true", "False", "false"):
        return int(value in (True, "True", "true"))
    if isinstance(value, str):
        return int(value, 16) if len(value) == 2 and _HEX.fullmatch(value) else None
    return value if isinstance(value, int) and 0 <= value <= 255 else None


def traceparent(value: Value) -> TraceParent | None:
    """A W3C `traceparent` of any version but ff, or None."""
    match = _PARENT.fullmatch(value) if isinstance(value, str) and not value.startswith("ff") else None
    if match is None:
        return None
    trace, span = trace_id(match[1]), span_id(match[2])
    return TraceParent(trace, span, int(match[3], 16)) if trace and span else None


def _identifier(digits: str, length: int) -> bytes | None:
    if len(digits) != length or not _HEX.fullmatch(digits):
        return None
    identifier = bytes.fromhex(digits)
    return identifier if any(identifier) else None
