"""The joiner gives for every line its relation to the tracebacks around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.parse.traceback_joiner import MAX_LINES, Joint, TracebackJoiner, may_open
from agent.parse.traceback_lines import Grammar
from agent.parse.traceback_tokens import MAX_STRAY_LINES, clean

START, CONTINUE, END, OUTSIDE = Joint.START, Joint.CONTINUE, Joint.END, Joint.OUTSIDE
HEADER = b"Traceback (most recent call last):"
FRAME = b'  File "/srv/app/a.py", line 3, in f'
SOURCE = b"    g()"
FINAL = b"ValueError: why"
SIMPLE = [HEADER, FRAME, SOURCE, FINAL]
CAUSE = b"The above exception was the direct cause of the following exception:"
RECORD = b"2026-11-22 14:00:00 INFO next"


def is_record(line: bytes) -> bool:
    """The caller's test for the first line of a record."""
    return line.startswith(b"2026-")


def joints(*lines: bytes, joiner: TracebackJoiner | None = None) -> list[Joint]:
    """The joiner's answers for these lines."""
    joiner = joiner or TracebackJoiner()
    return [joiner.feed(line) for line in lines]


def test_a_simple_traceback_is_one_block() -> None:
    """The header starts, stack and exception line continue, the next record ends."""
    assert joints(RECORD, *SIMPLE, RECORD) == [OUTSIDE, START, CONTINUE, CONTINUE, CONTINUE, END]


def test_newlines_may_be_left_on_the_lines() -> None:
    """A tailer may feed lines with their newline, and with a carriage return."""
    assert joints(*[line + b"\r\n" for line in [*SIMPLE, RECORD]]) == [START, CONTINUE, CONTINUE, CONTINUE, END]


def test_open_and_complete_follow_the_traceback() -> None:
    """`open` lasts from header to end; `complete` says whether the exception line was seen."""
    joiner = TracebackJoiner()
    states = []
    for line in [RECORD, *SIMPLE, RECORD]:
        joiner.feed(line)
        states.append((joiner.open, joiner.complete))
    assert states == [(False, True), (True, False), (True, False), (True, False), (True, True), (False, True)]


def test_a_group_is_incomplete_until_its_boxes_close() -> None:
    """Inside a box the exception line of a member does not complete the block; the closing line does."""
    group = [
        b"  + Exception Group " + HEADER,
        b'  |   File "/srv/app/a.py", line 3, in f',
        b"  | ExceptionGroup: two (1 sub-exception)",
        b"  +-+---------------- 1 ----------------",
        b"    | ValueError: a",
        b"    +------------------------------------",
    ]
    joiner = TracebackJoiner()
    complete = []
    for line in group:
        joiner.feed(line)
        complete.append(joiner.complete)
    assert complete == [False, False, False, False, False, True]


def test_reset_closes_an_open_traceback() -> None:
    """After a rotation or a wait the next line stands on its own."""
    joiner = TracebackJoiner()
    joints(*SIMPLE[:3], joiner=joiner)
    joiner.reset()
    assert not joiner.open
    assert joiner.feed(b"    indented") is OUTSIDE


def test_without_a_record_test_every_unindented_line_ends_the_message() -> None:
    """Where the caller can't recognise its records, only indented lines continue a message."""
    assert joints(*SIMPLE, b"  more", b"other words") == [START, CONTINUE, CONTINUE, CONTINUE, CONTINUE, END]


def test_with_a_record_test_the_message_goes_on_until_the_next_record() -> None:
    """A message of several unindented lines belongs to its exception where the caller can tell records."""
    lines = [*SIMPLE, b"second line", b"", b"third line", RECORD]
    assert joints(*lines, joiner=TracebackJoiner(is_record)) == [START, *[CONTINUE] * 6, END]


def test_a_chain_is_one_block() -> None:
    """Blank lines and the separator join the exceptions of a chain."""
    assert joints(*SIMPLE, b"", CAUSE, b"", *SIMPLE, RECORD) == [START, *[CONTINUE] * 10, END]


def test_a_chain_behind_an_exception_without_traceback_starts_at_the_separator() -> None:
    """The line of an exception that was never raised cannot be known; the separator begins the block."""
    assert joints(b"ValueError: a", b"", CAUSE, b"", *SIMPLE, RECORD) == [OUTSIDE, OUTSIDE, START, *[CONTINUE] * 5, END]


def test_two_tracebacks_in_a_row_are_two_blocks() -> None:
    """A header at the left edge begins another traceback, also below a message."""
    assert joints(*SIMPLE, *SIMPLE) == [START, CONTINUE, CONTINUE, CONTINUE] * 2


def test_a_traceback_cut_off_gives_way_to_the_next() -> None:
    """A process killed while it printed leaves half a traceback; the next one starts again."""
    assert joints(HEADER, FRAME, *SIMPLE) == [START, CONTINUE, START, CONTINUE, CONTINUE, CONTINUE]


def test_lines_of_others_between_the_frames_do_not_close_it() -> None:
    """An interleaved record is OUTSIDE while the traceback stays open."""
    assert joints(HEADER, FRAME, RECORD, SOURCE, FINAL) == [START, CONTINUE, OUTSIDE, CONTINUE, CONTINUE]


def test_level_names_are_no_exception_line() -> None:
    """`INFO: words` between the frames is another writer's line, not the exception."""
    assert joints(HEADER, FRAME, b"INFO: words", SOURCE, FINAL) == [START, CONTINUE, OUTSIDE, CONTINUE, CONTINUE]


