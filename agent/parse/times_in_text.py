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


def without_times(prefix: str) -> str:
    """What tells one prefix from another."""
    return _ANY.sub("*", prefix)
