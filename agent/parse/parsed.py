"""What a format makes of one line: a record without its place in a file, and what went wrong on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from agent.record import Value


class Parsed(NamedTuple):
    """The meaning of one line. The fields are those of `LogRecord`; `reasons` are what is to be counted."""

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
