"""Named fields of any structured line → the fields of a record: for JSON, logfmt and all that has names. `names` has the table of names.

A field that is understood is taken out of the attributes; the rest keep their names and types. What is not understood (a time that is not one,
a shortened trace id) stays an attribute, so that nothing is lost by a wrong guess. A span id counts only beside a trace id, as the data model has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from agent.parse import severity, shapes, trace_context
from agent.parse.limits import MAX_ATTRIBUTES
from agent.parse.names import Roles, bare, roles
from agent.parse.parsed import Parsed
from agent.parse.severity import Level
from agent.parse.structured_errors import error_attributes
from agent.parse.terminal import clean
from agent.parse.timestamps import parse_time, yearless
from agent.record import Drop

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.record import Value

    Identify = Callable[[Value], bytes | None]

T = TypeVar("T")

PARENT: Final = "traceparent"
_EXPECTED: Final = frozenset(("timestamp", "time", "ts", "asctime"))
"""Names that hold nothing but a time: what is not one is counted."""
_STATUSES: Final = frozenset(
    ("emerg", "emergency", "alert", "crit", "critical", "fatal", "error", "err", "warn", "warning", "notice", "info", "debug", "trace")
)
"""The values of a field named `status` that are Datadog's level."""
_REQUESTS: Final = frozenset(("request", "requestmethod", "method", "httprequestmethod", "httpmethod", "verb"))
_RESPONSES: Final = ("status", "responsecode", "httpresponsestatuscode", "downstreamstatus", "statuscode", "httpstatus")
"""Names of a request and of the status of its response, without separators: nginx, Envoy, OpenTelemetry, Traefik."""
_DIGITS: Final = frozenset("01234567")
_MONGODB: Final = frozenset(("F", "E", "W", "I", "D1", "D2", "D3", "D4", "D5"))
_LONGEST: Final = 4096
"""Names of more letters together are not a habit and not worth the memory."""
_BUNYAN_MARKS: Final = ("pid", "hostname", "v")
_PINO: Final = frozenset(("level", "time", "msg"))

levels: Final = severity.SeverityCache()
NO_LEVEL: Final = Level(0, "")


class Plan(NamedTuple):
    """Where the well-known fields stand in all lines with the same names: worked out once per set of names."""

    time: str | None
    level: str | None
    body: str | None
    trace: str | None
    span: str | None
    plain: bool
    """Whether time, level and body are there, and no other field than these five matters."""
    error: str | None
    """The name that may hold an exception as a list of objects."""
    trace_of: Identify
    span_of: Identify
    bunyan: bool
    """Whether levels are counted as pino and bunyan do."""
    sure: bool
    """Whether no other field may hold the level."""
    roles: Roles
    parent: bool
    unwraps: tuple[Callable[[dict[str, Value]], dict[str, Value]], ...]


def plan(names: tuple[str, ...]) -> Plan:
    """The plan for lines with these names: per field the first candidate that is there."""
    there = frozenset(names)
    found = roles(names)
    unwraps = shapes.marks(there, has_body=bool(found.body))
    complete = bool(found.time and found.level and found.body) and len(names) <= MAX_ATTRIBUTES
    special = (
        found.flags or found.number or PARENT in there or not there.isdisjoint(("@x", "Exception")) or any(map(shapes.is_deep, unwraps))
    )
    trace = _first(found.trace)
    return Plan(
        _first(found.time),
        _first(found.level),
        _first(found.body),
        trace,
        _first(found.span) if trace else None,
        complete and not special,
        "exception" if "exception" in there else None,
        trace_context.datadog_trace_id if trace and bare(trace).startswith("dd") else trace_context.trace_id,
        trace_context.datadog_span_id if found.span and bare(found.span[0]).startswith("dd") else trace_context.span_id,
        not there.isdisjoint(_BUNYAN_MARKS) or there >= _PINO,
        len(found.level) == 1 and not found.number,
        found,
        PARENT in there,
        unwraps,
    )


class Plans(dict[tuple[str, ...], Plan]):
    """Names in their order → plan; emptied when a writer invents more and more names."""

    def __missing__(self, names: tuple[str, ...]) -> Plan:
        """Work one out."""
        made = plan(names)
        if sum(map(len, names)) > _LONGEST:
            return made
        if len(self) >= 512:
            self.clear()
        self[names] = made
        return made


plans: Final = Plans()


def _first(names: tuple[str, ...]) -> str | None:
    return names[0] if names else None


def promote(fields: dict[str, Value], now_ns: int = 0) -> Parsed:
    """Make a record of the fields, which are used up: what remains of them are the attributes. `now_ns` helps times without a year."""
    made = plans[tuple(fields)]
    if made.unwraps:
        for unwrap in made.unwraps:
            fields = unwrap(fields)
        made = plans[tuple(fields)]
    found = made.roles
    weak = {role: tuple(name for own, name in found.weak if own == role) for role in ("time", "level", "body")} if found.weak else {}
    is_clef = "@t" in fields
    time_ns = _time(fields, found.time or weak.get("time", ()), now_ns)
    level = _level(fields, made, weak.get("level", ()))
    if level is NO_LEVEL:
        level = Level(severity.INFO if is_clef else _of_status(fields), "")  # of CLEF "absence implies Information"
    body = _body(fields, found.body or tuple(name for name in weak.get("body", ()) if isinstance(fields[name], str)))
    trace, span, flags = _trace_context(fields, made)
    reasons = (Drop.BAD_TIMESTAMP,) if not time_ns and any(bare(name) in _EXPECTED for name in found.time) else ()
    return Parsed(body, error_attributes(fields), time_ns, level.number, level.text, trace, span, flags, 0, reasons)


