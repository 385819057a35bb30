"""Laws of the traceback grammar: there and back, never an error, never more than linear work."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.names import EXCEPTION_STACKTRACE as STACKTRACE
from agent.parse.exceptions import ExceptionInfo, Frame, Truncated, render
from agent.parse.formats import PLAIN, detect
from agent.parse.lines import Parser
from agent.parse.traceback import Joint, TracebackJoiner, find_tracebacks, parse_exception_text, parse_fatal_error, parse_traceback
from agent.parse.traceback_build import split_type
from agent.parse.traceback_extent import LATE_NS, is_other
from agent.parse.traceback_json import from_structured
from agent.parse.traceback_lines import Grammar
from agent.record import LogRecord, Origin

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.property

CORPUS = Path(__file__).parents[1] / "golden" / "tracebacks"
HEADER = "Traceback (most recent call last):"
CAUSE = "The above exception was the direct cause of the following exception:"
RECORD = "2026-11-22 14:00:00 INFO other"

words = st.text(st.characters(blacklist_characters='\n\r"\x1b', blacklist_categories=("Cs",)), max_size=20)
names = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)
classes = st.from_regex(r"[A-Z][A-Za-z0-9]{0,8}(Error)?", fullmatch=True).filter(lambda name: not name.isupper())
sources = st.from_regex(r"[a-zA-Z(\[{@#\"'][ -~]{0,30}[!-~]", fullmatch=True)
carets = st.from_regex(r" {0,8}~{0,4}\^{1,5}~{0,4}", fullmatch=True)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """A frame as CPython could print it."""
    source = draw(st.none() | sources)
    return Frame(
        filename="/srv/" + draw(words),
        lineno=draw(st.none() | st.integers(0, 10**6)),
        function=draw(names | st.just("<module>") | st.just("<lambda>")),
        source_line=source,
        repeated=draw(st.sampled_from([0, 0, 0, 1, 17])),
        detail=() if source is None else draw(st.just(()) | st.tuples(carets)),
    )


@st.composite
def messages(draw: st.DrawFn) -> str:
    """A message of one line or several; blank lines at its end cannot be distinguished from those of a separator."""
    lines = draw(st.lists(words, min_size=1, max_size=4))
    return "\n".join(lines).rstrip("\n")


@st.composite
def plain(draw: st.DrawFn) -> ExceptionInfo:
    """One exception without relations."""
    module = draw(st.none() | st.lists(names, min_size=1, max_size=3).map(".".join))
    stack = tuple(draw(st.lists(frames(), min_size=1, max_size=4)))
    return ExceptionInfo(draw(classes), module, draw(messages()), stack)


def linked(children: st.SearchStrategy[ExceptionInfo]) -> st.SearchStrategy[ExceptionInfo]:
    """Chains and groups of smaller trees."""
    return st.one_of(
        st.builds(lambda info, older: replace(info, cause=older), plain(), children),
        st.builds(lambda info, older: replace(info, context=older), plain(), children),
        st.builds(grouped, plain(), st.lists(children, min_size=1, max_size=3), st.sampled_from([0, 0, 1, 25])),
    )


def grouped(info: ExceptionInfo, members: list[ExceptionInfo], hidden: int) -> ExceptionInfo:
    """A group with members, some of them perhaps not printed."""
    truncated = Truncated(exceptions=hidden) if hidden else info.truncated
    return replace(info, is_group=True, group=tuple(members), truncated=truncated)


trees = st.recursive(plain(), linked, max_leaves=8)


@given(trees)
def test_what_is_rendered_is_read_back(info: ExceptionInfo) -> None:
    """Value to text to value changes nothing, for chains, groups and messages of several lines."""
    assert parse_traceback(render(info)) == info


@given(trees)
def test_text_to_value_to_text_changes_nothing(info: ExceptionInfo) -> None:
    """The text of a value renders to itself."""
    text = render(info)
    again = parse_traceback(text)
    assert again is not None
    assert render(again) == text


@given(trees)
def test_the_joiner_and_the_parser_agree(info: ExceptionInfo) -> None:
    """Where the parser sees one exception the joiner sees one block, and the next record ends it."""
    joiner = TracebackJoiner(lambda line: line.startswith(b"2026-"))
    lines = [*render(info).removesuffix("\n").split("\n"), RECORD]
    joints = [joiner.feed(line.encode()) for line in lines]
    if any(HEADER in line or CAUSE in line for link in every(info) for line in link.value.split("\n")):
        return
    assert joints == [Joint.START, *[Joint.CONTINUE] * (len(lines) - 2), Joint.END]


def every(info: ExceptionInfo) -> list[ExceptionInfo]:
    """All exceptions of a tree."""
    found, queue = [], [info]
    while queue:
        one = queue.pop()
        found.append(one)
        queue += [part for part in (one.cause, one.context, *one.group) if part is not None]
    return found


@given(plain(), st.lists(st.booleans(), min_size=12, max_size=12))
def test_lines_of_others_in_the_stack_do_not_matter(info: ExceptionInfo, where: list[bool]) -> None:
    """Records between header, frames and exception line leave the value as it is."""
    info = replace(info, value="one line")
    lines = render(info).removesuffix("\n").split("\n")
    mixed = [
        line for number, original in enumerate(lines) for line in ([RECORD, original] if number and where[number % 12] else [original])
    ]
    assert parse_traceback("\n".join(mixed)) == info


@given(classes, st.lists(names, max_size=3))
def test_module_and_class_together_are_what_was_printed(name: str, modules: list[str]) -> None:
    """Splitting a printed type loses nothing."""
    printed = ".".join([*modules, name])
    module, rest = split_type(printed)
    assert (f"{module}.{rest}" if module else rest) == printed


PIECES = [
    HEADER, "  + Exception Group " + HEADER, "Exception Group " + HEADER, '  File "a.py", line 1, in f', '  File "a.py", line 1', "    x = 1",
    "    ~~^~~", "  [Previous line repeated 3 more times]", "ValueError: x", "ValueError", "  | ExceptionGroup: x (2 sub-exceptions)",
    "  +-+---------------- 1 ----------------", "    +---------------- 2 ----------------", "    +---------------- ... ----------------",
    "    +------------------------------------", "    | ValueError: y", "    | and 3 more exceptions", "      +-+---------------- 1 ----------------",
    "    | ... (max_group_depth is 10)", "    | ", "  | ", "", CAUSE, "    | " + CAUSE, '"""', "multiprocessing.pool.RemoteTraceback: ",
    "Exception in thread Thread-1 (f):", "--- Logging error ---", "Call stack:", "Message: 'x'", "Arguments: ()", "future: <Task>",
    "Fatal Python error: Aborted", "Current thread 0x1f (most recent call first):", '  File "a.py", line 1 in f', "  ...", RECORD, "p | " + HEADER,
    "p |   File", "INFO: x", "\x1b[31mred\x1b[0m", "\x00", "\ud800",
]  # fmt: skip
garbage = st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=40).map("\n".join)


