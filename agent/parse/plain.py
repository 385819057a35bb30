"""Plain text: the line is the body. What every line is when it is nothing else."""

from __future__ import annotations

from agent.parse.limits import to_text
from agent.parse.parsed import Parsed
from agent.parse.reasons import INVALID_UTF8


def parse(line: bytes, _now_ns: int = 0) -> Parsed:
    """The line as a body."""
    try:
        return Parsed(line.decode(), {})
    except UnicodeDecodeError:
        return Parsed(to_text(line), {}, reasons=(INVALID_UTF8,))
