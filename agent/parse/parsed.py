"""The result of a format for one line: a record without its place in a file, and the reasons of losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from agent.record import Value


class Parsed(NamedTuple):
    """The meaning of one line. The fields are those of `LogRecord`; `reasons` are counted."""

    body: Value
    attributes: dict[str, Value]
    time_ns: int = 0
    severity: int = 0
    severity_text: str = ""
    trace_id: bytes = b""
    span_id: bytes = b""
    trace_flags: int = 0
    dropped_attributes: int = 0
    reasons: tuple[str, ...] = ()


NOWHERE: Final = Parsed(None, {})
"""The base of unwrapped lines."""


def placed(parsed: Parsed, base: Parsed) -> Parsed:
    """The record with what its wrapper knows of it: the time if it has none itself, and attributes below its own."""
    if base is NOWHERE:
        return parsed
    reasons = (*parsed.reasons, *base.reasons) if base.reasons else parsed.reasons
    return parsed._replace(time_ns=parsed.time_ns or base.time_ns, attributes={**base.attributes, **parsed.attributes}, reasons=reasons)


def levelled(parsed: Parsed, base: Parsed) -> Parsed:
    """The record with its wrapper's level if it has none itself: that of all a service prints, so it does not count for a traceback."""
    if base.severity and not parsed.severity and not parsed.severity_text:
        return parsed._replace(severity=base.severity, severity_text=base.severity_text)
    return parsed
