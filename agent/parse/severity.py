"""Names and numbers of levels → the SeverityNumber of the OpenTelemetry log data model (logs/data-model.md, appendix B).

Names are compared without case, padding, and a closing colon. Numbers mean different things to different writers:

    0 … 7             RFC 5424 and GELF, 0 the worst
    10, 20 … 60       pino and bunyan: 10 trace, 20 debug, 30 info … 60 fatal
    0, 10 … 50        Python's logging:  10 debug, 20 info … 50 critical
"""

from __future__ import annotations

from typing import Final

TRACE, DEBUG, INFO, WARN, ERROR, FATAL = 1, 5, 9, 13, 17, 21

_NAMES: Final = {
    TRACE: "trace finest verbose all silly t v",
    2: "finer",
    DEBUG: "debug dbg debu fine d config",
    INFO: "info information informational inf log i default",
    10: "notice success note",
    WARN: "warn warning wrn warnin w",
    ERROR: "error err erro eror severe exception e failure",
    18: "critical crit crt c dpanic",
    19: "alert a",
    FATAL: "fatal ftl panic emerg emergency f p off",
}
BY_NAME: Final = {name: number for number, names in _NAMES.items() for name in names.split()}

SYSLOG: Final = (FATAL, 19, 18, ERROR, WARN, 10, INFO, DEBUG)
"""RFC 5424 severity → SeverityNumber, as appendix B of the data model maps it."""

_BUNYAN: Final = ((60, FATAL), (50, ERROR), (40, WARN), (30, INFO), (20, DEBUG), (10, TRACE))
_PYTHON: Final = ((50, 18), (40, ERROR), (30, WARN), (25, 10), (20, INFO), (10, DEBUG), (1, TRACE))


def from_name(text: str) -> int:
    """SeverityNumber of a level's name; 0 if nobody calls a level so. A number as text counts as a number of Python's."""
    name = text.strip(" \t:[]<>").lower()
    return BY_NAME.get(name) or (from_number(int(name)) if name.isascii() and name.isdigit() and len(name) < 3 else 0)


def from_number(level: float, *, bunyan: bool = False) -> int:
    """SeverityNumber of a numeric level; 0 if it is none. `bunyan` says that the writer counts as pino and bunyan do."""
    if 0 <= level < len(SYSLOG):
        return SYSLOG[int(level)]
    steps = _BUNYAN if bunyan or level == _BUNYAN[0][0] else _PYTHON
    return next((number for step, number in steps if step <= level <= 100), 0)  # beyond 100 it is no level


class SeverityCache(dict[str, int]):
    """Level as written → SeverityNumber, worked out once per spelling and bounded."""

    def __missing__(self, text: str) -> int:
        """Work one out."""
        number = from_name(text)
        if len(self) < 256 and len(text) <= 32:
            self[text] = number
        return number
