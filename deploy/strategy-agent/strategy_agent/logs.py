"""Structured logs: one JSON object per line, to standard output and optionally to a file.

Every line has ``timestamp`` (ISO 8601, UTC), ``level``, ``event`` and ``logger``; inside a span also ``trace_id`` and
``span_id``; with an exception also ``exception``, as a list of typed frames. Libraries that log through the
standard library end up in the same form.
"""

from __future__ import annotations

import logging
import sys
from logging.handlers import WatchedFileHandler
from pathlib import Path

import structlog
from opentelemetry import trace
from structlog.processors import ExceptionRenderer, JSONRenderer, TimeStamper
from structlog.stdlib import BoundLogger, LoggerFactory, ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

LEADING = ("timestamp", "level", "event", "logger")


def add_trace_context(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add the ids of the current span, in the spelling of W3C Trace Context."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def lead_with_what_matters(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put the fields first that every line has, for the sake of human readers."""
    return {**{key: event[key] for key in LEADING if key in event}, **event}


SHARED: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    TimeStamper(fmt="iso", utc=True),
    add_trace_context,
]
"""What every line goes through, whether it comes from structlog or from the standard library."""

FORM: list[Processor] = [
    ProcessorFormatter.remove_processors_meta,
    # Without the local variables: they may hold what must not be written down.
    ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    lead_with_what_matters,
    JSONRenderer(),
]
"""How every line is then written."""


def configure_logging(log_file: Path | None = None) -> None:
    """Send all logs from INFO on to standard output and, if given, to ``log_file``.

    Raises ``OSError`` if that cannot be opened. It is reopened when it was moved away, so that it can be rotated by
    renaming.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if log_file is not None:
        handlers.append(WatchedFileHandler(log_file, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(ProcessorFormatter(foreign_pre_chain=SHARED, processors=FORM))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, ProcessorFormatter.wrap_for_formatter],
        logger_factory=LoggerFactory(),
        wrapper_class=BoundLogger,
    )