def assert_total(text: str) -> None:
    """Nothing raises, values compare, print and render, spans lie inside the text in order."""
    for info in (parse_traceback(text), parse_exception_text(text)):
        if info is not None:
            assert info == info  # noqa: PLR0124 - comparing must not recurse without end
            assert repr(info)
            assert isinstance(render(info), str)
    spans = [(start, end) for start, end, _ in find_tracebacks(text)]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    parse_fatal_error(text)


@given(garbage | st.text(max_size=400))
@settings(max_examples=500)
def test_no_text_raises(text: str) -> None:
    """The parsers are total on whatever a log may hold."""
    assert_total(text)


@given(st.sampled_from(sorted(CORPUS.glob("3.1*/group*.txt"))), st.data())
@settings(max_examples=300)
def test_no_damaged_traceback_raises(path: Path, data: st.DataObject) -> None:
    """Lines of real tracebacks dropped, doubled and swapped are read without error."""
    lines = path.read_text(encoding="utf-8").split("\n")
    order = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=60))
    assert_total("\n".join(lines[index] for index in order))
    cut = data.draw(st.integers(0, len(lines)))
    assert_total("\n".join(lines[:cut]))


@given(
    st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b""))
    | st.sampled_from(PIECES).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_the_joiner_takes_any_bytes(line: bytes) -> None:
    """No line raises, in any state."""
    joiner = TracebackJoiner()
    for piece in PIECES:
        joiner.feed(piece.encode("utf-8", "surrogatepass"))
        joiner.feed(line)


