"""Every traceback of the corpus, printed by real interpreters, reads as those interpreters say it is."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from agent.names import EXCEPTION_STACKTRACE as STACKTRACE
from agent.parse.exceptions import ExceptionInfo, Frame, render
from agent.parse.lines import Parser
from agent.parse.traceback import Joint, TracebackJoiner, find_tracebacks, parse_exception_text, parse_fatal_error, parse_traceback
from agent.parse.traceback_joiner import may_open
from agent.parse.traceback_tokens import ANSI
from agent.record import Origin

CORPUS = Path(__file__).parents[2] / "golden" / "tracebacks"
TEXTS = sorted(path for path in CORPUS.glob("3.*/*.txt") if not path.name.startswith("fatal_"))
FATAL = sorted(CORPUS.glob("3.*/fatal_*.txt"))
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
QUOTING = ("message_with_traceback",)
"""Cases whose message quotes a traceback: in a stream of lines that begins another one, see the test of the joiner."""
IN_STREAM = [path for path in TEXTS if path.name.partition(".")[0] not in QUOTING]
BARE = [path for path in TEXTS if path.name.startswith("bare_")]
"""The output of dying programs on a stream that has nothing else."""
RECORD = b"2026-11-22 14:00:00 INFO the next record\n"
DEPTH_LIMIT = 10
"""CPython prints no group nested deeper than this many boxes."""
WIDTH_LIMIT = 15
"""CPython prints so many members of a group."""


def name_of(path: Path) -> str:
    """Version and file, for the test's name."""
    return f"{path.parent.name}-{path.stem}"


@cache
def expectations(folder: Path) -> dict[str, dict]:
    """The exceptions of each case, as the interpreters of a folder report them."""
    return json.loads((folder / "expected.json").read_text())


def case_of(path: Path) -> str:
    """The case a text is of."""
    return path.name.partition(".")[0]


def expected_of(path: Path) -> dict:
    """The exception as the interpreter reports it, except for two habits of its old C printer."""
    expected = expectations(path.parent)[case_of(path)]
    if ".module" in path.name:
        return expected
    if path.parent.name == "3.8" and "type" in expected:
        expected = {**expected, "type": expected["type"].rpartition(".")[2]}
    if case_of(path) == "failing_str":
        expected = {**expected, "value": "<exception str() failed>"}
    return expected


def read_value(path: Path) -> ExceptionInfo | None:
    """The value; a chain that begins with an exception without traceback is read where a field holds nothing else."""
    return (parse_exception_text if is_headless(path) else parse_traceback)(read(path))


def is_headless(path: Path) -> bool:
    """Whether a text begins with an exception that was never raised."""
    return case_of(path).endswith("_never_raised") or case_of(path) == "syntax_error_never_raised_cause"


def read(path: Path) -> str:
    """The text, its bytes untouched."""
    return path.read_bytes().decode("utf-8")


def printed(text: str) -> str:
    """A text as standard error prints it: lone surrogates escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def unfolded(frames: tuple[Frame, ...]) -> list[list[object]]:
    """The frames with CPython's folding of repeated ones undone."""
    return [[frame.filename, frame.lineno, frame.function] for frame in frames for _ in range(frame.repeated + 1)]


def assert_same(info: ExceptionInfo | None, expected: dict, depth: int = 0) -> None:
    """The whole tree, as far down as CPython prints it."""
    assert info is not None
    group = expected.get("group")
    level = depth + (group is not None and depth == 0)
    if group is not None and level > DEPTH_LIMIT:
        assert info.truncated.depth_limit == DEPTH_LIMIT
        return
    assert_same_exception(info, expected)
    assert_same_members(info, group, level + 1)
    for name in ("cause", "context"):
        if name in expected:
            assert_same(getattr(info, name), expected[name], depth)
        else:
            assert getattr(info, name) is None


def assert_same_exception(info: ExceptionInfo, expected: dict) -> None:
    """One exception without what it hangs together with."""
    visible = expected["module"] not in ("builtins", "__main__")
    assert (info.module, info.type) == (expected["module"] if visible else None, expected["type"])
    assert "\n".join([info.value, *info.notes]) == printed("\n".join([expected["value"], *expected["notes"]]))
    assert unfolded(info.frames) == expected["frames"]
    assert (info.syntax and [info.syntax.filename, info.syntax.lineno]) == (expected["syntax"] and expected["syntax"][:2])


def assert_same_members(info: ExceptionInfo, group: list[dict] | None, depth: int) -> None:
    """The members of a group, and how many were left out."""
    assert info.is_group is (group is not None)
    members = group or []
    assert len(info.group) == min(len(members), WIDTH_LIMIT)
    assert info.truncated.exceptions == max(len(members) - WIDTH_LIMIT, 0)
    for member, expected in zip(info.group, members, strict=False):
        assert_same(member, expected, depth)


def test_the_corpus_is_of_seven_interpreters() -> None:
    """The corpus must cover every version from 3.8 to 3.14, each with at least 60 texts."""
    count = {version: len(list((CORPUS / version).glob("*.txt"))) for version in VERSIONS}
    assert min(count.values()) >= 60


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_the_text_reads_as_the_interpreter_knows_it(path: Path) -> None:
    """Types, modules, messages, frames, chains and groups are those of the exception objects."""
    assert_same(read_value(path), expected_of(path))


