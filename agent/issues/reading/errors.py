"""Which records are errors, and what they tell of: a log record becomes an `ErrorEvent`. Pure.

A record is an error if its level says so, if it tells of an exception and has no level, or if a pattern of the user's finds it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final

from agent.columns import unusual
from agent.event_names import PROBE_CHANGED
from agent.issues.event.error_event import Crumb, ErrorEvent, Mechanism, Message
from agent.issues.event.frames import main_file
from agent.issues.reading.grouping import NAMESPACE, group_of, groups_itself
from agent.issues.reading.templates import parametrise
from agent.issues.reading.unhandled import unhandled
from agent.parse.exceptions import ExceptionInfo
from agent.parse.limits import TRUNCATED
from agent.parse.remote_traceback import unfold_remote
from agent.parse.traceback import parse_fatal_error, parse_traceback
from agent.parse.traceback_json import from_structured
from agent.record import LogRecord, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from agent.issues.reading.unhandled import Unhandled
    from agent.parse.exceptions import FatalError
    from agent.parse.patterns import Compiled
    from agent.record import Value

STACKTRACE: Final = "exception.stacktrace"
STATUS: Final = "http.response.status_code"
LOGGERS: Final = (
    "logger",
    "logger_name",
    "loggerName",
    "LoggerName",
    "Logger",
    "log.logger",
    "SourceContext",
    "Category",
    "@module",
    "name",
    "component",
)
LONGEST_LOGGER: Final = 128
SHORT: Final = 512
"""Characters of a breadcrumb's message."""
MAX_DATA: Final = 20
LONGEST_DATA: Final = 256
"""Fields of a breadcrumb, and characters of each."""
MAX_EXTRA: Final = 50
MAX_TAGS: Final = 30
"""Of the resource's attributes: an event has room for some more than these."""
_HAVE_A_PLACE: Final = frozenset(
    {
        *("service.name", "service.version", "service.instance.id", "host.name", "os.type"),
        *("deployment.environment", "deployment.environment.name"),
    }
)
"""Attributes of the resource that an event tells elsewhere."""
LONGEST_EXTRA: Final = 2048
_EXCEPTION_KEYS: Final = frozenset(
    {"exception", "exc_info", "exc_text", "error.stack_trace", "error.stack", "stack_trace", "traceback", STACKTRACE, "record", "text"}
)
_LEVELS: Final = ((Severity.FATAL, "fatal"), (Severity.ERROR, "error"), (Severity.WARN, "warning"), (Severity.INFO, "info"))
_OWN: Final = {
    "ProbeDown": Mechanism("probe", own=True),
    "LogPattern": Mechanism("log_pattern", own=True),
}
_ELSEWHERE: Final = {"Exception in thread": "threading", "Exception ignored": "unraisablehook", "Process ": "multiprocessing"}
"""How the report of an exception begins that does not end the program → Sentry's name of what reports it."""
_DUMPS: Final = ("Current thread 0x", "Thread 0x", "Stack (most recent call first)")
"""How faulthandler begins where nobody died: the report of a death says so first."""
_HEADER: Final = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is taken for an error, and whose code is the workload's own."""

    level: int = Severity.ERROR
    """Records from this SeverityNumber on are errors."""
    pattern: Compiled | None = None
    """What makes a record an error whatever its level."""
    probes: bool = True
    """Whether a probe's change of state is one."""
    in_app: tuple[str, ...] = ()
    """Prefixes of paths or modules."""

    def among(self, records: Sequence[LogRecord]) -> Iterator[tuple[int, LogRecord]]:
        """Those that may be errors, with their places: of a block, without making records of the others."""
        return unusual(records, bytes(range(1, self.level)) if self.pattern is None else b"")

    def concerns(self, record: LogRecord) -> bool:
        """Whether a record is an error. Called for every record, so the usual answer comes first."""
        if record.severity >= self.level and not is_access(record):
            return not is_dump(record) and (self.probes or not is_probe(record))
        if record.severity == 0 and not _EXCEPTION_KEYS.isdisjoint(record.attributes) and read_exception(record) is not None:
            return True
        return self.pattern is not None and isinstance(record.body, str) and self.pattern.search(record.body) is not None


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom the errors are about."""

    service: str
    server_name: str
    tags: tuple[tuple[str, str], ...] = ()
    """What else the resource says of the service."""

    def of(self, record: LogRecord) -> str:
        """The service that a record is about: it may say so itself (`service.name`, flat or nested as in ECS)."""
        nested = record.attributes.get("service")
        named = (
            record.attributes.get("service.name"),
            nested.get("name") if isinstance(nested, dict) else None,
            record.origin.attributes.get("service.name"),
        )
        return next((name[:LONGEST_LOGGER] for name in named if isinstance(name, str) and name), self.service)


@lru_cache(maxsize=64)
def level_name(severity: int) -> str:
    """Sentry's name of a SeverityNumber; of none: error."""
    return next((name for least, name in _LEVELS if severity >= least), "debug" if severity else "error")


