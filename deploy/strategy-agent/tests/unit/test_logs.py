"""Structured logs."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from structlog.stdlib import get_logger

from strategy_agent import logs
from strategy_agent.logs import configure_logging

Line = dict[str, object]


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """Configure logging to a file, and put everything back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    path = tmp_path / "agent.log"
    yield path
    for handler in root.handlers[:]:
        if handler not in handlers:
            handler.flush()
            root.removeHandler(handler)
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(path: Path) -> list[Line]:
    """Return the parsed lines of a log file."""
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_a_line_has_what_every_line_has(log_file: Path) -> None:
    """Time in ISO 8601 and UTC, level, event and logger come first, then the fields."""
    configure_logging(log_file)
    get_logger("strategy_agent.test").info("order_submitted", quantity=2.5)
    (line,) = lines(log_file)
    assert list(line) == ["timestamp", "level", "event", "logger", "quantity"]
    assert (line["level"], line["event"], line["logger"]) == ("info", "order_submitted", "strategy_agent.test")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(str(line["timestamp"]))).total_seconds()) < 60


def test_standard_output_and_file_say_the_same(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every line goes to both."""
    configure_logging(log_file)
    get_logger("t").info("twice")
    for handler in logging.getLogger().handlers:
        handler.flush()
    assert capsys.readouterr().out == log_file.read_text()


def test_lines_below_the_level_are_not_written(log_file: Path) -> None:
    """What is for debugging is dropped, what is information is not."""
    configure_logging(log_file)
    get_logger("t").debug("quiet")
    get_logger("t").info("loud")
    assert [line["event"] for line in lines(log_file)] == ["loud"]


def test_an_exception_is_typed_frames_without_locals(log_file: Path) -> None:
    """Type, value, cause and frames are data; local variables are not written down."""
    configure_logging(log_file)
    password = "hunter2"  # noqa: S105 - the point of the test
    try:
        try:
            int("x" + password[:0])
        except ValueError as error:
            raise RuntimeError("cannot go on") from error
    except RuntimeError:
        get_logger("t").exception("failed")
    text = log_file.read_text()
    (line,) = lines(log_file)
    exceptions = line["exception"]
    assert isinstance(exceptions, list)
    assert [exception["exc_type"] for exception in exceptions] == ["RuntimeError", "ValueError"]
    assert exceptions[0]["frames"][0]["name"] == "test_an_exception_is_typed_frames_without_locals"
    assert "hunter2" not in text


def test_libraries_log_in_the_same_form(log_file: Path) -> None:
    """What comes through the standard library has the same fields."""
    configure_logging(log_file)
    logging.getLogger("aiohttp.server").error("bad %s", "request")
    (line,) = lines(log_file)
    assert (line["event"], line["level"], line["logger"]) == ("bad request", "error", "aiohttp.server")


def test_inside_a_span_lines_carry_its_ids(log_file: Path) -> None:
    """Trace and span id are written in W3C form, and only inside a span."""
    configure_logging(log_file)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    with tracer.start_as_current_span("order") as span:
        get_logger("t").info("inside")
    get_logger("t").info("outside")
    inside, outside = lines(log_file)
    context = span.get_span_context()
    assert inside["trace_id"] == f"{context.trace_id:032x}"
    assert inside["span_id"] == f"{context.span_id:016x}"
    assert "trace_id" not in outside


def test_the_file_can_be_rotated_by_renaming(log_file: Path) -> None:
    """After it was moved away, lines go to a new file of the old name."""
    configure_logging(log_file)
    get_logger("t").info("before")
    log_file.rename(log_file.with_suffix(".1"))
    get_logger("t").info("after")
    assert [line["event"] for line in lines(log_file)] == ["after"]


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """A missing folder is said at the start, not at the first line."""
    with pytest.raises(OSError, match="No such file"):
        configure_logging(tmp_path / "missing" / "agent.log")


def test_a_reader_that_stops_reading_stops_nobody(monkeypatch: pytest.MonkeyPatch, log_file: Path) -> None:
    """With standard output blocked, each line is in the file, callers go on, and what finds no room is counted."""
    blocked = threading.Event()

    class Blocked(io.StringIO):
        def write(self, text: str) -> int:
            blocked.wait(30.0)
            return len(text)

    monkeypatch.setattr(logs, "QUEUE_LINES", 5)
    monkeypatch.setattr(sys, "stdout", Blocked())
    configure_logging(log_file)
    dropped: list[int] = []
    monkeypatch.setattr(logs.QueuedOutput, "on_drop", staticmethod(lambda: dropped.append(1)))
    for number in range(20):
        get_logger("t").info("line", number=number)
    assert len(lines(log_file)) == 20
    assert 14 <= len(dropped) <= 15  # one may be with the thread already
    blocked.set()
    for handler in logging.getLogger().handlers:
        handler.flush()
