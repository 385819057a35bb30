from __future__ import annotations

import asyncio
import errno
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from agent.host import library_log
from agent.metrics import Metrics
from agent.telemetry import Telemetry
from agent.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def clock() -> FakeClock:
    """Time by hand."""
    return FakeClock()


@pytest.fixture
def lines(clock: FakeClock) -> Iterator[list[dict]]:
    """Lines of our own log while what libraries log is reported."""
    root = logging.getLogger()
    before = list(root.handlers)
    with structlog.testing.capture_logs() as captured:
        library_log.report_to(Telemetry(Metrics({}, clock), clock))
        yield captured
    root.handlers[:] = before
    structlog.reset_defaults()


async def test_a_storm_of_asyncio_errors_is_one_line(lines: list[dict]):
    """However often asyncio reports that no descriptor is left, our log has one line of it, without a traceback."""
    loop = asyncio.get_running_loop()
    for _ in range(500):
        error = OSError(errno.EMFILE, "Too many open files")
        loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error, "socket": object()})
    [line] = lines
    assert (line["event"], line["log_level"], line["library"]) == ("library error", "error", "asyncio")
    assert (line["message"], line["error"]) == ("socket.accept() out of system resource", "OSError: [Errno 24] Too many open files")


async def test_what_was_folded_is_counted(lines: list[dict], clock: FakeClock):
    """After the window the line comes once more, with the number of repeats."""
    for number in range(4):
        logging.getLogger("redis.connection").warning("lost %d", number)
    await clock.advance(11)
    logging.getLogger("redis.connection").warning("lost again")
    assert [(line["message"], line.get("repeated")) for line in lines] == [("lost 0", None), ("lost 3", 3), ("lost again", None)]


async def test_a_task_whose_error_is_never_asked_for_is_reported(lines: list[dict]):
    """An exception that ends a task and that no code retrieves becomes a line when the task is collected."""

    async def break_down() -> None:
        raise LookupError("a key is missing")

    task = asyncio.ensure_future(break_down())
    await asyncio.wait([task])
    del task
    assert [line["error"] for line in lines] == ["LookupError: a key is missing"]


def test_libraries_are_heard_once_and_below_a_warning_not_at_all(lines: list[dict], clock: FakeClock):
    """A second agent in a process takes over from the first; information and debugging messages of libraries stay out."""
    library_log.report_to(Telemetry(Metrics({}, clock), clock))
    logging.getLogger("urllib3").info("connected")
    logging.getLogger("urllib3").warning("retrying")
    assert [line["message"] for line in lines] == ["retrying"]
