"""Named fields of any structured line → the fields of a record. One table for structlog, stdlib JSON, loguru, pino, bunyan, ECS and logfmt.

A field that is understood is taken out of the attributes; the rest keep their names and types. What is not understood (a time that is none,
a decimal trace id) stays an attribute, so that nothing is lost by a wrong guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from agent.parse import severity, trace_context
from agent.parse.limits import MAX_ATTRIBUTES
from agent.parse.parsed import Parsed
from agent.parse.timestamps import parse_time
from agent.record import Drop

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.record import Value

T = TypeVar("T")

TIME: Final = ("timestamp", "time", "@timestamp", "ts", "asctime", "datetime", "date", "eventTime", "created")
LEVEL: Final = ("level", "severity", "levelname", "log.level", "lvl", "log_level", "loglevel", "level_name", "levelno")
BODY: Final = ("event", "message", "msg", "@message", "short_message", "body")
TRACE: Final = ("trace_id", "traceId", "traceid", "trace.id", "otelTraceID", "TraceId")
SPAN: Final = ("span_id", "spanId", "spanid", "span.id", "otelSpanID", "SpanId")
FLAGS: Final = ("trace_flags", "traceFlags", "TraceFlags")
PARENT: Final = "traceparent"
_NESTED: Final = ("record", "log", "trace", "span")
"""Names below which loguru and ECS keep a level, a message or an id."""
_LONGEST: Final = 4096
"""Names of more letters together are nobody's habit and not worth the memory."""
_BUNYAN_MARKS: Final = ("pid", "hostname", "v")

levels: Final = severity.SeverityCache()


class Level(NamedTuple):
    """A level that was understood."""

    number: int
    text: str


NO_LEVEL: Final = Level(0, "")


class Present(NamedTuple):
    """Which of the candidates for each well-known field are there, in the order in which they are tried."""

    time: tuple[str, ...]
    level: tuple[str, ...]
    body: tuple[str, ...]
    trace: tuple[str, ...]
    span: tuple[str, ...]
    flags: tuple[str, ...]
    nested: bool
    """Whether loguru's or ECS's objects may be among them."""
    bunyan: bool
    """Whether levels are counted as pino and bunyan do."""


class Plan(NamedTuple):
    """Where the well-known fields stand in all lines with the same names: worked out once per set of names."""

    time: str | None
    level: str | None
    body: str | None
    trace: str | None
    span: str | None
    plain: bool
    """Whether time, level and body are there, and nothing but these five is to be looked at."""
    present: Present


def plan(names: tuple[str, ...]) -> Plan:
    """The plan for lines with these names: per field the first candidate that is there."""
    there = frozenset(names)
    time, level, body, trace, span, flags = (
        tuple(name for name in candidates if name in there) for candidates in (TIME, LEVEL, BODY, TRACE, SPAN, (*FLAGS, PARENT))
    )
    nested = not there.isdisjoint(_NESTED)
    plain = bool(time and level and body) and not flags and not nested and len(names) <= MAX_ATTRIBUTES
    present = Present(time, level, body, trace, span, flags, nested, not there.isdisjoint(_BUNYAN_MARKS))
    return Plan(_first(time), _first(level), _first(body), _first(trace), _first(span), plain, present)


class Plans(dict[tuple[str, ...], Plan]):
    """Names in their order → plan; started afresh when a writer makes up ever new names."""

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


def promote(fields: dict[str, Value]) -> Parsed:
    """Make a record of the fields, which are used up: what remains of them are the attributes."""
    present = plans[tuple(fields)].present
    if present.nested:
        fields = _from_loguru(fields)
        present = plans[tuple(fields)].present
    time_ns = take(fields, present.time, lambda value: parse_time(value) or None) or 0
    level = take(fields, present.level, lambda value: as_level(value, bunyan=present.bunyan)) or NO_LEVEL
    if present.nested and level is NO_LEVEL:
        level = _ecs_level(fields)
    body = _body(fields, present.body)
    trace, span, flags = _trace_context(fields, present)
    doubtful = not time_ns and any(name in TIME[:5] for name in present.time)
    return Parsed(body, fields, time_ns, level.number, level.text, trace, span, flags, reasons=(Drop.BAD_TIMESTAMP,) * doubtful)


def take(fields: dict[str, Value], names: tuple[str, ...], understand: Callable[[Value], T | None]) -> T | None:
    """Take out the first of the named fields that is understood."""
    for name in names:
        if name in fields and (meaning := understand(fields[name])) is not None:
            del fields[name]
            return meaning
    return None


def _body(fields: dict[str, Value], names: tuple[str, ...]) -> Value:
    """The first text among the candidates, or else the first value of any type."""
    present = [name for name in names if fields[name] is not None]
    name = next((name for name in present if isinstance(fields[name], str)), present[0] if present else None)
    return None if name is None else fields.pop(name)


def as_level(value: Value, *, bunyan: bool = False) -> Level | None:
    """A level from its name (any name: an unknown one is kept as text) or its number."""
    if isinstance(value, str):
        return Level(levels[value], value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    number = severity.from_number(value, bunyan=bunyan)
    return Level(number, str(value)) if number else None


def _trace_context(fields: dict[str, Value], present: Present) -> tuple[bytes, bytes, int]:
    trace = take(fields, present.trace, trace_context.trace_id)
    span = take(fields, present.span, trace_context.span_id)
    if present.nested:
        trace = trace or _ecs_id(fields, "trace", trace_context.trace_id)
        span = span or _ecs_id(fields, "span", trace_context.span_id)
    if not present.flags:
        return trace or b"", span or b"", 0
    flags = take(fields, FLAGS, trace_context.trace_flags) or 0
    parent = None if trace else take(fields, (PARENT,), trace_context.traceparent)
    return (parent.trace_id, span or parent.span_id, parent.flags) if parent else (trace or b"", span or b"", flags)


def _ecs_level(fields: dict[str, Value]) -> Level:
    """The level of `{"log": {"level": …}}`."""
    log = fields.get("log")
    level = take(log, ("level",), as_level) if isinstance(log, dict) else None
    if level and not log:
        del fields["log"]
    return level or NO_LEVEL


def _ecs_id(fields: dict[str, Value], name: str, understand: Callable[[Value], bytes | None]) -> bytes | None:
    """The id of `{"trace": {"id": …}}`."""
    holder = fields.get(name)
    identifier = take(holder, ("id",), understand) if isinstance(holder, dict) else None
    if identifier and not holder:
        del fields[name]
    return identifier


def _from_loguru(fields: dict[str, Value]) -> dict[str, Value]:
    """The fields of what `loguru` writes with `serialize=True`, under the names that everybody uses; other fields unchanged."""
    record = fields.get("record")
    if not isinstance(record, dict) or "message" not in record or not isinstance(record.get("level"), dict):
        return fields
    level, time = record["level"], record.get("time")
    flat: dict[str, Value] = {**record, **{name: value for name, value in fields.items() if name not in ("record", "text")}}
    flat["level"] = level.get("name") if isinstance(level, dict) else level
    flat["time"] = (time.get("repr") or time.get("timestamp")) if isinstance(time, dict) else time
    text = fields.get("text")
    if record.get("exception") and isinstance(text, str):
        flat["exception.stacktrace"] = text
    return flat