def test_a_traceback_that_never_ends_is_given_up() -> None:
    """After so many lines of others in a row the block counts as cut off, so that a position can move on."""
    joiner = TracebackJoiner()
    found = joints(HEADER, FRAME, *[RECORD] * (MAX_STRAY_LINES + 2), joiner=joiner)
    assert found[2:] == [*[OUTSIDE] * MAX_STRAY_LINES, END, OUTSIDE]
    assert not joiner.open


def test_a_block_is_bounded_in_lines() -> None:
    """A message without end is cut at `MAX_LINES`; the lines behind it are ordinary ones."""
    joiner = TracebackJoiner(is_record)
    found = joints(*SIMPLE, *[b"more"] * MAX_LINES, joiner=joiner)
    assert found.index(END) == MAX_LINES
    assert set(found[MAX_LINES + 1 :]) == {OUTSIDE}


def test_a_header_behind_a_log_prefix_starts() -> None:
    """`logger.error(format_exc())` puts the header behind time and level."""
    assert joints(b"2026-11-22 ERROR app: " + HEADER, FRAME, SOURCE, FINAL, RECORD) == [START, CONTINUE, CONTINUE, CONTINUE, END]


def test_a_prefix_on_every_line_is_taken_off() -> None:
    """Where a multiplexer put its own prefix before each line, the lines join as without it."""
    prefixed = [b"strategy_1  | " + line for line in [*SIMPLE, b"", CAUSE, b"", *SIMPLE]]
    assert joints(*prefixed) == [START, *[CONTINUE] * 10]


@pytest.mark.parametrize(
    "line",
    [
        b'{"exc_info": "Traceback (most recent call last):\\n  File ..."}',
        b"see Traceback (most recent call last): in the docs",
        b"ValueError: not a traceback",
        b"    | indented words",
        b"  + a list entry",
        b"",
        b"\xff\xfe\x00",
        b"During handling of the above exception, another thing",
    ],
)
def test_a_line_that_only_mentions_a_traceback_is_outside(line: bytes) -> None:
    """A traceback inside a JSON string or in words begins nothing."""
    joiner = TracebackJoiner()
    assert joiner.feed(line) is OUTSIDE
    assert not joiner.open


def test_invalid_utf8_inside_a_traceback_does_no_harm() -> None:
    """Bytes that are not text belong to the message like any other."""
    assert joints(HEADER, FRAME, b"    \xff\xfe", b"ValueError: \xff", RECORD) == [START, CONTINUE, CONTINUE, CONTINUE, END]


@pytest.mark.parametrize(
    "first", [b"Exception in thread Thread-1 (work):", b"Exception ignored in: <function A.__del__ at 0x7f>", b"future: <Task finished>"]
)
def test_the_line_before_the_header_belongs_to_it(first: bytes) -> None:
    """The first words of a thread, the garbage collector or the loop are part of the block."""
    assert joints(first, *SIMPLE, RECORD) == [START, *[CONTINUE] * 4, END]
    assert joints(first, RECORD) == [START, END]


def test_an_exception_in_a_thread_follows_another_directly() -> None:
    """A preamble ends the traceback before it and begins its own."""
    first = b"Exception in thread Thread-1 (work):"
    assert joints(first, *SIMPLE, first, *SIMPLE) == [START, *[CONTINUE] * 4] * 2


def test_the_report_of_logging_itself_is_one_block() -> None:
    """Call stack, message and arguments behind the traceback of a failed log call belong to it."""
    report = [b"--- Logging error ---", *SIMPLE, b"Call stack:", FRAME, SOURCE, b"Message: 'x %d'", b"Arguments: ('y',)"]
    assert joints(*report, RECORD) == [START, *[CONTINUE] * 9, END]


def test_a_worker_traceback_quoted_in_a_message_belongs_to_it() -> None:
    """Multiprocessing passes a worker's traceback on between triple quotes; the headers inside begin nothing."""
    quoted = [b"multiprocessing.pool.RemoteTraceback: ", b'"""', *SIMPLE, b'"""', b"", CAUSE, b"", *SIMPLE]
    assert joints(*quoted, RECORD) == [START, *[CONTINUE] * (len(quoted) - 1), END]


def test_a_fatal_error_is_one_block() -> None:
    """Reason, threads, frames and extension modules of faulthandler's report belong together."""
    report = [
        b"Fatal Python error: Segmentation fault",
        b"",
        b"Thread 0x00007f1 (most recent call first):",
        b'  File "/srv/app/a.py", line 3 in f',
        b"  ...",
        b"",
        b"Current thread 0x00007f2 [main] (most recent call first):",
        b"  <no Python frame>",
        b"",
        b"Extension modules: numpy._core (total: 1)",
    ]
    assert joints(*report, RECORD) == [START, *[CONTINUE] * 9, END]


def test_colours_do_not_hide_a_traceback() -> None:
    """Python 3.13 colours its output on request; the lines join as without."""
    coloured = [HEADER, b'  File \x1b[35m"/srv/app/a.py"\x1b[0m, line \x1b[35m3\x1b[0m, in \x1b[35mf\x1b[0m', SOURCE]
    final = b"\x1b[1;35mValueError\x1b[0m: \x1b[35mwhy\x1b[0m"
    assert joints(*coloured, final, RECORD) == [START, CONTINUE, CONTINUE, CONTINUE, END]


def test_the_cheap_look_misses_no_line_that_opens_a_block() -> None:
    """Of all lines of the corpus, whatever the grammar would begin a block with passes `may_open`."""
    corpus = Path(__file__).parents[2] / "golden" / "tracebacks"
    lines = {line for path in corpus.glob("3.*/*.txt") for line in path.read_bytes().split(b"\n")}
    opening = [line for line in lines if Grammar().feed(clean(line.decode())).starts]
    assert len(opening) > 30
    assert all(map(may_open, opening))
