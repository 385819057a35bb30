"""The extent of a message on a stream whose lines have no format: lines that are certain at once, undecided ones, and how they are decided."""

from __future__ import annotations

import pytest

from agent.parse.lines import Parser
from agent.parse.traceback_extent import (
    FEW,
    LATE_NS,
    MAX_DOUBTS,
    TOGETHER_NS,
    Ending,
    expects_more,
    is_more,
    is_other,
    is_whole,
    message_lines,
)
from agent.record import LogRecord, Origin

NOW = 1_795_348_800_000_000_000
ORIGIN = Origin("f")
HEADER = "Traceback (most recent call last):\n"
DIED = HEADER + '  File "/srv/app/main.py", line 9, in <module>\n    main()\n'
"""The output of an interpreter for an uncaught exception, except its last line."""
PRINTED = HEADER + '  File "/srv/app/main.py", line 5, in main\n    work()\n'
"""The output of `traceback.print_exc()` for an exception that `main` caught."""
CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
ADVICE = "1 validation error for Order\nquantity\n  Input should be a valid integer [type=int_parsing]\n    For further information visit https://errors.pydantic.dev/2.11/v/int_parsing"
DATABASE = "(sqlite3.OperationalError) no such table: t\n[SQL: SELECT a,\nb\nFROM t]\n[parameters: (1,)]\n(Background on this error at: https://sqlalche.me/e/20/e3q8)"


def chunk(text: str, start: int = 0) -> list[tuple[int, bytes]]:
    """The lines of a text with the offsets they have in a file."""
    lines, offset = [], start
    for line in text.encode().removesuffix(b"\n").split(b"\n"):
        lines.append((offset, line))
        offset += len(line) + 1
    return lines


def read(text: str, *, ended: bool = False, format_: str = "auto") -> list[LogRecord]:
    """The records of a text behind which the stream falls silent, or ends."""
    parser = Parser(format_)
    records, _ = parser.parse_chunk(chunk(text), ORIGIN, NOW)
    return [*records, *parser.flush(NOW, ended=ended)]


def told(records: list[LogRecord]) -> list[object]:
    """Each exception's message, or else the body."""
    return [record.attributes.get("exception.message", record.body) for record in records]


@pytest.mark.parametrize(
    "message", ["first\nsecond\n  third", "a\n\n\nb", "\nat the second line", ADVICE, DATABASE, '{\n  "a": 1\n}', "x\n" + "y\n" * 99 + "z"]
)
def test_the_message_of_a_dying_program_is_whole(message: str) -> None:
    """All lines after the exception line of an uncaught exception are its message if nothing else comes behind it."""
    (record,) = read(f"{DIED}ValueError: {message}\n")
    assert record.attributes["exception.message"] == message
    assert record.body == f"ValueError: {message}"


@pytest.mark.parametrize(
    "message", [ADVICE, DATABASE, '{\n  "a": 1\n}', "exit code 1:\nno such file", "\nat the second line", "[\n  1,\n  2\n]"]
)
def test_what_its_neighbours_mark_is_the_message_wherever_it_stands(message: str) -> None:
    """Indented lines, the line above them, brackets and a colon show the lines of a message also in a program that continues."""
    assert told(read(f"{PRINTED}ValueError: {message}\nretrying\nconnected\n")) == [message, "retrying", "connected"]


def test_a_program_that_goes_on_keeps_its_lines() -> None:
    """Lines that are printed behind a caught and printed exception are the program's own, in order, line by line."""
    lines = ["retrying", "", "connected", "config:", "  a = 1", "done"]
    records = read(PRINTED + "ValueError: no\n" + "\n".join(lines) + "\n")
    assert told(records) == ["no", "retrying", "connected", "config:\n  a = 1", "done"]
    text = PRINTED + "ValueError: no\n" + "\n".join(lines)
    assert [record.offset for record in records[1:]] == [text.index(line) for line in ("retrying", "connected", "config:", "done")]


def test_at_the_end_of_a_process_all_is_the_message() -> None:
    """A program that printed what it had caught and then ended printed the message last."""
    text = PRINTED + "ValueError: first\nsecond\n"
    assert told(read(text, ended=True)) == ["first\nsecond"]
    assert told(read(text)) == ["first", "second"]


@pytest.mark.parametrize(
    "line",
    [
        "KeyError: 'a'",
        "ZeroDivisionError: division by zero",
        "FileNotFoundError: [Errno 2] No such file or directory: 'x'",
        "KeyboardInterrupt",
    ],
)
def test_what_the_interpreter_words_in_one_line_has_no_more(line: str) -> None:
    """Such a message ends with its line, so the next ones are the program's."""
    text = f"{DIED}{line}\nstarting again\n"
    assert [record.body for record in read(text)] == [line, "starting again"]
    assert [record.body for record in read(text, ended=True)] == [line, "starting again"]
    assert [record.body for record in read(text.replace(DIED, PRINTED), ended=True)] == [line, "starting again"]