@given(garbage)
def test_open_means_that_a_block_is_open(text: str) -> None:
    """`open` is true exactly behind a START or CONTINUE, or an OUTSIDE in the middle of a block."""
    joiner, open_before = TracebackJoiner(), False
    for line in text.encode("utf-8", "surrogatepass").split(b"\n"):
        joint = joiner.feed(line)
        assert joint in ((Joint.START, Joint.OUTSIDE) if not open_before else tuple(Joint))
        assert joiner.open is (joint in (Joint.START, Joint.CONTINUE) or (joint is Joint.OUTSIDE and open_before))
        open_before = joiner.open


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(PIECES),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=12,
)
told = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        [
            "exc_type",
            "exc_value",
            "exc_notes",
            "frames",
            "is_cause",
            "is_group",
            "exceptions",
            "syntax_error",
            "type",
            "value",
            "message",
            "stack_trace",
        ],
        json_values,
    ),
)
records = st.dictionaries(
    st.sampled_from(["exception", "exc_info", "error", "record", "text", "error.type", "error.stack_trace", "exception.type", "exc_text"]),
    json_values | told | st.lists(told, max_size=4) | garbage,
)


@given(records)
@settings(max_examples=500)
def test_no_shape_of_json_raises(record: dict) -> None:
    """Whatever a program put into its record, reading it gives an exception or none."""
    info = from_structured(record)
    if info is not None:
        assert repr(info)
        assert render(info)


# --- a stream without a record format --------------------------------------------------------------------------------


def chunk(text: str) -> list[tuple[int, bytes]]:
    """The lines of a text with the offsets they have in a file."""
    lines, offset = [], 0
    for line in text.encode().removesuffix(b"\n").split(b"\n"):
        lines.append((offset, line))
        offset += len(line) + 1
    return lines


def on_a_stream(text: str, *, ended: bool = False) -> list[LogRecord]:
    """The records of a whole stream."""
    parser = Parser()
    records, _ = parser.parse_chunk(chunk(text), Origin("f"), 1)
    return [*records, *parser.flush(1, ended=ended)]


def could_be_a_message_s(line: str) -> bool:
    """Whether a line is not surely something else, wherever it stands: a record, a warning, a report; and is not a control sequence of a terminal."""
    begins = Grammar().feed(line).starts or line.endswith(HEADER) or is_other(line) or line == "Stack (most recent call last):"
    return not begins and not any(mark in line for mark in "\0\r\x1b\ufeff\ud800") and detect(line.encode()) is PLAIN


message_lines = st.lists(
    (words | st.sampled_from(["[SQL: SELECT", "FROM t]", "{", "}", "  x", "KeyError: 'x'", "ends:", ""])).filter(could_be_a_message_s),
    min_size=1,
    max_size=12,
)


@given(plain(), message_lines)
def test_at_the_end_of_a_stream_any_message_is_whole(info: ExceptionInfo, lines: list[str]) -> None:
    """Of a stream that ends with a traceback every line below the exception line is its message's."""
    info = replace(info, value="\n".join(lines).rstrip("\n"))
    (record,) = on_a_stream(render(info), ended=True)
    assert parse_traceback(str(record.attributes[STACKTRACE])) == info