def is_canonical(path: Path) -> bool:
    """The `traceback` module's own text without colours; the C printer differs where a `.module` file stands beside."""
    other = path.with_name(f"{path.name.partition('.')[0]}.module.txt")
    return ".colour" not in path.name and (".module" in path.name or not other.exists())


@pytest.mark.parametrize("path", [path for path in TEXTS if is_canonical(path)], ids=name_of)
def test_the_value_renders_to_the_text_it_was_read_from(path: Path) -> None:
    """Text to value to text changes nothing, whatever stands before and after the traceback."""
    text = read(path)
    info = read_value(path)
    assert info is not None
    assert render(info) in text


@pytest.mark.parametrize("version", VERSIONS)
def test_windows_line_ends_change_nothing(version: str) -> None:
    """A text with CRLF reads as the one with LF."""
    texts = [text for text in texts_of(version) if "\r" not in text]
    assert [parse_traceback(text.replace("\n", "\r\n")) for text in texts] == [parse_traceback(text) for text in texts]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_last_newline_may_be_missing(version: str) -> None:
    """A text cut before its last newline reads the same, except for a message that ends in one."""
    texts = [text for text in texts_of(version) if not text.endswith("\n\n")]
    assert [parse_traceback(text.removesuffix("\n")) for text in texts] == [parse_traceback(text) for text in texts]


def texts_of(version: str) -> list[str]:
    """All texts of one interpreter."""
    return [read(path) for path in TEXTS if path.parent.name == version]


@pytest.mark.parametrize("path", IN_STREAM, ids=name_of)
def test_the_joiner_holds_the_lines_together(path: Path) -> None:
    """From its first to its last line the text is one block, and the next record ends it."""
    joiner = TracebackJoiner(lambda line: line.startswith(b"2026-"))
    joints = feed(joiner, path)
    start = joints.index(Joint.START)
    assert joints[-1] is Joint.END
    assert not joiner.open
    assert set(joints[:start]) == {Joint.OUTSIDE}
    assert set(joints[start + 1 : -1]) <= {Joint.CONTINUE}


def feed(joiner: TracebackJoiner, path: Path) -> list[Joint]:
    """The joints of a text between two records."""
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    return [joiner.feed(line) for line in [RECORD, *lines, RECORD]]


@pytest.mark.parametrize("path", IN_STREAM, ids=name_of)
def test_a_traceback_is_found_among_other_lines(path: Path) -> None:
    """In a log the span is exactly the traceback's lines, and the value is the one of the text alone."""
    text = read(path)
    before, after = RECORD.decode() * 3, RECORD.decode() * 2
    found = find_tracebacks(before + text + after, lambda line: line.startswith("2026-"))
    assert len(found) == 1
    start, end, info = found[0]
    assert render(info) == render(parse_traceback(text)).rstrip("\n") + "\n"
    assert start >= len(before)
    assert end <= len(before + text)


@pytest.mark.parametrize("path", FATAL, ids=name_of)
def test_a_fatal_error_reads_as_the_program_told_before_it_died(path: Path) -> None:
    """Reason, threads and frames (oldest first; faulthandler prints the newest hundred) are those before the signal."""
    error, expected = parse_fatal_error(read(path)), expected_of(path)
    assert error is not None
    assert error.reason == expected["reason"]
    assert error.current is not None
    assert error.current.ident == expected["current"]
    assert {thread.ident for thread in error.threads} == set(expected["threads"])
    for thread in error.threads:
        frames = expected["threads"][thread.ident]
        assert unfolded(thread.frames) == frames[-100:]
        assert thread.truncated is (len(frames) > 100)


def on_a_bare_stream(data: bytes, *, ended: bool) -> list[str]:
    """The stack traces of the records that a stream without a record format holds; every record must have one."""
    parser, lines, offset = Parser(), [], 0
    for line in data.removesuffix(b"\n").split(b"\n"):
        lines.append((offset, line))
        offset += len(line) + 1
    records, _ = parser.parse_chunk(lines, Origin("f"), 1)
    return [str(record.attributes[STACKTRACE]) for record in [*records, *parser.flush(2, ended=ended)]]


@pytest.mark.parametrize("path", BARE, ids=name_of)
@pytest.mark.parametrize("ended", [False, True], ids=["silent", "ended"])
def test_on_a_bare_stream_a_dying_program_s_message_is_whole(path: Path, ended: bool) -> None:
    """All links, members and notes have all their lines, whether the stream ends or only falls silent; two such texts are two errors."""
    texts = on_a_bare_stream(path.read_bytes() * 2, ended=ended)
    assert len(texts) == 2
    for text in texts:
        assert_same(parse_traceback(text), without_last_blanks(expected_of(path)))


def without_last_blanks(expected: dict) -> dict:
    """A stream does not tell the newlines that a message ends in from blank lines behind it."""
    return {**expected, "value": expected["value"].rstrip("\n")}


@pytest.mark.parametrize("path", IN_STREAM, ids=name_of)
def test_on_a_stream_that_ends_every_text_is_one_error(path: Path) -> None:
    """Whatever an interpreter printed last, each line of it is the error's, except for one above that was never raised."""
    data = path.read_bytes()
    if case_of(path).startswith("logg") or is_headless(path) or not may_open(data.partition(b"\n")[0]):
        return
    (text,) = on_a_bare_stream(data, ended=True)
    assert parse_traceback(text) == parse_traceback(ANSI.sub("", data.decode()).rstrip("\n"))
