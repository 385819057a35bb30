"""Exceptions in JSON records: what real logging libraries wrote, and every other shape JSON can take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.parse.exceptions import ExceptionInfo, Frame
from agent.parse.traceback_build import MAX_BOXES, MAX_LINKS
from agent.parse.traceback_json import MAX_REMEMBERED, from_structured

CORPUS = Path(__file__).parents[2] / "golden" / "tracebacks" / "structured"
LINES = [(path.stem, json.loads(line)) for path in sorted(CORPUS.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
TREE_SHAPES = ("stdlib_json", "jsonlogger", "jsonlogger_array", "structlog_text", "structlog_ecs", "opentelemetry", "loguru_plain")
NO_GROUPS = {"loguru-0.5.3", "structlog-22.3.0", "structlog-24.4.0", "structlog-25.2.0"}
NO_NOTES = {"structlog-22.3.0", "structlog-24.4.0"}
FULL = "Traceback (most recent call last):\n" + '  File "/srv/app/a.py", line 3, in f\n    g()\n' + "ValueError: why\n"
FRAMES = '  File "/srv/app/a.py", line 3, in f\n    g()\n'


def cases(*shapes: str) -> list:
    """The lines of the corpus that have one of these shapes."""
    return [
        pytest.param(package, line, id=f"{package}-{line['shape']}-{line['case']}") for package, line in LINES if line["shape"] in shapes
    ]


def frames_of(info: ExceptionInfo) -> list[list[object]]:
    """The frames as the corpus writes them, folded ones unfolded."""
    return [[frame.filename, frame.lineno, frame.function] for frame in info.frames for _ in range(frame.repeated + 1)]


def qualified(expected: dict) -> str:
    """The type as a traceback prints it."""
    plain = expected["module"] in ("builtins", "__main__")
    return expected["type"] if plain else f"{expected['module']}.{expected['type']}"


def chain(info: ExceptionInfo | None) -> list[ExceptionInfo]:
    """The links of a value, newest first."""
    links = []
    while info is not None:
        links.append(info)
        info = info.cause or info.context
    return links


def expected_chain(expected: dict) -> list[dict]:
    """The links of an expectation, newest first."""
    links = []
    while expected:
        links.append(expected)
        expected = expected.get("cause") or expected.get("context") or {}
    return links


def structlog_chain(expected: dict) -> list[dict]:
    """Structlog lists causes only where they were raised."""
    return [link for link in expected_chain(expected) if link["frames"]]


@pytest.mark.parametrize(("package", "line"), cases(*TREE_SHAPES))
def test_a_printed_traceback_in_a_field_is_read_whole(package: str, line: dict) -> None:
    """The chain of types, messages, notes and frames is the one of the exception that was logged."""
    links, expected = chain(from_structured(line["record"])), expected_chain(line["expected"])
    assert [link.qualified for link in links] == [qualified(one) for one in expected]
    assert [frames_of(link) for link in links] == [one["frames"] for one in expected]
    said = ["\n".join([link.value, *link.notes]).strip("\n") for link in links]
    assert said == ["\n".join([one["value"], *one["notes"]]).strip("\n") for one in expected]
    if package not in NO_GROUPS:
        assert [len(link.group) + link.truncated.exceptions for link in links] == [len(one.get("group", ())) for one in expected]


@pytest.mark.parametrize(("package", "line"), cases("structlog_dicts", "structlog_dicts_bare"))
def test_structlog_dictionaries_are_read_whole(package: str, line: dict) -> None:
    """Newest first, `is_cause` on the older one, frames oldest first: the chain comes out as it was raised."""
    links, expected = chain(from_structured(line["record"])), structlog_chain(line["expected"])
    assert [link.type for link in links] == [one["type"].rpartition(".")[2] for one in expected]
    assert [link.cause is not None for link in links[:-1]] == ["cause" in one for one in expected[:-1]]
    for link, one in zip(links, expected, strict=True):
        assert frames_of(link)[-1:] == one["frames"][-1:]
        assert link.notes == (() if package in NO_NOTES else tuple(one["notes"]))
        assert [member.type for member in link.group] == ([] if package in NO_GROUPS else [part["type"] for part in one.get("group", ())])


@pytest.mark.parametrize(("package", "line"), cases("structlog_dicts"))
def test_locals_are_kept_apart_from_everything_else(package: str, line: dict) -> None:
    """Structlog's local variables are in `locals` alone, so that one place decides to drop them."""
    info = from_structured(line["record"])
    assert info is not None
    assert info.frames[0].locals
    assert "expected" in info.frames[0].locals or "name" in info.frames[0].locals