@given(plain(), message_lines, plain(), st.booleans())
def test_in_the_middle_of_a_chain_any_message_is_whole(info: ExceptionInfo, lines: list[str], newest: ExceptionInfo, caused: bool) -> None:
    """Up to the separator every line is the message's, whether the exception was caught or not, and whatever follows the chain."""
    older = replace(info, value="\n".join(lines))
    newest = replace(newest, value="one line")
    chain = replace(newest, cause=older) if caused else replace(newest, context=older)
    record, other = on_a_stream(render(chain) + "INFO:root:next\n")
    assert parse_traceback(str(record.attributes[STACKTRACE])) == chain
    assert other.body == "next"


def lines_of(record: LogRecord, first: str) -> list[str]:
    """The lines that a record consists of; its first is that at its offset."""
    stack = str(record.attributes[STACKTRACE]).split("\n") if STACKTRACE in record.attributes else []
    return stack if stack and first.endswith(stack[0]) else [*str(record.body).split("\n"), *stack]


BARE_PIECES = [piece for piece in PIECES if could_be_a_message_s(piece) or HEADER in piece or Grammar().feed(piece).starts]
bare_text = st.lists(st.sampled_from(BARE_PIECES) | st.sampled_from(["words", "more words", "  indented", ""]), max_size=40)


@given(bare_text, st.lists(st.integers(0, 40), max_size=3), st.booleans())
@settings(max_examples=500)
def test_every_line_of_a_stream_is_in_one_record(lines: list[str], cuts: list[int], ended: bool) -> None:
    """Whatever is held back, joined and given out, however late a part comes: no line with text is lost, doubled or changed.

    Of lines that repeat a prefix, a traceback is stored without it.
    """
    assume(any(lines))
    parser, placed, records = Parser(), chunk("\n".join(lines)), []
    edges = [0, *sorted(cuts), len(placed)]
    for number, (start, end) in enumerate(pairwise(edges)):
        more, _ = parser.parse_chunk(placed[start:end], Origin("f"), 1 + number * (LATE_NS + 1))
        records += more
    records += parser.flush(1, ended=ended)
    first = {offset: line.decode() for offset, line in placed}
    found = [line for record in records for line in lines_of(record, first[record.offset])]
    assert Counter(map(bare, filter(str.strip, found))) == Counter(map(bare, filter(str.strip, lines)))
    assert len(records) == len({record.offset for record in records})


def bare(line: str) -> str:
    """A line without the prefix that some of the pieces have."""
    return line.removeprefix("p | ").rstrip()


# --- linear time, counted in steps, not in seconds -------------------------------------------------------------------


def steps_of(function: Callable[[], object]) -> int:
    """Lines of Python executed: the same on every machine, and quadratic work shows."""
    count = 0

    def tracer(frame: object, event: str, arg: object) -> object:
        nonlocal count
        count += event == "line"
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)  # type: ignore[arg-type]
    try:
        function()
    finally:
        sys.settrace(before)
    return count


FRAMES = '  File "a.py", line 1, in f\n    g()\n'
BLOCK = f"{HEADER}\n{FRAMES}ValueError: x\n"
GROWING: dict[str, Callable[[int], str]] = {
    "plain lines": lambda n: (RECORD + "\n") * n,
    "headers": lambda n: (HEADER + "\n") * n,
    "frames": lambda n: HEADER + "\n" + FRAMES * n,
    "tracebacks": lambda n: BLOCK * n,
    "chain": lambda n: f"\n{CAUSE}\n\n".join([BLOCK] * n),
    "separators": lambda n: BLOCK + f"\n{CAUSE}\n" * n,
    "blank lines": lambda n: BLOCK + "\n" * n,
    "message": lambda n: BLOCK + "more\n" * n,
    "short messages": lambda n: (BLOCK + "more\nand more\n") * n,
    "messages in a box": lambda n: "  + Exception Group " + HEADER + "\n  | E: x\n  +-+---------------- 1 ----------------\n    | E: x\n" + "more\n" * n,
    "interruptions": lambda n: (HEADER + "\n" + FRAMES) * 8 + (HEADER + "\n" + FRAMES + "ValueError: x\n" + FRAMES) * n,
    "members": lambda n: "  + Exception Group " + HEADER + "\n  | E: x\n  +-+---------------- 1 ----------------\n"
    + "    | ValueError: x\n    +---------------- 2 ----------------\n" * n,
    "unclosed boxes": lambda n: "  + Exception Group " + HEADER + "\n  | E: x\n" + "  +-+---------------- 1 ----------------\n" * n,
    "one long line": lambda n: HEADER + '\n  File "' + '", line 1, in ' * n + "\nValueError: " + "a.b:" * n,
    "stray lines": lambda n: (HEADER + "\n" + (RECORD + "\n") * 63) * n,
    "fatal": lambda n: "Fatal Python error: x\n" + "Thread 0x1 (most recent call first):\n" * n,
}  # fmt: skip


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING.keys())
@pytest.mark.parametrize("read", [parse_traceback, find_tracebacks, parse_exception_text, parse_fatal_error])
def test_twice_the_text_takes_twice_the_steps(make: Callable[[int], str], read: Callable[[str], object]) -> None:
    """No input makes a reader do more than linear work in its length."""
    small, large = make(200), make(400)
    assert steps_of(lambda: read(large)) <= 2.3 * steps_of(lambda: read(small)) + 400


