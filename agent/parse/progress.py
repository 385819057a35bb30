"""Progress bars in a line of their own: the record is what a terminal shows at last, and it is not more of the record before."""

from __future__ import annotations

import re
from typing import Final

from agent.parse.limits import to_text
from agent.parse.parsed import Parsed
from agent.parse.terminal import clean, is_progress
from agent.record import Drop

_MAY: Final = re.compile(rb"%|it \[|^\r|\xe2\x94\x81|\xe2\x96\x88|-{16}|\[[=#]|\d/\d{1,9} {1,4}\[|:(?:--|\d\d) {1,6}[\d.]{1,8}[kMG]?$")
"""A character of a line with a bar, which most lines do not have."""


def sniff(line: bytes) -> bool:
    """Whether the line is nothing but a progress bar."""
    return _MAY.search(line) is not None and is_progress(line)


def parse(line: bytes, _now_ns: int) -> Parsed | None:
    """The record of the bar as it was shown at last; what was overwritten is counted."""
    if not sniff(line):
        return None
    *before, last = [part for part in line.split(b"\r") if part.strip()]
    return Parsed(clean(to_text(last)).rstrip(), {}, reasons=(Drop.OVERWRITTEN,) if before else ())