@pytest.mark.parametrize(("package", "line"), cases("structlog_dicts_few"))
def test_skipped_frames_are_counted_where_they_are_missing(package: str, line: dict) -> None:
    """The marker of a shortened stack is not a frame: shown and skipped frames add up to the whole."""
    for link, expected in zip(chain(from_structured(line["record"])), structlog_chain(line["expected"]), strict=True):
        assert len(link.frames) + link.truncated.frames == len(expected["frames"])
        kept = expected["frames"][: link.truncated.frames_at] + expected["frames"][link.truncated.frames_at + link.truncated.frames :]
        assert frames_of(link) == kept


@pytest.mark.parametrize(("package", "line"), cases("ecs_stdlib"))
def test_ecs_gives_the_newest_exception_with_its_frames(package: str, line: dict) -> None:
    """ECS has type, message and bare frames of the newest exception; the rest of the chain is not in the record."""
    info, expected = from_structured(line["record"]), line["expected"]
    assert info is not None
    assert info.type == expected["type"].rpartition(".")[2]
    assert frames_of(info) == expected["frames"]
    assert info.value == expected["value"] or expected["type"] == "SyntaxError"


@pytest.mark.parametrize(("package", "line"), cases("loguru_record"))
def test_loguru_with_its_diagnosis_gives_types_messages_and_frames(package: str, line: dict) -> None:
    """Loguru's looser layout and its annotations below the source lines do not disturb; it adds the callers above."""
    links, expected = chain(from_structured(line["record"])), expected_chain(line["expected"])
    assert [link.qualified for link in links] == [qualified(one) for one in expected]
    for link, one in zip(links, expected, strict=True):
        assert frames_of(link)[-len(one["frames"]) :] == one["frames"] or not one["frames"]
        assert link.value.startswith(one["value"])


@pytest.mark.parametrize(
    "record",
    [
        {"exc_info": FULL},
        {"exc_info": FULL.splitlines()},
        {"exception": FULL},
        {"exc_text": FULL},
        {"stack_trace": FULL},
        {"error": {"type": "ValueError", "message": "why", "stack_trace": FULL}},
        {"error.type": "ValueError", "error.message": "why", "error.stack_trace": FRAMES},
        {"error": {"type": "ValueError", "message": "why", "stack_trace": FRAMES}},
        {"error": {"kind": "ValueError", "message": "why", "stack": FULL}},
        {"exception": {"type": "ValueError", "message": "why", "stacktrace": FULL}},
        {"exception.type": "ValueError", "exception.message": "why", "exception.stacktrace": FULL},
        {"record": {"exception": {"type": "ValueError", "value": "why", "traceback": True}}, "text": "now - failed\n" + FULL},
    ],
    ids="-".join,
)
def test_each_spelling_gives_the_same_exception(record: dict) -> None:
    """However a library names the fields, the value is the same."""
    frame = Frame("/srv/app/a.py", 3, "f", "g()")
    assert from_structured(record) == ExceptionInfo("ValueError", None, "why", (frame,))


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"event": "x", "exc_info": None},
        {"exc_info": True},
        {"exc_info": ""},
        {"exc_info": "no traceback here, only words"},
        {"exception": []},
        {"exception": [1, 2]},
        {"exception": 3.5},
        {"error": "could not connect"},
        {"error": {"type": "timeout", "message": "after 3 s"}},
        {"error": {"type": ["ValueError"]}},
        {"record": {"exception": None}, "text": FULL},
        {"record": []},
    ],
    ids=str,
)
def test_a_record_without_exception_gives_none(record: dict) -> None:
    """Words, categories and empty fields are not an exception."""
    assert from_structured(record) is None