def event_id(record: LogRecord, subject: Subject, purpose: str = "") -> str:
    """The id of what a record tells of: the same whenever the same record is read, and on no other host."""
    place = "\0".join((subject.service, subject.server_name, record.origin.key, str(record.offset), str(record.time_ns), purpose))
    return uuid.uuid5(NAMESPACE, place).hex


def read_exception(record: LogRecord) -> ExceptionInfo | None:
    """The exception a record tells of: in its fields, or in its text."""
    found = from_structured(record.attributes)
    if found is not None and not found.frames and not found.type[:1].isupper():
        found = None  # a field of such a name with any word in it, as in `"exception": "none"`
    if found is None and isinstance(record.body, str) and _HEADER in record.body:
        found = parse_traceback(record.body)
    return found and unfold_remote(found)


def read_fatal(record: LogRecord) -> FatalError | None:
    """The death of an interpreter a record tells of."""
    for text in (record.attributes.get(STACKTRACE), record.body):
        if isinstance(text, str) and (found := parse_fatal_error(text)) is not None:
            return found
    return None


def to_event(record: LogRecord, subject: Subject, rules: Rules) -> ErrorEvent:
    """The error that a record tells of."""
    exception = read_exception(record)
    fatal = read_fatal(record) if exception is None else None
    if fatal is not None:
        exception = fatal_exception(fatal)
    alone = exception is not None and _is_alone(record, exception)
    text = record.body if isinstance(record.body, str) else "" if record.body is None else str(record.body)
    text = text.partition(_HEADER)[0].rstrip() or text
    template, params = parametrise(text)
    service = subject.of(record)
    logged = None if alone else unhandled(_said(record, text), exception.frames if exception else ())
    found = own_finding(record, entitled(service, text), rules) if exception is None else None
    known = "" if alone or (exception is not None and not _is_template(record)) else template
    group = (*named_by(record), *(group_of(known, exception, rules.in_app) or group_of(template, None)))
    return ErrorEvent(
        event_id=event_id(record, subject),
        time_ns=record.time_ns or record.observed_ns,
        level=level_name(record.severity),
        group=group,
        fingerprint=(found.type, *group) if found else () if fatal is None and groups_itself(exception) else group,
        message=None if alone else Message(template, params, text if params else ""),
        exception=found or exception,
        fatal=fatal,
        mechanism=_OWN[found.type] if found else mechanism_of(record, exception, logged, alone=alone or fatal is not None),
        transaction=logged.transaction if logged else None,
        logger=logger_of(record),
        server_name=subject.server_name,
        service=service,
        tags={**tags_of(record, subject), **(logged.tags if logged else {})},
        extra=extra_of(record),
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
    )


def _said(record: LogRecord, text: str) -> str:
    """A logger's words: those of the message, and those that stand between it and the traceback (asyncio's `future: …`)."""
    stack = record.attributes.get(STACKTRACE)
    return f"{text}\n{stack.partition(_HEADER)[0]}" if isinstance(stack, str) else text


def entitled(service: str, text: str) -> str:
    """The message of an issue that the agent makes itself: its title says which service it is about."""
    return f"{service}: {text}" if service else text


def own_finding(record: LogRecord, text: str, rules: Rules) -> ExceptionInfo | None:
    """The exception that stands for what is an error only by our or the user's judgement: a probe's change, the find of a pattern."""
    if is_probe(record):
        return ExceptionInfo("ProbeDown", "", text, ())
    if record.severity < rules.level:
        return ExceptionInfo("LogPattern", "", text, ())
    return None


def named_by(record: LogRecord) -> tuple[str, ...]:
    """The probe of a probe's record: two probes are two problems, whatever digits their names have."""
    name = record.origin.attributes.get("probe.name") if is_probe(record) else None
    return (name,) if isinstance(name, str) else ()


def is_probe(record: LogRecord) -> bool:
    """Whether a record tells of a probe's change of state, and is ours."""
    return record.attributes.get("event.name") == PROBE_CHANGED and record.origin.key.startswith("probe:")


def is_dump(record: LogRecord) -> bool:
    """Whether a record is a stack that somebody has asked for (`faulthandler.register`, `dump_traceback`): nobody died of that."""
    stack = record.attributes.get(STACKTRACE)
    return isinstance(stack, str) and stack.startswith(_DUMPS) and not record.severity_text


def is_access(record: LogRecord) -> bool:
    """Whether a record is a line of an access log, whose level is that of its status: what made the request fail is said elsewhere."""
    return STATUS in record.attributes and not record.severity_text and STACKTRACE not in record.attributes


def _is_template(record: LogRecord) -> bool:
    """Whether the body is the event's name and not a sentence with values in it: structured loggers write their levels in small letters."""
    return record.severity_text.islower()


def fatal_exception(fatal: FatalError) -> ExceptionInfo:
    """The exception that stands for an interpreter's death, with the stack of the thread that died."""
    thread = fatal.current or (fatal.threads[0] if fatal.threads else None)
    return ExceptionInfo("FatalPythonError", "", fatal.reason or "(no reason given)", thread.frames if thread else ())


