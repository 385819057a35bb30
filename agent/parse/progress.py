"""Progress bars in a line of their own: the record is what a terminal shows at last, and it is not more of the record before."""

from __future__ import annotations

from agent.parse.limits import to_text
from agent.parse.parsed import Parsed
from agent.parse.terminal import clean, is_progress
from agent.record import Drop


def sniff(line: bytes) -> bool:
    """Whether the line is nothing but a progress bar."""
    may_be = b"%" in line or b"[" in line or not line.isascii() or b"-------" in line or b":--:" in line or line[:1] == b"\r"
    return may_be and is_progress(line)


def parse(line: bytes, _now_ns: int) -> Parsed | None:
    """The record of the bar as it was shown at last; what was overwritten is counted."""
    if not sniff(line):
        return None
    *before, last = [part for part in line.split(b"\r") if part.strip()]
    return Parsed(clean(to_text(last)).rstrip(), {}, reasons=(Drop.OVERWRITTEN,) if before else ())