def take(fields: dict[str, Value], names: tuple[str, ...], understand: Callable[[Value], T | None]) -> T | None:
    """Take out the first of the named fields that is understood."""
    for name in names:
        if name in fields and (meaning := understand(fields[name])) is not None:
            del fields[name]
            return meaning
    return None


def _time(fields: dict[str, Value], names: tuple[str, ...], now_ns: int) -> int:
    """The first of the named fields that is a time; such without a year come last."""
    for name in names:
        if time_ns := parse_time(fields.get(name)):
            del fields[name]
            return time_ns
    return take(fields, names, lambda value: yearless(value, now_ns) or None if isinstance(value, str) and now_ns else None) or 0


def _body(fields: dict[str, Value], names: tuple[str, ...]) -> Value:
    """The first text among the candidates, or else the first value of any type."""
    present = [name for name in names if fields.get(name) is not None]
    name = next((name for name in present if isinstance(fields[name], str)), present[0] if present else None)
    value = None if name is None else fields.pop(name)
    return clean(value) if isinstance(value, str) and "\x1b" in value else value


def _level(fields: dict[str, Value], made: Plan, weak: tuple[str, ...]) -> Level:
    """The level: the data model's number, else a name that is known, else a number, else a name that is not known."""
    names = made.roles.level
    if made.sure and isinstance(word := fields[names[0]], str):
        del fields[names[0]]
        return levels[word]
    if made.roles.number and (number := take(fields, made.roles.number, _severity_number)):
        text = take(fields, names, lambda value: value if isinstance(value, str) else None)
        return Level(number, clean(text) if text else "")
    if not names:
        return take(fields, weak, _weak_level) or NO_LEVEL
    worded = None if made.sure else take(fields, names, lambda value: _known(value, words=True, bunyan=made.bunyan))
    known = worded or take(fields, names, lambda value: _known(value, words=False, bunyan=made.bunyan))
    return known or take(fields, names, lambda value: as_level(value, bunyan=made.bunyan)) or NO_LEVEL


def _known(value: Value, *, words: bool, bunyan: bool) -> Level | None:
    level = as_level(value, bunyan=bunyan) if isinstance(value, str) or not words else None
    return level if level and level.number else None


def as_level(value: Value, *, bunyan: bool = False) -> Level | None:
    """A level from its name (any name: an unknown one is kept as text) or its number."""
    if isinstance(value, str):
        return levels[value]
    if isinstance(value, dict):  # log4j 2: {"standardLevel": "INFO", "intLevel": 400, …}; log4net, Log4j 1: {"name": …}
        name = value.get("standardLevel") or value.get("name")
        return levels[name] if isinstance(name, str) and len(value) <= 4 else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    number = severity.from_number(value, bunyan=bunyan)
    return Level(number, str(value)) if number else None


def _weak_level(value: Value) -> Level | None:
    """A level under a name that mostly holds something else: a usual word, or one syslog digit."""
    if not isinstance(value, str):
        return None
    if value in _DIGITS:
        return Level(severity.SYSLOG[int(value)], value)
    if value.lower() in _STATUSES or value in _MONGODB:
        return Level(levels[value[:1] if value in _MONGODB else value].number, value)
    return None


def _severity_number(value: Value) -> int | None:
    """A SeverityNumber of the data model, as a number, its digits, or the name that protobuf has for it."""
    if isinstance(value, str):
        name = value.removeprefix("SEVERITY_NUMBER_").removeprefix("SeverityNumber.")
        value = int(name) if name.isascii() and name.isdigit() and len(name) < 3 else severity.from_name(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 24 else None


def _of_status(fields: dict[str, Value]) -> int:
    """The severity of a request in an access log, by its status; 0 if the fields are not of one."""
    said = {bare(name): value for name, value in fields.items()}
    if _REQUESTS.isdisjoint(said):
        return 0
    status = next((said[name] for name in _RESPONSES if name in said), None)
    if isinstance(status, str) and status.isascii() and status.isdigit() and len(status) == 3:
        status = int(status)
    return severity.of_status(status) if isinstance(status, int) and 100 <= status < 600 else 0


def _trace_context(fields: dict[str, Value], made: Plan) -> tuple[bytes, bytes, int]:
    trace = take(fields, made.roles.trace, made.trace_of)
    if trace is None and isinstance(fields.get("trace"), str):  # Google Cloud's name
        trace = take(fields, ("trace",), trace_context.trace_id)
    parent = take(fields, (PARENT,), trace_context.traceparent) if made.parent and trace is None else None
    span = take(fields, made.roles.span, made.span_of) if trace or parent else None
    flags = take(fields, made.roles.flags, trace_context.trace_flags) if made.roles.flags else None
    if parent:
        return parent.trace_id, span or parent.span_id, parent.flags
    return trace or b"", span or b"", flags or 0