@pytest.mark.parametrize(
    "other",
    [
        '{"event":"x","level":"info"}',
        "2026-11-22 10:00:00,123 - app - ERROR - it broke",
        "INFO:root:bye",
        "[WARNING] low on memory",
        "/srv/app/main.py:3: ResourceWarning: unclosed file <_io.TextIOWrapper name='a'>",
        "sys:1: RuntimeWarning: coroutine 'main' was never awaited",
        "Exception ignored in: <function A.__del__ at 0x7f>",
        "Exception in thread Thread-2 (work):",
        "Process ForkProcess-1:",
        "--- Logging error ---",
        "future: <Future finished>",
        "handle: <Handle f()>",
        "task: <Task finished>",
        "protocol: <asyncio.Protocol object>",
        "transport: <_SelectorSocketTransport>",
        "Fatal Python error: Segmentation fault",
        "Windows fatal exception: access violation",
        "Timeout (0:00:05)!",
        "Thread 0x00007f (most recent call first):",
        "Current thread 0x00007f (most recent call first):",
        "Stack (most recent call first):",
    ],
)
def test_what_is_surely_something_else_ends_the_message(other: str) -> None:
    """A record, a warning or the next report is not part of the message above it, nor does it cut that short."""
    first, second = read(f"{DIED}ValueError: first\nsecond\n{other}\n")
    assert first.attributes["exception.message"] == "first\nsecond"
    assert second.offset == len(f"{DIED}ValueError: first\nsecond\n")


def test_in_a_stream_of_structured_records_the_rest_is_the_message() -> None:
    """Between JSON lines only the exception writes plain ones."""
    line = '{"event":"x","level":"info"}\n'
    records = read(f"{line}{PRINTED}ValueError: first\nsecond\nthird\n{line}")
    assert told(records) == ["x", "first\nsecond\nthird", "x"]


def test_within_a_chain_the_extent_is_exact() -> None:
    """The lines above the separator are the message, including blank lines, however the exception was caught."""
    (record,) = read(f"{PRINTED}ValueError: first\n\nsecond\nKeyError: no\n\n\n{CONTEXT}{PRINTED}TypeError: last\n")
    trace = str(record.attributes["exception.stacktrace"])
    assert record.attributes["exception.message"] == "last"
    assert "ValueError: first\n\nsecond\nKeyError: no\n\n\n\nDuring handling" in trace


def test_too_many_lines_are_a_program_s_that_goes_on() -> None:
    """More lines than a message has are given out as what they are, each once."""
    lines = [f"line {number}" for number in range(2 * MAX_DOUBTS)]
    assert told(read(DIED + "ValueError: no\n" + "\n".join(lines) + "\n")) == ["no", *lines]


def test_nothing_waits_for_long() -> None:
    """Lines that are read long after the exception are none of its message, and what was held back is given out with them."""
    parser, text = Parser(), DIED + "ValueError: no\n"
    parser.parse_chunk(chunk(text), ORIGIN, NOW)
    parser.parse_chunk([(len(text), b"at once")], ORIGIN, NOW + TOGETHER_NS)
    early, _ = parser.parse_chunk([(len(text) + 8, b"early")], ORIGIN, NOW + LATE_NS)
    assert (told(list(early)), parser.open_offset()) == ([], 0)
    late, _ = parser.parse_chunk([(len(text) + 14, b"late")], ORIGIN, NOW + LATE_NS + 1)
    assert told([*late, *parser.flush(NOW)]) == ["no\nat once", "early", "late"]


def test_lines_given_out_are_joined_as_any_others() -> None:
    """An indented line belongs to the line above it, also when that was held back and it comes too late itself."""
    parser, text = Parser(), PRINTED + "ValueError: no\na\nconfig:\n"
    parser.parse_chunk(chunk(text), ORIGIN, NOW)
    records, _ = parser.parse_chunk([(len(text), b"  b = 1")], ORIGIN, NOW + LATE_NS + 1)
    assert told([*records, *parser.flush(NOW)]) == ["no", "a", "config:\n  b = 1"]


def test_a_position_does_not_pass_what_is_held_back() -> None:
    """Until it is decided the lines are needed again, and a parser that begins again there reads the same."""
    before, text = '{"event":"x","level":"info"}\n', DIED + "ValueError: first\nsecond\n"
    parser = Parser()
    records, _ = parser.parse_chunk(chunk(before + text), ORIGIN, NOW)
    assert (told(list(records)), parser.open_offset()) == (["x"], len(before))
    again = Parser.from_state(parser.state())
    assert list(again.parse_chunk(chunk(text, len(before)), ORIGIN, NOW)[0]) == []
    assert told(list(again.flush(NOW))) == ["first\nsecond"]