@pytest.mark.parametrize("next_record", [None, lambda _: None], ids=["strict", "patient"])
@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING.keys())
def test_twice_the_lines_take_the_joiner_twice_the_steps(
    make: Callable[[int], str], next_record: Callable[[bytes], bool | None] | None
) -> None:
    """The joiner's work per line is bounded in every state."""

    def join(text: str) -> None:
        joiner = TracebackJoiner(next_record)
        for line in text.encode().split(b"\n"):
            joiner.feed(line)

    small, large = make(200), make(400)
    assert steps_of(lambda: join(large)) <= 2.3 * steps_of(lambda: join(small)) + 400


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING.keys())
def test_twice_the_stream_takes_twice_the_steps(make: Callable[[int], str]) -> None:
    """Nor does what is held back, decided and given out again make a stream's work grow faster than its length."""
    small, large = make(200), make(400)
    assert steps_of(lambda: on_a_stream(large)) <= 2.3 * steps_of(lambda: on_a_stream(small)) + 4_000


LONG_LINES: dict[str, Callable[[int], str]] = {
    "file names": lambda n: HEADER + '\n  File "' + '", line 1x' * n,
    "line numbers": lambda n: HEADER + '\n  File "", line ' + "1" * n + "x",
    "dotted names": lambda n: HEADER + "\n" + "a." * n + " x",
    "local names": lambda n: HEADER + "\n" + "a.<b" * n + " x",
    "members told": lambda n: "  | E: " + "(1 sub-exceptions " * n,
    "worker": lambda n: "a." * n + "RemoteTraceback:  x",
    "threads": lambda n: "Thread " + "(most recent call first) " * n,
    "margin": lambda n: "  + Exception Group " + HEADER + "\n  | E: x\n" + " " * n + "+-",
    "colours": lambda n: HEADER + "\n" + "\x1b[" * n + "1" * n,
    "warnings": lambda n: BLOCK + "a:1: " * n + "Warning",
    "dotted warnings": lambda n: BLOCK + "a:1: " + "a." * n + "Warning x",
    "brackets": lambda n: BLOCK + "[" * n + "\n" + "]" * n,
    "modules": lambda n: "Fatal Python error: x\nExtension modules: " + "a (total: 1" * n,
}


@pytest.mark.parametrize("make", LONG_LINES.values(), ids=LONG_LINES.keys())
def test_no_line_makes_a_pattern_backtrack(make: Callable[[int], str]) -> None:
    """A line of half a million units is read; with quadratic patterns this would take an hour and time out."""
    assert_total(make(500_000))
    TracebackJoiner().feed(make(500_000).encode())
    on_a_stream(make(500_000))


def test_a_million_headers_are_read() -> None:
    """A million lines of nothing but headers neither recurse nor hold on to more than the open one."""
    assert parse_traceback((HEADER + "\n") * 1_000_000) is None
