"""Times as they stand in the prefixes of lines, and prefixes compared without them. Pure."""

from __future__ import annotations

import re
from typing import Final

CLOCK: Final = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
DATE: Final = rf"\d{{4}}[-/]\d\d[-/]\d\d[T ]{CLOCK}(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
MONTH: Final = rf"(?:[A-Z][a-z]{{2}} )?[A-Z][a-z]{{2}} [ \d]\d {CLOCK}(?: \d{{4}})?"
TIME: Final = rf"(?:{DATE}|{MONTH}|{CLOCK})"
_ANY: Final = re.compile(TIME)


def timeless(prefix: str) -> re.Pattern[str]:
    """A pattern of a prefix, with any time in place of its times."""
    return re.compile(TIME.join(map(re.escape, _ANY.split(prefix))))


class RepeatedPrefix:
    """The prefix of the first of several lines, with any time in place of its times; the second tells whether they all have it."""

    __slots__ = ("_is_known", "_pattern")

    def __init__(self, prefix: str = "") -> None:
        self._pattern = timeless(prefix) if prefix else None
        self._is_known = False

    def strip(self, line: str) -> str:
        """The line without the prefix. The first line that is given decides: behind the prefix it is indented."""
        if self._pattern is None:
            return line
        match = self._pattern.match(line)
        if not self._is_known and (match is None or not line.startswith("  ", match.end())):
            self._pattern = None
            return line
        self._is_known = True
        return line[match.end() :] if match else line


def without_times(prefix: str) -> str:
    """The texts that distinguish prefixes."""
    return _ANY.sub("*", prefix)
