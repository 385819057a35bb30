"""Structured logs: one JSON object per line, to standard output and optionally to a file.

A reader of standard output that stops reading must not stop trading: lines wait in a bounded queue for a thread that
writes them, and what finds no room is dropped and counted. A file takes each line at once.

Every line has ``timestamp`` (ISO 8601, UTC), ``level``, ``event`` and ``logger``; inside a span also ``trace_id`` and
``span_id``; with an exception also ``exception``, as a list of typed frames. Libraries that log through the
standard library end up in the same form.
"""

import logging
import queue
import sys
from collections.abc import Callable
from logging.handlers import QueueHandler, QueueListener, WatchedFileHandler
from pathlib import Path

import structlog
from opentelemetry import trace
from structlog.processors import ExceptionRenderer, JSONRenderer, TimeStamper
from structlog.stdlib import BoundLogger, LoggerFactory, ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger


def add_trace_context(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add the ids of the current span, in the spelling of W3C Trace Context."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def lead_with_what_matters(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put the fields first that every line has, for the sake of human readers."""
    return {**{key: event[key] for key in ("timestamp", "level", "event", "logger") if key in event}, **event}


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


QUEUE_LINES = 10_000
FLUSH = 1.0
"""Seconds that the end waits for a reader of standard output."""


class QueuedOutput(QueueHandler):
    """Writes to standard output from a thread of its own, so that no caller ever waits for the reader."""

    on_drop: Callable[[], object] = staticmethod(lambda: None)
    """Called for each line that standard output did not take in time."""

    def __init__(self) -> None:
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUE_LINES)
        super().__init__(self._lines)
        QueueListener(self._lines, logging.StreamHandler(sys.stdout)).start()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Make the line while the context is there that it is about."""
        return logging.makeLogRecord({"msg": self.format(record)})

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a line, or drop it if the reader is too far behind."""
        try:
            self._lines.put_nowait(record)
        except queue.Full:
            self.on_drop()

    def flush(self) -> None:
        """Wait until everything is written, as long as the reader reads, for a second at most."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, FLUSH)


def configure_logging(log_file: Path | None = None) -> None:
    """Send all logs from INFO on to standard output and, if given, to ``log_file``.

    Raises ``OSError`` if that cannot be opened. It is reopened when it was moved away, so that it can be rotated by
    renaming.
    """
    handlers: list[logging.Handler] = [QueuedOutput()]
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