def test_a_secret_s_lines_are_searched_together() -> None:
    """The raw text beside a chunk's records holds the lines that were held back before it."""
    parser = Parser()
    text = PRINTED + "ValueError: no\nheld\n"
    parser.parse_chunk(chunk(text), ORIGIN, NOW)
    parser.parse_chunk([(len(text), b"INFO:root:next")], ORIGIN, NOW)
    assert parser.text is not None
    assert b"\nheld\nINFO:root:next" in parser.text


def test_a_container_s_lines_keep_their_own_times() -> None:
    """A line that was held back has the time of its own wrapper, and the message has none of the wrappers."""
    wrapped = [f"2026-11-22T10:00:0{n}Z stderr F {line}" for n, line in enumerate([*(PRINTED + "ValueError: no").split("\n"), "a", "b"])]
    first, second, third = read("\n".join(wrapped) + "\n")
    assert (first.attributes["exception.message"], second.body, third.body) == ("no", "a", "b")
    assert third.time_ns - second.time_ns == second.time_ns - first.time_ns - 3_000_000_000 == 1_000_000_000


CERTAIN = {"structured": True, "unfinished": lambda: False, "whole": lambda: True}
LIKELY = {"structured": False, "unfinished": lambda: True, "whole": lambda: False}
UNLIKELY = {"structured": False, "unfinished": lambda: False, "whole": lambda: False}
NEVER = {"structured": False, "unfinished": lambda: False, "whole": lambda: True}


@pytest.mark.parametrize("ending", list(Ending))
def test_the_decision(ending: Ending) -> None:
    """Never for a program that writes a lot, always for one that ended; else for what can only be, or most likely is, the message."""
    lines = [0] * FEW
    assert message_lines(ending, lines, **UNLIKELY) == (FEW if ending is Ending.GONE else 0)
    assert message_lines(ending, lines, **LIKELY) == (0 if ending is Ending.TOO_MANY else FEW)
    assert message_lines(ending, lines, **CERTAIN) == (0 if ending is Ending.TOO_MANY else FEW)
    assert message_lines(ending, lines, **NEVER) == 0


def test_many_lines_before_something_else_are_only_certain_of_nobody_else() -> None:
    """More than a few lines between two reports are a program's; where it would write them in a format they are the message's."""
    lines = [0] * (FEW + 1)
    assert message_lines(Ending.ANOTHER, lines, **LIKELY) == 0
    assert message_lines(Ending.ANOTHER, lines, **CERTAIN) == len(lines)
    assert message_lines(Ending.SILENCE, lines, **LIKELY) == len(lines)


def test_of_a_program_that_goes_on_slowly_what_came_together_is_the_message() -> None:
    """The first pause ends it; without anything else to tell from, time counts for nothing where the writer fell silent."""
    pauses = [0, TOGETHER_NS, TOGETHER_NS + 1, 0]
    assert message_lines(Ending.LATER, pauses, **LIKELY) == 2
    assert message_lines(Ending.LATER, pauses, **UNLIKELY) == 0
    assert message_lines(Ending.SILENCE, pauses, **LIKELY) == 4


@pytest.mark.parametrize("text", ["}", "]", "),", "[SQL: SELECT 1]", "(Background on this error at: https://x)", "FROM t]"])
def test_a_line_that_can_be_no_beginning(text: str) -> None:
    """Brackets tell."""
    assert is_more(text)


@pytest.mark.parametrize("text", ["", "words", "[INFO] words", "[main] starting", "a [b] c", "done (in 3 s)", ":)", "{}", "x = [1]"])
def test_a_line_that_may_be_a_beginning(text: str) -> None:
    """Balanced brackets, and those that end a sentence, decide nothing."""
    assert not is_more(text)


def test_a_line_in_the_middle_of_something_expects_more() -> None:
    """A colon, a comma and an open bracket are not the last word; an exception line without message text is not, either."""
    assert all(map(expects_more, ["no:", "{", "f(", "ValueError: ", "a, "]))
    assert not any(map(expects_more, ["ValueError", "", "why", "a (b)", "{}"]))


def test_lines_of_others_are_known_by_their_look() -> None:
    """Warnings and levels; a sentence that only holds such a word is none."""
    assert all(map(is_other, ["a.py:1: DeprecationWarning: x", "sys:1: RuntimeWarning: x", "[INFO] x", "ERROR: x", "INFO - x", "WARN | x"]))
    assert not any(map(is_other, ["ERROR", "INFORMATION: x", "the ERROR: x", " a.py:1: UserWarning: x", "Warning: x", "ERRORS found: 3"]))


def test_messages_that_others_word_are_not_whole() -> None:
    """Of the same types with other words nothing is known, nor of any that programs raise themselves."""
    assert not any(
        is_whole(*pair) for pair in [("KeyError", "no such key: x"), ("ValueError", "x"), ("TypeError", "odd"), ("app.E", "'x'")]
    )
