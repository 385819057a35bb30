"""Parts of an event that the fields of one record give: id, level, logger, tags, extra data, breadcrumb. Pure."""

from __future__ import annotations

import uuid
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final

from agent.issues.event.error_event import Breadcrumb
from agent.issues.reading.grouping import NAMESPACE
from agent.names import EXCEPTION_STACKTRACE, LOG_FILE_PATH, LOG_STREAM, PROBE_NAME, PROBE_TARGET, SERVICE_NAME
from agent.record import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.issues.reading.subject import Subject
    from agent.record import LogRecord, Value

STACKTRACE: Final = EXCEPTION_STACKTRACE
EXCEPTION_KEYS: Final = frozenset(
    {"exception", "exc_info", "exc_text", "error.stack_trace", "error.stack", "stack_trace", "traceback", STACKTRACE, "record", "text"}
)
"""Fields that may hold an exception."""
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
"""Fields that hold a logger's name, the surest first."""
LONGEST_LOGGER: Final = 128
LONGEST_BREADCRUMB: Final = 512
"""Characters of a breadcrumb's message."""
MAX_DATA: Final = 20
LONGEST_DATA: Final = 256
"""Fields of a breadcrumb, and characters of each."""
MAX_EXTRA: Final = 50
LONGEST_EXTRA: Final = 2048
"""Fields of an event's extra data, and characters of each."""
_LEVELS: Final = ((Severity.FATAL, "fatal"), (Severity.ERROR, "error"), (Severity.WARN, "warning"), (Severity.INFO, "info"))


@lru_cache(maxsize=64)
def level_name(severity: int) -> str:
    """Sentry's name of a SeverityNumber; of 0: `error`."""
    return next((name for least, name in _LEVELS if severity >= least), "debug" if severity else "error")


def event_id(record: LogRecord, subject: Subject, purpose: str = "") -> str:
    """The id of a record's event: the same whenever that record is read, and different on another host or for another purpose."""
    place = "\0".join((subject.service, subject.server_name, record.origin.key, str(record.offset), str(record.time_ns), purpose))
    return uuid.uuid5(NAMESPACE, place).hex


def time_of(record: LogRecord) -> int:
    """When it happened, nanoseconds since the Unix epoch; when it was read, if the record has no time."""
    return record.time_ns or record.observed_ns


def text_of(record: LogRecord) -> str:
    """The body as text; "" if there is none."""
    return record.body if isinstance(record.body, str) else "" if record.body is None else str(record.body)


def stream_of(record: LogRecord) -> str:
    """The stream that the workload wrote to, as the source or, line by line, a container's runtime names it."""
    return str(record.origin.attributes.get(LOG_STREAM) or record.attributes.get(LOG_STREAM, ""))


def logger_of(record: LogRecord) -> str:
    """The logger's name, if a field holds it, flat or nested as in ECS."""
    attributes = record.attributes
    nested = attributes.get("log")
    named = (*(attributes.get(key) for key in LOGGERS), nested.get("logger") if isinstance(nested, dict) else None)
    return next((name[:LONGEST_LOGGER] for name in named if isinstance(name, str) and name), "")


def tags_of(record: LogRecord, subject: Subject) -> dict[str, str]:
    """The tags to search by; how many different ones there are depends on the configuration, not on the data."""
    service = subject.service_of(record)
    tags = {**dict(subject.tags if service == subject.service else ()), SERVICE_NAME: service, LOG_STREAM: stream_of(record)}
    of_origin = {key: record.origin.attributes.get(key) for key in (LOG_FILE_PATH, PROBE_NAME, PROBE_TARGET)}
    return tags | {key: value for key, value in of_origin.items() if isinstance(value, str)}


def extra_of(record: LogRecord) -> dict[str, Value]:
    """The record's own fields without those that other fields of the event hold; bounded."""
    names = [key for key in record.attributes if key not in EXCEPTION_KEYS and not key.startswith("exception.")]
    return {name: _bounded(record.attributes[name], LONGEST_EXTRA) for name in names[:MAX_EXTRA]}


def breadcrumb_of(record: LogRecord) -> Breadcrumb:
    """The record as something that went before an error."""
    level, logger = level_name(record.severity or Severity.INFO), logger_of(record)
    body = record.body if isinstance(record.body, str) else str(record.body)
    return Breadcrumb(time_of(record), level, logger or "log", body[:LONGEST_BREADCRUMB], dict(islice(_data(record), MAX_DATA)))


def _data(record: LogRecord) -> Iterator[tuple[str, Value]]:
    for name, value in record.attributes.items():
        if name not in LOGGERS and name not in EXCEPTION_KEYS:
            yield name, _bounded(value, LONGEST_DATA)


def _bounded(value: Value, limit: int) -> Value:
    if isinstance(value, str):
        return value[:limit]
    if isinstance(value, list | dict | bytes) and len(str(value)) > limit:
        return str(value)[:limit]
    return value