def mechanism_of(record: LogRecord, exception: ExceptionInfo | None, logged: Unhandled | None, *, alone: bool) -> Mechanism:
    """A traceback without a logger's words is what the interpreter prints of an exception that nothing caught.

    On stdout it is a print of the program's own, unless it goes down to the program itself: then it came there by `2>&1`.
    """
    if exception is None:
        return Mechanism("logging")
    if alone and (_stream(record) != "stdout" or main_file(exception.frames) is not None):
        return Mechanism(next((name for start, name in _ELSEWHERE.items() if _begins(record, start)), "excepthook"), handled=False)
    return Mechanism(logged.mechanism, handled=False) if logged else Mechanism("logging")


def _begins(record: LogRecord, start: str) -> bool:
    """Whether the text of an exception begins so."""
    texts = (record.body, record.attributes.get(STACKTRACE))
    return any(isinstance(text, str) and text.startswith(start) for text in texts)


def _stream(record: LogRecord) -> str:
    """Which of its streams the workload wrote to, as the source or, of each line, a container's runtime tells it."""
    return str(record.origin.attributes.get("log.iostream") or record.attributes.get("log.iostream", ""))


def _is_alone(record: LogRecord, exception: ExceptionInfo) -> bool:
    """Whether the record is a bare traceback, without words of a logger's."""
    if record.severity_text or STACKTRACE not in record.attributes or not isinstance(record.body, str):
        return False
    title = f"{exception.qualified}: {exception.value}".removesuffix(": ")
    same = record.body[:SHORT] == title[:SHORT] if TRUNCATED in record.attributes else record.body == title  # they are cut apart
    return same or record.body.startswith((_HEADER, "Exception in thread", "Exception ignored"))


def ends_the_interpreter(record: LogRecord, event: ErrorEvent) -> bool:
    """Whether an exception that nobody caught was the main thread's: others end their thread, or a process of their own.

    Right below a logger's error nobody can say whether that wrote the traceback: one down to the program itself explains an end all the same.
    """
    if event.exception is None or event.fatal is not None:
        return False
    frames = event.exception.frames
    if event.mechanism.type != "excepthook" and (STACKTRACE not in record.attributes or main_file(frames) is None):
        return False
    elsewhere = any(_begins(record, start) for start in _ELSEWHERE)
    return not elsewhere and not (frames and frames[0].function.startswith("_bootstrap"))


def logger_of(record: LogRecord) -> str:
    """The logger's name, where a field tells it, flat or nested as in ECS."""
    attributes = record.attributes
    for key in LOGGERS:
        found = attributes.get(key)
        if isinstance(found, str) and found:
            return found[:LONGEST_LOGGER]
    nested = attributes.get("log")
    found = nested.get("logger") if isinstance(nested, dict) else None
    return found[:LONGEST_LOGGER] if isinstance(found, str) else ""


def tags_of(record: LogRecord, subject: Subject) -> dict[str, str]:
    """What one may want to search by: bounded by configuration, not by data."""
    service = subject.of(record)
    known = {**dict(subject.tags if service == subject.service else ()), "service.name": service, "log.iostream": _stream(record)}
    for key in ("log.file.path", "probe.name", "probe.target"):
        value = record.origin.attributes.get(key)
        if isinstance(value, str):
            known[key] = value
    return known


def extra_of(record: LogRecord) -> dict[str, Value]:
    """The record's own fields, but for those that the event has a place for; bounded."""
    names = [key for key in record.attributes if key not in _EXCEPTION_KEYS and not key.startswith("exception.")]
    return {name: _bounded(record.attributes[name]) for name in names[:MAX_EXTRA]}


def _bounded(value: Value, limit: int = LONGEST_EXTRA) -> Value:
    if isinstance(value, str):
        return value[:limit]
    if isinstance(value, list | dict | bytes) and len(str(value)) > limit:
        return str(value)[:limit]
    return value


def crumb_of(record: LogRecord) -> Crumb:
    """A record as something that went before an error."""
    body = record.body if isinstance(record.body, str) else str(record.body)
    level, logger = level_name(record.severity or Severity.INFO), logger_of(record)
    return Crumb(record.time_ns or record.observed_ns, level, logger or "log", body[:SHORT], dict(islice(_fields(record), MAX_DATA)))


def _fields(record: LogRecord) -> Iterator[tuple[str, Value]]:
    """The fields that a breadcrumb has no place for."""
    for name, value in record.attributes.items():
        if name not in LOGGERS and name not in _EXCEPTION_KEYS:
            yield name, _bounded(value, LONGEST_DATA)


def resource_subject(resource: Mapping[str, str], hostname: str) -> Subject:
    """Whom the errors are about: the workload's host is what its resource says; ours only if it can be no other."""
    names = ("host.name", "k8s.pod.name", "container.id", "service.instance.id")
    tags = tuple((name, value) for name, value in resource.items() if name not in _HAVE_A_PLACE)[:MAX_TAGS]
    return Subject(resource.get("service.name", ""), next((resource[name] for name in names if resource.get(name)), hostname), tags)
