"""Names and numbers of levels → the SeverityNumber of the OpenTelemetry log data model (logs/data-model.md, appendix B).

Names are compared without case, colours, padding and brackets. Python's CRITICAL and .NET's Critical are FATAL, as OpenTelemetry's own Python
and .NET map them; syslog's severity 2 of the same name is ERROR2, so it is read from its number or in the layouts of syslog's family.
`ERROR+4` is how Go's log/slog writes a level between its own: its levels are OpenTelemetry's numbers less 9. `ERROR3` is a short name of the data
model. Numbers mean different things to different writers:

    0 … 7             RFC 5424 and GELF, 0 the worst
    10, 20 … 60       pino and bunyan: 10 trace, 20 debug, 30 info … 60 fatal
    0, 10 … 50        Python's logging: 10 debug, 20 info … 50 critical; what lies between counts as in OpenTelemetry's handler
    5000 … 50000      log4j 1, logback: 5000 trace, 10000 debug … 50000 fatal

zap, zerolog and slog write names; their numbers (-1, -4 …) and those from 100 on (log4j 2, Monolog, which contradict each other) are not levels.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from agent.parse.terminal import clean

TRACE, DEBUG, INFO, WARN, ERROR, FATAL = 1, 5, 9, 13, 17, 21

_NAMES: Final = {
    TRACE: "trace trce trac trc vrb finest verbose all silly t v",
    DEBUG: "debug dbug debu dbg finer d",
    6: "fine",
    7: "config http",
    INFO: "info information informational inform inf log system default statement i",
    10: "notice success note",
    WARN: "warn warning warni warnin wrn w",
    ERROR: "error err erro eror severe exception fail failure e",
    18: "dpanic",
    19: "alert a",
    FATAL: "fatal fata ftl critical criti crit crt c panic pani pnc emerg emergency f p off",
}
BY_NAME: Final = {name: number for number, names in _NAMES.items() for name in names.split()}
"""log4j's, java.util.logging's, zap's, logrus' (cut to four letters), zerolog's, Serilog's, .NET's, npm's, PostgreSQL's, MySQL's and syslog's."""

PYTHON_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL")
"""Words in capitals that a logger's line begins with, and not an exception's."""
ANY_PYTHON_LEVEL: Final = rf"(?:{'|'.join(PYTHON_LEVELS)})\b"
SYSLOG: Final = (FATAL, 19, 18, ERROR, WARN, 10, INFO, DEBUG)
"""RFC 5424 severity → SeverityNumber, as appendix B of the data model maps it."""
SYSLOG_NAMES: Final = dict(zip(("emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"), SYSLOG, strict=True))
"""As Apache writes them."""

_BUNYAN: Final = ((60, FATAL), (50, ERROR), (40, WARN), (30, INFO), (20, DEBUG), (10, TRACE))
_PYTHON: Final = ((50, FATAL), (40, ERROR), (30, WARN), (20, INFO), (10, DEBUG))
_LOG4J: Final = {5_000: TRACE, 10_000: DEBUG, 20_000: INFO, 30_000: WARN, 40_000: ERROR, 50_000: FATAL}
_SHADED: Final = re.compile(r"(trace|debug|info|warn|error|fatal)([1-4]|[+-][0-9]{1,3})")
_WORST: Final = 24
_OF: Final = re.compile(r"(?:(?:log_?)?levels?|lvl|severity(?:_?number)?)[._:]")
"""How names of enumerations begin: `LogLevel.WARNING`, `SEVERITY_ERROR`."""
_EDGES: Final = re.compile(r"\A[\W_]+(?=[^\W\d_]{3})|[\W_]+\Z")
"""Marks around a word: symbols, quotes."""
_LOST: Final = re.compile(r"\[[0-9;]{0,16}m")
"""A colour that has lost its escape character on the way."""


class Level(NamedTuple):
    """A level that was understood."""

    number: int
    text: str


def from_name(text: str) -> int:
    """SeverityNumber of a level's name; 0 if it is not one. A number as text counts as a Python level."""
    name = _LOST.sub("", clean(text)).strip(" \t:[]<>()").lower()
    if number := BY_NAME.get(name):
        return number
    if name.isascii() and name.isdigit() and len(name) < 6:
        return from_number(int(name))
    if shaded := _SHADED.fullmatch(name):
        return _shaded(shaded[1], shaded[2])
    inner = _OF.sub("", _EDGES.sub("", name), count=1)
    return from_name(inner) if len(inner) > 2 and len(inner) < len(name) else 0


def _shaded(base: str, shade: str) -> int:
    """`info2` of the data model, `debug-4` and `error+4` of slog."""
    more = int(shade) if shade[0] in "+-" else int(shade) - 1
    return min(max(BY_NAME[base] + more, TRACE), _WORST)


def from_number(level: float, *, bunyan: bool = False) -> int:
    """SeverityNumber of a numeric level; 0 if it is not one. `bunyan` says that the writer counts as pino and bunyan do."""
    if 0 <= level < len(SYSLOG):
        return SYSLOG[int(level)]
    if bunyan or level == _BUNYAN[0][0]:
        return next((number for step, number in _BUNYAN if step <= level <= 100), 0)
    if level < 10:
        return TRACE if level > 0 else 0
    if level > 100:
        return _LOG4J.get(int(level), 0)
    return next((number + min(int(level) - step, 3) for step, number in _PYTHON if step <= level), 0)


def of_status(status: int) -> int:
    """SeverityNumber of a request by the status of its response: from 500 on ERROR, from 400 on WARN, below INFO."""
    return ERROR if status >= 500 else WARN if status >= 400 else INFO


class SeverityCache(dict[str, Level]):
    """Level as written → what it means, without colours; worked out once per spelling and bounded."""

    def __missing__(self, text: str) -> Level:
        """Work one out."""
        level = Level(from_name(text), clean(text))
        if len(self) < 256 and len(text) <= 32:
            self[text] = level
        return level
