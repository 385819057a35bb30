"""Long texts are cut where least is lost: of a traceback the newest frames and the exception stay."""

from __future__ import annotations

import json

import pytest

from agent.parse.limits import INCOMPLETE, MAX_JOINED_LINES, MAX_TEXT, cut
from agent.parse.lines import Parser
from agent.parse.traceback import parse_traceback
from agent.record import LogRecord, Origin
from tests.support.sentry import records_of


def traceback(frames: int, final: str, name: str = "f") -> str:
    """The text of an exception with so many frames that no interpreter folds."""
    lines = "".join(f'  File "/app/pkg/module.py", line {number}, in {name}{number}\n    go({number})\n' for number in range(frames))
    return f"Traceback (most recent call last):\n{lines}{final}\n"


CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
LONG = traceback(3000, "KeyError: 7")


def test_a_long_stack_loses_its_middle():
    """The oldest frames, the newest ones and the exception are kept; no frame is made of halves of two."""
    text = cut(LONG)
    error = parse_traceback(text)
    numbers = [frame.lineno for frame in error.frames]
    assert MAX_TEXT * 0.9 < len(text) <= MAX_TEXT
    assert (error.type, error.value) == ("KeyError", "7")
    assert (numbers[0], numbers[-1]) == (0, 2999)
    assert numbers == sorted(set(numbers))
    assert all((frame.function, frame.source_line) == (f"f{frame.lineno}", f"go({frame.lineno})") for frame in error.frames)


@pytest.mark.parametrize("newer", [3, 900, 3000])
def test_a_long_chain_loses_its_oldest_links(newer):
    """The exception that ended the program has its own frames, and none of an older exception's."""
    text = cut("failed: " + LONG + CAUSED + traceback(newer, "ValueError: at last", "g"))
    error = parse_traceback(text)
    assert text.startswith("failed: Traceback")
    assert len(text) <= MAX_TEXT
    assert (error.type, error.value, error.frames[-1].lineno) == ("ValueError", "at last", newer - 1)
    assert {frame.function[0] for frame in error.frames} == {"g"}


@pytest.mark.parametrize(
    "text",
    ["x" * 100_000, traceback(3, "KeyError: " + "x" * 100_000), "  + Exception Group " + LONG, "x" * 40_000 + LONG, "x\n" * 60_000],
    ids=["no traceback", "long message", "group", "far inside", "lines"],
)
def test_all_else_is_cut_at_its_end(text):
    """Where the beginning says most, it is what stays."""
    assert cut(text) == text[:MAX_TEXT]


def test_a_long_traceback_in_a_field_still_names_its_exception():
    """Wherever a logger puts it, the record says that it was cut, and has the exception."""
    (record,) = records_of(json.dumps({"level": "error", "event": "failed", "exception": LONG}).encode())
    assert record.attributes["log.truncated"] is True
    assert parse_traceback(record.attributes["exception"]).type == "KeyError"


NEXT = "2026-01-01 10:00:00,123 - app.x - ERROR - failed\n"
BEYOND = {
    "lines": traceback(MAX_JOINED_LINES * 4 // 5, "KeyError: 7"),
    "bytes": traceback(900, "KeyError: 7").replace(")\n", ", " + "x" * 1500 + ")\n"),
    "a chain": traceback(MAX_JOINED_LINES // 3, "ValueError: no", "g") + CAUSED + traceback(MAX_JOINED_LINES // 3, "KeyError: 7"),
}


def with_drops(text: str) -> tuple[list[LogRecord], dict[str, int]]:
    """The records of a text whose last one is still open, and what was counted."""
    lines = [(number, line) for number, line in enumerate(text.encode().split(b"\n"))]
    records, drops = Parser("auto").parse_chunk(lines, Origin("file:test"), 1)
    return list(records), dict(drops)


@pytest.mark.parametrize("text", BEYOND.values(), ids=BEYOND)
@pytest.mark.parametrize("before", ["", NEXT], ids=["bare", "logged"])
def test_a_traceback_beyond_what_is_joined_still_names_its_exception(before, text):
    """It is one record with the oldest frames (of the last exception) and the newest, says that it was cut, and is counted once."""
    (record,), drops = with_drops(before + text + NEXT)
    error = parse_traceback(record.attributes["exception.stacktrace"])
    numbers = [frame.lineno for frame in error.frames]
    assert (record.attributes["exception.type"], record.attributes["exception.message"], error.type) == ("KeyError", "7", "KeyError")
    assert {frame.function[0] for frame in error.frames} == {"f"}
    assert numbers == sorted(set(numbers))
    assert f"go({numbers[-1]}" in error.frames[-1].source_line
    assert numbers[-1] in (899, MAX_JOINED_LINES // 3 - 1, MAX_JOINED_LINES * 4 // 5 - 1)
    assert (record.attributes["log.truncated"], drops) == (True, {"oversized": 1})


def test_a_message_beyond_what_is_joined_loses_nothing():
    """No frames stand in its end, so the rest of it is a record of its own."""
    (told, more), drops = with_drops(NEXT + traceback(3, "ValueError: " + "x\n" * MAX_JOINED_LINES) + NEXT)
    assert told.attributes["exception.type"] == "ValueError"
    assert (told.attributes["exception.stacktrace"] + more.body).count("x") == MAX_JOINED_LINES
    assert (told.attributes[INCOMPLETE], drops) == (True, {})
