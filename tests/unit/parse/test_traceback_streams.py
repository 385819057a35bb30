"""Tracebacks in the middle of real streams: what threads, groups and loggers print around and into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.issues.reading.record_event import record_event
from agent.issues.reading.rules import Rules
from agent.issues.reading.subject import Subject
from agent.parse.traceback import parse_traceback
from tests.support.sentry import records_of

GROUP = b"""\
  + Exception Group Traceback (most recent call last):
  |   File "/srv/app/grp.py", line 12, in <module>
  |     raise ExceptionGroup("top", [leaf(1), leaf(2)])
  | ExceptionGroup: top (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/app/grp.py", line 3, in leaf
    |     raise ValueError(f"leaf {i}\\nsecond")
    | ValueError: leaf 1
second
    +---------------- 2 ----------------
    | Traceback (most recent call last):
    |   File "/srv/app/grp.py", line 3, in leaf
    |     raise ValueError(f"leaf {i}\\nsecond")
    | ValueError: leaf 2
second
    +------------------------------------
"""
"""As the interpreters of 3.11 and 3.12 print it themselves: the second line of a message has no margin."""
LOGGED = b"2026-11-22 10:00:00,123 - app - ERROR - it broke\n"
SIMPLE = b'Traceback (most recent call last):\n  File "/srv/app/a.py", line 3, in f\n    g()\nValueError: no\n'
UNCLOSED = b"""\
  + Exception Group Traceback (most recent call last):
  |   File "/srv/app/grp.py", line 12, in <module>
  |     raise ExceptionGroup("top", [leaf(1)])
  | ExceptionGroup: top (1 sub-exception)
  +-+---------------- 1 ----------------
    | ValueError: leaf 1
"""


def errors(data: bytes) -> list[str]:
    """The types of the errors among the records of a stream."""
    return [str(record.attributes.get("exception.type", "")) for record in records_of(data) if record.severity >= 17]


def test_a_group_whose_messages_have_no_margin_stays_whole() -> None:
    """A line without margin in an open box is the message's when the group goes on below it."""
    (whole,) = records_of(GROUP)
    found = parse_traceback(str(whole.attributes["exception.stacktrace"]))
    assert found is not None
    assert [member.value for member in found.group] == ["leaf 1\nsecond", "leaf 2\nsecond"]


def test_the_lines_without_margin_belong_to_the_message_where_records_can_be_told() -> None:
    """In a log whose records begin with a time what does not begin so is the message's."""
    (record,) = records_of(LOGGED + GROUP)
    found = parse_traceback(str(record.attributes["exception.stacktrace"]))
    assert found is not None
    assert [member.value for member in found.group] == ["leaf 1\nsecond", "leaf 2\nsecond"]


def test_a_box_that_is_never_closed_ends_with_the_next_record() -> None:
    """A line that certainly begins a record ends a group that was cut off, and no record is taken for a part of it."""
    assert [record.body for record in records_of(LOGGED + UNCLOSED + LOGGED)] == ["it broke", "it broke"]
    plain = [f"line {number}" for number in range(200)]
    records = records_of(UNCLOSED + "".join(f"{line}\n" for line in plain).encode())
    assert [record.body for record in records if record.severity < 17] == plain
    assert len(records) == 201


def test_the_names_of_threads_that_die_together_are_no_errors() -> None:
    """Such threads print their names first and their tracebacks later: only the tracebacks are errors, and the names are records."""
    names = b"Exception in thread Thread-1 (boom):\nException in thread Thread-2 (boom):\n"
    assert errors(names + SIMPLE + SIMPLE) == ["ValueError", "ValueError"]
    assert [record.body for record in records_of(names)] == [line.decode() for line in names.splitlines()]
    assert errors(b"Traceback (most recent call last):\n" + SIMPLE) == ["ValueError"]


def test_a_dying_interpreter_is_an_error() -> None:
    """It contains no exception, but is an error."""
    assert errors(
        b"Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f (most recent call first):\n  <no Python frame>\n"
    ) == [""]


def test_the_stack_of_the_logging_call_is_not_the_message() -> None:
    """`stack_info=True` writes the stack of the call below the exception: it belongs to the record, not to the exception's message."""
    stack = b'Stack (most recent call last):\n  File "/srv/app/a.py", line 9, in main\n    log.exception("it broke", stack_info=True)\n'
    first, second = records_of(LOGGED + SIMPLE + stack + LOGGED)
    assert (first.body, first.attributes["exception.message"]) == ("it broke", "no")
    assert "in main" in str(first.attributes["exception.stacktrace"])
    assert second.body == "it broke"


def test_colours_are_no_content() -> None:
    """They are taken out of a traceback and of the further lines of a record, as they are of its first."""
    red = b"".join(b"\x1b[1;31m" + line + b"\x1b[0m\n" for line in SIMPLE.splitlines())
    (record,) = records_of(b"\x1b[2m2026-11-22 10:00:00\x1b[0m [\x1b[31merror\x1b[0m] it broke\n\x1b[36msecond\x1b[0m line\n" + red)
    assert record.body == "it broke\nsecond line"
    assert record.attributes["exception.stacktrace"] == SIMPLE.decode().rstrip("\n")


UNCAUGHT = b"Traceback (most recent call last):\n  File \"/srv/app/main.py\", line 9, in <module>\n    main()\nKeyError: 'price'\n"
BAD_SOURCE = b"  File \"/srv/app/bad.py\", line 1\n    x = (1,\n        ^\nSyntaxError: '(' was never closed\n"


@pytest.mark.parametrize(
    "line",
    [
        b"WARNING:root:low on memory\n",
        b"2026-11-22 10:00:00,123 - app - INFO - started\n",
        b"starting up\n",
        b"2026-11-22T10:00:00Z stderr F 2026-11-22 10:00:00,123 - app - INFO - started\n",
    ],
)
@pytest.mark.parametrize(
    "printed", [UNCAUGHT, b"Exception in thread Thread-1 (f):\n" + SIMPLE, b"Process Process-1:\n" + SIMPLE, BAD_SOURCE]
)
def test_what_nobody_caught_is_not_the_last_records(line: bytes, printed: bytes) -> None:
    """An interpreter prints an uncaught exception below the last log record: that record stays what it was, and the error is one."""
    wrap = b"2026-11-22T10:00:01Z stderr F " if b" stderr F " in line else b""
    below = b"".join(wrap + part for part in printed.splitlines(keepends=True))
    before, error = records_of(line + below)
    assert (before.severity < 17, before.attributes.get("exception.type")) == (True, None)
    assert error.severity == 17
    assert error.offset == len(line)
    assert error.body == f"{error.attributes['exception.type']}: {error.attributes['exception.message']}"


def test_what_a_logger_caught_is_its_records() -> None:
    """A traceback that begins where the exception was caught belongs to the record above it, whatever its level; so does any below an error."""
    for line in (b"2026-11-22 10:00:00,123 - app - WARNING - once more\n", b"Task exception was never retrieved\n"):
        (record,) = records_of(line + SIMPLE)
        assert record.attributes["exception.type"] == "ValueError"
    (record,) = records_of(LOGGED + UNCAUGHT)
    assert (record.body, record.attributes["exception.type"]) == ("it broke", "KeyError")


def test_a_program_that_is_none_is_told_without_header() -> None:
    """A SyntaxError of the program itself has no header, and is an exception with its place nevertheless."""
    (record,) = records_of(BAD_SOURCE)
    found = parse_traceback(str(record.attributes["exception.stacktrace"]))
    assert found is not None
    assert (found.type, found.syntax and found.syntax.lineno) == ("SyntaxError", 1)
    assert [str(one.body) for one in records_of(b'  File "a", line 1\nno such thing\n')] == ['  File "a", line 1', "no such thing"]


def test_what_only_begins_like_a_traceback_is_text() -> None:
    """A record whose further lines look like the beginning of a traceback that never comes is not an error, and keeps those lines."""
    (record,) = records_of(b'problems:\n  File "/srv/app/a.py", line 3\n  unused import\n')
    assert (record.severity, record.body) == (0, 'problems:\n  File "/srv/app/a.py", line 3\n  unused import')
    (record,) = records_of(LOGGED + b"Traceback (most recent call last):\n")
    assert record.body == "it broke\nTraceback (most recent call last):"


def test_a_chunk_of_many_records_tears_none() -> None:
    """However many records a chunk completes, none of them is cut: only records that wait behind an open one are bounded."""
    assert errors(SIMPLE * 3000) == ["ValueError"] * 3000
    records = records_of((LOGGED + b"second line\n") * 3000)
    assert {record.body for record in records} == {"it broke\nsecond line"}
    assert len(records) == 3000


INTERLEAVED = sorted((Path(__file__).parents[2] / "golden" / "tracebacks" / "interleaved").glob("*.txt"))
THREADS = {
    ("ValueError", "from one"): ["_bootstrap_inner", "run", "one", "deep", "deep", "deep"],
    ("KeyError", "'two'"): ["_bootstrap_inner", "run", "two"],
}


@pytest.mark.parametrize("path", INTERLEAVED, ids=lambda path: path.stem)
def test_a_traceback_that_another_one_interrupts_goes_on_behind_it(path: Path) -> None:
    """Of two threads that die together each exception has its own type, message and frames, where the text can tell them apart."""
    found = {}
    for record in records_of(path.read_bytes()):
        info = parse_traceback(str(record.attributes.get("exception.stacktrace", "")))
        if info is not None:
            found[info.type, info.value] = [frame.function for frame in info.frames]
    assert found == THREADS


def test_a_traceback_that_is_interrupted_for_ever_is_cut_off() -> None:
    """One whose process was killed in its middle stays what it was, and the next one is whole."""
    first = b'Traceback (most recent call last):\n  File "/srv/app/b.py", line 1, in g\n'
    records = records_of(first + SIMPLE + b"ERROR:root:next\n" + SIMPLE)
    assert [record.attributes.get("exception.stacktrace", "") for record in records][:1] == [first.decode().rstrip("\n")]
    assert [record.attributes.get("exception.type") for record in records] == [None, "ValueError", "ValueError"]
    assert records[-1].body == "next"


def test_an_ordinary_line_in_a_message_does_not_change_the_issue() -> None:
    """Lines that a program prints below an exception are at worst a part of its message: type, frames and group stay the same."""
    died = SIMPLE.replace(b"in f", b"in <module>")
    short, long = (records_of(died + more)[0] for more in (b"", b"starting again\n"))
    first, second = (record_event(record, Subject("strategy", "host"), Rules()) for record in (short, long))
    assert long.attributes["exception.message"] == "no\nstarting again"
    assert first.group == second.group
    assert first.exception is not None
    assert second.exception is not None
    assert (first.exception.type, first.exception.frames) == (second.exception.type, second.exception.frames)


TOLD = "Traceback (most recent call last):\n  File \"/srv/app/a.py\", line 3, in f\n    g()\nKeyError: 'k'"
LAYOUTS = {
    "name before level": "2026-01-01 10:00:00,1{} - app.x - {} - ",
    "level, name": "2026-01-01 10:00:00,1{} {} app.x: ",
    "brackets": "[2026-01-01 10:00:00 +000{}] [7] [{}] ",
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("words", ["", "it failed: "])
def test_a_traceback_that_a_logger_was_given_to_write(layout, words):
    """`log.warning(traceback.format_exc())` is the logger's record, with its level and time, and nothing of the record before it."""
    lines = [layout.format(1, "INFO") + "starting", layout.format(2, "WARNING") + words + TOLD, "", layout.format(3, "INFO") + "going on"]
    before, told, after = records_of("\n".join(lines).encode())
    assert (before.body, after.body, told.body) == ("starting", "going on", f"{words}KeyError: 'k'")
    assert (told.severity, told.severity_text, told.time_ns > 0) == (13, "WARNING", True)
    assert told.attributes["exception.type"] == "KeyError"
    assert "exception.type" not in {**before.attributes, **after.attributes}


def test_each_line_of_a_traceback_written_by_a_logger():
    """Also where the logger was given the lines one by one, they are one record."""
    prefix = "2026-01-01 10:00:00,123 - app.x - ERROR - "
    lines = [prefix + line for line in ("starting", *TOLD.split("\n"))]
    before, told, after = records_of("\n".join([*lines, LOGGED.decode()]).encode())
    assert (before.body, told.body, after.body) == ("starting", "KeyError: 'k'", "it broke")
    assert (told.attributes["exception.type"], told.severity_text) == ("KeyError", "ERROR")


def test_a_logged_traceback_that_is_cut_off():
    """Without an exception's line the report has the rest, once."""
    cut = TOLD.rpartition("\n")[0]
    one, after = records_of(b"2026-01-01 10:00:00,123 - app.x - ERROR - it failed: " + cut.encode() + b"\n" + LOGGED)
    assert (one.body, one.severity_text, after.body) == ("it failed: Traceback (most recent call last):", "ERROR", "it broke")
    assert parse_traceback(one.attributes["exception.stacktrace"]).truncated.incomplete
    (one, after) = records_of(b"2026-01-01 10:00:00,123 - app.x - ERROR - Traceback (most recent call last):\n" + LOGGED)
    assert (one.body, "exception.stacktrace" in one.attributes, after.body) == ("Traceback (most recent call last):", False, "it broke")


PREFIXES = {
    "python": "2026-01-01 10:00:00,123 - app.x - ERROR - ",
    "timed": "2026-01-01 10:00:00 ",
    "syslog": "Nov 22 10:00:00 host app[1]: ",
    "syslog with a level": "<14>Nov 22 10:00:00 host app[1]: ",
}


@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
def test_what_is_logged_in_the_same_moment_is_no_more_of_a_traceback(prefix):
    """Of lines with one and the same prefix, those behind the exception's are records of their own, and so is the next traceback."""
    lines = [prefix + line for line in ("starting", *TOLD.split("\n"), "giving up", *TOLD.split("\n"), *TOLD.split("\n"), "bye")]
    records = records_of("\n".join(lines).encode())
    assert [record.body for record in records] == ["starting", "KeyError: 'k'", "giving up", "KeyError: 'k'", "KeyError: 'k'", "bye"]
    assert all(record.time_ns for record in records)
    assert [record.severity for record in records if "exception.type" in record.attributes] == [17, 17, 17]


def test_lines_with_the_prefix_of_a_traceback_that_go_on_with_its_message():
    """Lines that are indented or close a bracket belong to the message also where each line has the logger's prefix."""
    prefix = PREFIXES["python"]
    told, after = records_of("\n".join(prefix + line for line in (*TOLD.split("\n"), "  more of it", "}", "giving up")).encode())
    assert (told.body, after.body) == ("KeyError: 'k'\n  more of it\n}", "giving up")


@pytest.mark.parametrize(
    ("before", "severity"),
    [("", 13), ("Fatal Python error: Aborted\n\n", 17), ("Timeout (0:01:00)!\n", 17)],
    ids=["asked", "death", "time"],
)
def test_stacks_that_somebody_asked_for_are_a_warning(before, severity):
    """A dump of faulthandler on request ends nothing, so it is not an error; a fatal error and a timeout are."""
    stack = 'Current thread 0x00007f8a (most recent call first):\n  File "/srv/app/a.py", line 3 in f\n'
    quiet, dump, after = records_of(("starting\n" + before + stack + "going on\n").encode())
    assert (quiet.body, dump.severity, after.body) == ("starting", severity, "going on")
    assert dump.attributes["exception.stacktrace"] == (before + stack).rstrip()
