"""The names under which writers keep time, level, message and ids: one table, best first. Pure.

A name is the same whatever its case and separators: `logLevel`, `LOG_LEVEL` and `log.level` are one. A name that means something else elsewhere
stands in `WEAK`: it counts only beside the names that tell whose it is, where no other name of its kind is there, and for plain values.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_STRONG: Final = {
    "time": (
        "timestamp time ts asctime datetime date eventtime created timeunixnano instant timemillis logtimestamp logtime eventtimestamp"
        " timeiso8601 timelocal sourcerealtimetimestamp realtimetimestamp observedtimestamp observedtimeunixnano"
    ),
    "level": "level severity levelname severitytext loglevel lvl levelno levelvalue logseverity errorseverity severitylabel",
    "body": "renderedmessage formattedmessage event message msg shortmessage body logmessage textpayload messagetemplate",
    "trace": "traceid oteltraceid ddtraceid logginggoogleapiscomtrace xraytraceid xb3traceid",
    "span": "spanid otelspanid ddspanid logginggoogleapiscomspanid xb3spanid",
    "flags": "traceflags oteltracesampled tracesampled logginggoogleapiscomtracesampled",
    "number": "severitynumber",
}
WEAK: Final = (
    ("time", "t", {"lvl", "level", "s"}),  # log15, MongoDB
    ("time", "starttime", {"responsecode"}),  # Envoy
    ("time", "startutc", {"downstreamstatus"}),  # Traefik
    ("level", "status", set[str]()),  # Datadog
    ("level", "priority", {"realtimetimestamp", "syslogidentifier"}),  # the journal
    ("level", "s", {"c"}),  # MongoDB
    ("body", "log", set[str]()),  # Fluent Bit
    ("body", "text", set[str]()),
)
"""(what it may hold, the name, names of which one must be there)."""
CLEF: Final = {"@t": "timestamp", "@l": "level", "@m": "renderedmessage", "@mt": "messagetemplate", "@tr": "traceid", "@sp": "spanid"}
"""Compact Log Event Format (github.com/serilog/serilog-formatting-compact)."""
_SEPARATORS: Final = str.maketrans("", "", "_-.@ /")
_PLACES: Final = {name: (role, place) for role, names in _STRONG.items() for place, name in enumerate(names.split())}


class Roles(NamedTuple):
    """Which of a line's names may hold what, best first."""

    time: tuple[str, ...]
    level: tuple[str, ...]
    body: tuple[str, ...]
    trace: tuple[str, ...]
    span: tuple[str, ...]
    flags: tuple[str, ...]
    number: tuple[str, ...]
    weak: tuple[tuple[str, str], ...]
    """(what it may hold, the name)."""


def bare(name: str) -> str:
    """A name without case and separators, as the tables have it."""
    return CLEF.get(name) or name.translate(_SEPARATORS).lower()


def roles(names: tuple[str, ...]) -> Roles:
    """Sort a line's names by what they may hold."""
    keys = {name: bare(name) for name in names}
    found = sorted(((*_PLACES[key], name) for name, key in keys.items() if key in _PLACES), key=lambda one: one[1])
    strong = {role: tuple(name for own, _, name in found if own == role) for role in _STRONG}
    there = set(keys.values())
    weak = [(role, name) for role, weak, beside in WEAK if not beside or beside & there for name, key in keys.items() if key == weak]
    return Roles(**strong, weak=tuple((role, name) for role, name in weak if not strong[role]))
