"""From a log record to an `ErrorEvent`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.issues.event.error_event import ErrorEvent, LogMessage, Mechanism
from agent.issues.reading.grouping import group_of, groups_itself
from agent.issues.reading.record_exception import HEADER, fatal_exception, is_bare, mechanism_of, read_exception, read_fatal
from agent.issues.reading.record_fields import STACKTRACE, event_id, extra_of, level_name, logger_of, tags_of, text_of, time_of
from agent.issues.reading.rules import is_probe
from agent.issues.reading.subject import titled
from agent.issues.reading.templates import parametrise
from agent.issues.reading.unhandled import unhandled
from agent.names import PROBE_NAME
from agent.parse.exceptions import ExceptionInfo

if TYPE_CHECKING:
    from agent.issues.reading.rules import Rules
    from agent.issues.reading.subject import Subject
    from agent.record import LogRecord

_OWN: Final = {
    "ProbeDown": Mechanism("probe", own=True),
    "LogPattern": Mechanism("log_pattern", own=True),
}


def record_event(record: LogRecord, subject: Subject, rules: Rules) -> ErrorEvent:
    """The error that a record holds."""
    exception = read_exception(record)
    fatal = read_fatal(record) if exception is None else None
    if fatal is not None:
        exception = fatal_exception(fatal)
    bare = exception is not None and is_bare(record, exception)
    text = _message_text(record)
    template, params = parametrise(text)
    service = subject.service_of(record)
    logged = None if bare else unhandled(_logged_text(record, text), exception.frames if exception else ())
    own = _own_exception(record, titled(service, text), rules) if exception is None else None
    known = "" if bare or (exception is not None and not _is_template(record)) else template
    group = (*_probe_of(record), *(group_of(known, exception, rules.in_app) or group_of(template, None)))
    return ErrorEvent(
        event_id=event_id(record, subject),
        time_ns=time_of(record),
        level=level_name(record.severity),
        group=group,
        fingerprint=(own.type, *group) if own else () if fatal is None and groups_itself(exception) else group,
        message=None if bare else LogMessage(template, params, text if params else ""),
        exception=own or exception,
        fatal=fatal,
        mechanism=_OWN[own.type] if own else mechanism_of(record, exception, logged, bare=bare or fatal is not None),
        transaction=logged.transaction if logged else None,
        logger=logger_of(record),
        server_name=subject.server_name,
        service=service,
        tags={**tags_of(record, subject), **(logged.tags if logged else {})},
        extra=extra_of(record),
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
    )


def _message_text(record: LogRecord) -> str:
    """The text before a traceback; all of it if nothing is before."""
    text = text_of(record)
    return text.partition(HEADER)[0].rstrip() or text


def _logged_text(record: LogRecord, text: str) -> str:
    """The message, with the lines between it and the traceback (asyncio's `future: …`)."""
    stack = record.attributes.get(STACKTRACE)
    return f"{text}\n{stack.partition(HEADER)[0]}" if isinstance(stack, str) else text


def _own_exception(record: LogRecord, text: str, rules: Rules) -> ExceptionInfo | None:
    """The exception that stands for an error by the agent's or the user's judgement alone: a probe's change, a pattern's match."""
    if is_probe(record):
        return ExceptionInfo("ProbeDown", "", text, ())
    if record.severity < rules.level:
        return ExceptionInfo("LogPattern", "", text, ())
    return None


def _probe_of(record: LogRecord) -> tuple[str, ...]:
    """The name of a probe's record: two probes are two problems, whatever digits their names have."""
    name = record.origin.attributes.get(PROBE_NAME) if is_probe(record) else None
    return (name,) if isinstance(name, str) else ()


def _is_template(record: LogRecord) -> bool:
    """Whether the body is an event's name and not a sentence with values in it: structured loggers write their levels in lower case."""
    return record.severity_text.islower()
