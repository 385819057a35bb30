"""The agent's own log, on standard error: JSON for collectors, readable for people. `telemetry.py` defines what is written."""

from __future__ import annotations

import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING

import orjson
import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping


class Level(IntEnum):
    """The numbers of Python's `logging`, so that they compare with those of other libraries."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


def configure_logging(level: Level = Level.INFO, *, as_json: bool | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Send our own log to standard error: JSON, or readable if that is a terminal and `as_json` is None; colours unless `NO_COLOR`.

    Every line carries `agent=outrider`: a collector can distinguish it from the workload's log by that.
    """
    readable = sys.stderr.isatty() if as_json is None else not as_json
    colours = readable and sys.stderr.isatty() and not environ.get("NO_COLOR")
    renderers = (_escape, structlog.dev.ConsoleRenderer(colors=colours)) if readable else (structlog.processors.JSONRenderer(_json),)
    structlog.configure(
        processors=[_mark, structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso"), *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(int(level)),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,
    )


def _mark(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["agent"] = "outrider"
    return event


def _escape(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Text from data must not steer the terminal."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode("ascii")
    return event


def _json(event: object, **_options: object) -> str:
    return orjson.dumps(event, default=str).decode()


class _Stderr:
    """Writes lines. A standard error that is closed does not stop the agent."""

    def __init__(self, *_name: str) -> None:
        pass

    def msg(self, line: str) -> None:
        """Write one line in one call."""
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return

    log = debug = info = warning = warn = error = critical = fatal = exception = msg