def test_an_exception_line_alone_is_an_exception() -> None:
    """A logged exception that was never raised has no header and no frames."""
    assert from_structured({"exc_info": "ValueError: never raised"}) == ExceptionInfo("ValueError", None, "never raised", ())


def test_fields_without_stack_need_the_name_of_a_class() -> None:
    """`error.type` with a class name and a message is an exception even without a stack; its builtin module is dropped."""
    info = from_structured({"error": {"type": "builtins.ValueError", "message": "why"}})
    assert info == ExceptionInfo("ValueError", None, "why", ())
    assert from_structured({"exception.type": "app.errors.FeedError"}) == ExceptionInfo("FeedError", "app.errors", "", ())


def test_a_chain_of_dictionaries_is_bounded_and_the_rest_counted() -> None:
    """Ten thousand links keep the newest, and the oldest kept one tells how many are missing."""
    stacks = [{"exc_type": "ValueError", "exc_value": str(number), "is_cause": True, "frames": []} for number in range(10_000)]
    links = chain(from_structured({"exception": stacks}))
    assert [link.value for link in links] == [str(number) for number in range(MAX_LINKS)]
    assert links[-1].truncated.links == 10_000 - MAX_LINKS


def test_nested_groups_of_dictionaries_are_bounded_and_counted() -> None:
    """Groups nested ten thousand deep are cut without recursion error; the cut is marked."""
    stacks: list = [{"exc_type": "ValueError", "exc_value": "core"}]
    for level in range(10_000):
        stacks = [{"exc_type": "ExceptionGroup", "exc_value": str(level), "is_group": True, "exceptions": [stacks]}]
    info = from_structured({"exception": stacks})
    depth = 0
    while info and info.group:
        info, depth = info.group[0], depth + 1
    assert depth == MAX_BOXES
    assert info is not None
    assert info.truncated.exceptions == 1


def test_a_syntax_error_keeps_the_place_it_points_at() -> None:
    """Structlog's `syntax_error` becomes the location CPython prints below the frames."""
    told = {"offset": 9, "filename": "/srv/app/t.py", "line": "    def f(:\n", "lineno": 4, "msg": "invalid syntax"}
    info = from_structured({"exception": [{"exc_type": "SyntaxError", "exc_value": "bad", "syntax_error": told, "frames": []}]})
    assert info is not None
    assert info.syntax == Frame("/srv/app/t.py", 4, "", "def f(:", detail=("    ^",))


def test_a_syntax_errors_place_is_not_told_twice() -> None:
    """Structlog's value is `str` of the exception, with the place at its end, which the event adds by itself."""
    told = {"offset": 5, "filename": "/srv/app/conf.py", "line": "x = (1,", "lineno": 1, "msg": "'(' was never closed"}
    stack = {"exc_type": "SyntaxError", "exc_value": "'(' was never closed (conf.py, line 1)", "syntax_error": told, "frames": []}
    info = from_structured({"exception": [stack]})
    assert info is not None
    assert info.value == "'(' was never closed"


@pytest.mark.parametrize(
    "fields", [{"exception": FULL}, {"exception.type": "ValueError", "exception.stacktrace": FULL}], ids=["text", "fields"]
)
def test_a_storm_of_one_text_is_read_once(fields):
    """The cache holds a bounded number of short texts, and its values equal those of reading them again."""
    (key,) = [key for key in fields if key in ("exception", "exception.stacktrace")]
    others = [fields | {key: FULL.replace("why", f"no {number}")} for number in range(100)]
    first = from_structured(fields)
    assert from_structured(dict(fields)) is first
    assert [from_structured(other).value.strip() for other in others] == [f"no {number}" for number in range(100)]
    again = from_structured(fields)
    assert again is not first
    assert again == first
    long = fields | {key: FULL + "x" * MAX_REMEMBERED}
    assert from_structured(long) is not from_structured(long)
