"""The rules of the traceback grammar one by one; the corpus shows them on real text."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from agent.parse.exceptions import ExceptionInfo, Frame, Truncated, is_caret_line, render
from agent.parse.traceback import find_tracebacks, parse_exception_text, parse_fatal_error, parse_stack, parse_traceback
from agent.parse.traceback_build import MAX_HEIGHT, MAX_LINKS, split_type

FRAME = Frame("/srv/app/a.py", 3, "f", "g()")
INFO = ExceptionInfo("ValueError", None, "why", (FRAME,))
SIMPLE = render(INFO)
CUT = "Traceback (most recent call last):\n" + '  File "/srv/app/a.py", line 3, in f\n    g()\n'
SEPARATOR = "\nDuring handling of the above exception, another exception occurred:\n\n"


def test_the_first_of_two_records_is_read() -> None:
    """Words around the traceback change nothing."""
    assert parse_traceback("ERROR cannot go on\n" + SIMPLE) == INFO


@pytest.mark.parametrize("text", ["", "\n", "ValueError: why", "Traceback (most recent call last)", SIMPLE.replace("last", "first")])
def test_a_text_without_traceback_gives_none(text: str) -> None:
    """None where there is no header, whatever else the text says."""
    assert parse_traceback(text) is None
    assert find_tracebacks(text) == []


def test_a_traceback_cut_off_is_told_as_incomplete() -> None:
    """Without its exception line the frames are kept, the type is unknown and marked so."""
    assert parse_traceback(CUT) == ExceptionInfo("", None, "", (FRAME,), truncated=Truncated(incomplete=True))


def test_a_whole_traceback_is_preferred_to_one_cut_off() -> None:
    """If the first is cut off and a second follows, the second is the one that says something."""
    assert parse_traceback(CUT + SIMPLE) == INFO


def test_a_header_alone_is_nothing() -> None:
    """Neither frame nor type: there is no exception to report."""
    assert parse_traceback("Traceback (most recent call last):\n") is None


def test_a_chain_cut_off_behind_its_separator_keeps_the_part_that_was_printed() -> None:
    """A separator that nothing follows does not hide the exception before it."""
    assert parse_traceback(SIMPLE + SEPARATOR) == INFO


def test_the_spans_are_exact() -> None:
    """Start at the header, end behind the last line, for each of several tracebacks."""
    text = f"INFO a\n{SIMPLE}INFO b\n\n{SIMPLE}{SIMPLE}INFO c\n"
    spans = [(start, end) for start, end, _ in find_tracebacks(text)]
    assert [text[start:end] for start, end in spans] == [SIMPLE] * 3


def test_interleaved_lines_are_skipped() -> None:
    """Lines of other writers between header, frames and exception line are not part of the value."""
    lines = SIMPLE.splitlines()
    text = "\n".join(f"{line}\n2026-11-22 INFO other" for line in lines)
    assert [info for _, _, info in find_tracebacks(text)] == [INFO]


def test_a_message_ends_at_the_next_record_in_a_stream() -> None:
    """By default an unindented line is another record; a caller that knows better says so."""
    text = SIMPLE + "second line\n2026 next\n"
    assert find_tracebacks(text)[0][2] == INFO
    joined = find_tracebacks(text, lambda line: line.startswith("2026"))
    assert joined[0][2].value == "why\nsecond line"


def test_in_one_record_everything_below_is_message() -> None:
    """A field that holds one exception keeps a message that looks like a traceback whole."""
    quoted = SIMPLE.removesuffix("\n")
    assert parse_traceback(SIMPLE + "the worker said:\n" + quoted).value == "why\nthe worker said:\n" + quoted  # type: ignore[union-attr]


def test_an_exception_that_was_never_raised_is_read_from_a_field() -> None:
    """Without header and frames a text is an exception only where a field holds nothing else."""
    assert parse_exception_text("app.Error: never raised\n") == ExceptionInfo("Error", "app", "never raised", ())
    assert parse_exception_text("SyntaxError: bad (t.py, line 3)") is not None
    assert parse_exception_text("these are words") is None


def test_the_cause_that_was_never_raised_is_found_before_its_separator() -> None:
    """In a stream the one line before "The above exception" is the cause."""
    text = "INFO x\nKeyError: 'a'\n" + SEPARATOR + SIMPLE
    start, _, info = find_tracebacks(text)[0]
    assert text[start:].startswith("KeyError")
    assert info.context == ExceptionInfo("KeyError", None, "'a'", ())


def test_bare_frames_are_read() -> None:
    """`traceback.format_tb` has neither header nor exception line."""
    text = '  File "/srv/app/a.py", line 3, in f\n    g()\n  File "/srv/app/a.py", line 9, in g\n  [Previous line repeated 7 more times]\n'
    assert parse_stack(text) == (FRAME, Frame("/srv/app/a.py", 9, "g", repeated=7))
    assert parse_stack("nothing") == ()


@pytest.mark.parametrize(
    ("qualified", "module", "name"),
    [
        ("ValueError", None, "ValueError"),
        ("zlib.error", "zlib", "error"),
        ("json.decoder.JSONDecodeError", "json.decoder", "JSONDecodeError"),
        ("app.models.User.DoesNotExist", "app.models", "User.DoesNotExist"),
        ("PIL.UnidentifiedImageError", "PIL", "UnidentifiedImageError"),
        ("app.load.<locals>.Hidden", "app", "load.<locals>.Hidden"),
        ("app.Feed.load.<locals>.Hidden", "app", "Feed.load.<locals>.Hidden"),
        ("load.<locals>.Hidden", None, "load.<locals>.Hidden"),
        ("app.über.Fehler", "app.über", "Fehler"),
        ("app._Private.Inner", "app", "_Private.Inner"),
    ],
)
def test_module_and_class_are_told_apart(qualified: str, module: str | None, name: str) -> None:
    """The class begins at the first capitalised part behind the first, or at the function before `<locals>`."""
    assert split_type(qualified) == (module, name)


def test_the_carets_tell_the_columns() -> None:
    """The marked part of a source line, in characters, from the first caret line alone."""
    frame = Frame("a.py", 1, "f", "x = data['a']['b']", detail=("    ~~~~~~~~~^^^^^",))
    assert (frame.colno, frame.end_colno) == (4, 18)
    assert frame.source_line is not None
    assert frame.source_line[frame.colno : frame.end_colno] == "data['a']['b']"


def test_the_columns_count_characters_where_carets_count_cells() -> None:
    """CPython pads its carets below wide characters; the columns are those of the text."""
    frame = Frame("a.py", 1, "f", '"日本" + x', detail=("         ^",))
    assert frame.source_line is not None
    assert frame.source_line[frame.colno : frame.end_colno] == "x"


def test_without_carets_there_are_no_columns() -> None:
    """Source lines below the first are not marks."""
    assert Frame("a.py", 1, "f", "g(").colno is None
    assert Frame("a.py", 1, "f", "g(", detail=("    1,",)).end_colno is None
    assert not is_caret_line("   ")


def test_a_long_chain_keeps_the_newest_and_counts_the_rest() -> None:
    """Ten thousand links neither recurse nor vanish untold."""
    info = parse_traceback(SEPARATOR.join(SIMPLE.replace("why", str(number)) for number in range(10_000)))
    values = []
    while info is not None:
        values.append(info.value)
        oldest, info = info, info.context
    assert values == [str(number) for number in range(9_999, 9_999 - MAX_LINKS, -1)]
    assert oldest.truncated.links == 10_000 - MAX_LINKS


def test_deep_boxes_are_cut_and_counted() -> None:
    """Groups nested deeper than any interpreter prints are read without recursion, the cut is marked."""
    lines = [
        "  + Exception Group Traceback (most recent call last):",
        '  |   File "a.py", line 1, in f',
        "  | ExceptionGroup: x (1 sub-exception)",
    ]
    for depth in range(1, 1500):
        lines.append("  " * depth + "+-+---------------- 1 ----------------")
        lines.append("  " * (depth + 1) + "| ExceptionGroup: x (1 sub-exception)")
    info = parse_traceback("\n".join(lines))
    hidden = 0
    while info is not None and info.group:
        info = info.group[0]
        hidden = info.truncated.exceptions
    assert hidden == 1


def test_chains_in_groups_in_chains_stay_within_a_height() -> None:
    """Neither long chains nor nested groups alone, but both together must not grow a tree that recursion cannot walk."""
    info = INFO
    for _ in range(13):
        info = replace(INFO, is_group=True, group=(info,))
        for _ in range(30):
            info = replace(INFO, context=info)
    read = parse_traceback(render(info))
    assert read is not None
    assert read == parse_traceback(render(info))
    assert height(info) > 400 > MAX_HEIGHT + MAX_LINKS >= height(read)
    assert re.search(r"links=[1-9]|exceptions=[1-9]", repr(read))


def height(info: ExceptionInfo) -> int:
    """The longest path from the newest exception to an oldest or innermost one."""
    longest, queue = 0, [(info, 1)]
    while queue:
        one, depth = queue.pop()
        longest = max(longest, depth)
        queue += [(part, depth + 1) for part in (one.cause, one.context, *one.group) if part is not None]
    return longest


@pytest.mark.parametrize(
    "line",
    [
        "      +---------------- 2 ----------------",
        "      +-+---------------- 1 ----------------",
        "      +------------------------------------",
        "  +-+- no box",
        "| at the left edge",
    ],
)
def test_a_line_that_is_no_box_of_this_group_changes_no_box(line: str) -> None:
    """Only a box one deeper, or one of those that are open, can stand there; all else is text."""
    text = render(ExceptionInfo("ExceptionGroup", None, "x", (FRAME,), group=(INFO,), is_group=True))
    before, close = text[: text.rindex("    +---")], text[text.rindex("    +---") :]
    info = parse_traceback(before + line + "\n" + close)
    assert info is not None
    assert [member.type for member in info.group] == ["ValueError"]
    assert info.group[0].value == "why\n" + line


def test_a_number_too_long_for_a_line_number_does_not_raise() -> None:
    """Digits beyond what int() takes are cut."""
    info = parse_traceback(SIMPLE.replace("line 3", "line " + "9" * 5000))
    assert info is not None
    assert info.frames[0].lineno == int("9" * 18)


def test_a_frame_without_line_number_is_kept() -> None:
    """Generated code may have none; CPython prints None."""
    info = parse_traceback(SIMPLE.replace("line 3", "line None"))
    assert info is not None
    assert info.frames[0].lineno is None
    assert render(info) == SIMPLE.replace("line 3", "line None")


def test_fatal_errors_are_found_only_where_there_is_one() -> None:
    """Words about threads are not a report; a dump without cause has the reason ""."""
    assert parse_fatal_error("the current thread died") is None
    assert parse_fatal_error("Fatal Python error: Aborted\n") is not None
    dump = parse_fatal_error('Thread 0x1f (most recent call first):\n  File "a.py", line 3 in f\n  File "a.py", line ??? in g\n')
    assert dump is not None
    assert dump.reason == ""
    assert dump.current is None
    assert [(frame.function, frame.lineno) for frame in dump.threads[0].frames] == [("g", None), ("f", 3)]


def test_a_fatal_error_tells_state_and_modules() -> None:
    """The runtime state and the loaded extension modules are kept."""
    error = parse_fatal_error(
        "Fatal Python error: deallocating None\nPython runtime state: finalizing (tstate=0x1)\n\n"
        "Current thread 0x1 [main] (most recent call first):\n  <no Python frame>\n\nExtension modules: a, b.c (total: 2)\n"
    )
    assert error is not None
    assert error.reason == "deallocating None"
    assert error.runtime_state == "finalizing (tstate=0x1)"
    assert error.extension_modules == ("a", "b.c")
    assert error.threads[0].name == "main"


def test_the_lines_of_one_exception_begin_no_other():
    """A separator behind a remote traceback that broke off finds no cause in it: each line lies in one span."""
    text = "multiprocessing.pool.RemoteTraceback: \nfuture: <Task>\n\nThe above exception was the direct cause of the following exception:"
    assert [(start, end) for start, end, _ in find_tracebacks(text)] == [(0, 39)]
