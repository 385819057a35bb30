"""Plain text: the line is the body. What every line is when it is nothing else."""

from __future__ import annotations

from agent.parse.limits import to_text
from agent.parse.parsed import Parsed
from agent.parse.terminal import clean


def parse(line: bytes, _now_ns: int = 0) -> Parsed:
    """The line as a body, without terminal control."""
    return Parsed(clean(to_text(line)), {})
