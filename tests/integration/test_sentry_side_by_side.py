"""Exceptions that we read from an interpreter's text equal those that sentry-sdk reports from inside the same program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.issues.event.encode import encode_event
from agent.issues.event.frames import EncodeOptions
from agent.issues.event.source_files import SourceFiles
from agent.issues.reading.record_event import record_event
from agent.issues.reading.rules import Rules
from tests.support.sentry import CORPUS, SUBJECT, records_of

PROGRAMS = CORPUS / "programs"
RUNNER = Path(__file__).parents[1] / "support" / "both_ways.py"
KEYS = ("filename", "function", "module", "lineno")
LINES = ("abs_path", "pre_context", "context_line", "post_context")

CUT_BY_THE_INTERPRETER = {"group_sixteen", "group_forty", "group_too_deep", "group_too_deep_between"}
"""Not all of the group is printed (traceback: max_group_width, max_group_depth)."""
CUT_BY_THE_SDK = {"group_as_cause", "group_between", "group_unclosed_then_chain", "group_recursion", "group_of_everything"}
"""The SDK reports a group's members only where the group is the outermost exception."""
UNPRINTABLE = {"lone_surrogate", "failing_str"}
"""The interpreter prints something else where a message can't be had or encoded."""
REMOTE = {"process_pool"}
"""The SDK has the traceback of another process as a text, and we have its frames."""
MADE_UP = {"executed_string", "missing_source", "odd_file_name"}
"""Code without a file: the SDK names the module whose globals it ran with, and shows that module's lines."""


@pytest.fixture(scope="module")
def both():
    """Name → (the SDK's event, ours)."""
    done = subprocess.run([sys.executable, RUNNER, PROGRAMS], capture_output=True, text=True, timeout=100, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {one["name"]: (one["event"]["exception"]["values"], ours(one["text"])["exception"]["values"]) for one in told}


def ours(text: str) -> dict:
    """Our event of a printed traceback that a logger has put into a field."""
    line = json.dumps({"level": "error", "event": "it failed", "exc_info": text})
    record = records_of(line.encode(), "file:side")[0]
    return encode_event(record_event(record, SUBJECT, Rules()), EncodeOptions(sources=SourceFiles()))


def comparable(values: list[dict]) -> list[tuple]:
    """Of each exception its class and its frames, as far as there is something to compare: lines only of code that has a file."""
    return [(one["type"], one.get("module"), [_frame(frame) for frame in one.get("stacktrace", {}).get("frames", [])]) for one in values]


def _frame(frame: dict) -> dict:
    keys = KEYS if frame["filename"].startswith("<") else (*KEYS, *LINES)
    return {key: frame.get(key) for key in keys}


def is_part(few: list, many: list) -> bool:
    """Whether `few` is in `many`, in the same order."""
    rest = iter(many)
    return all(any(one == other for other in rest) for one in few)


def test_classes_and_frames_are_equal(both):
    """Type, module and every frame, with the lines around it, are those that sentry-sdk reports."""
    cases = both.keys() - CUT_BY_THE_INTERPRETER - CUT_BY_THE_SDK - MADE_UP - REMOTE
    assert len(cases) > 80
    assert [name for name in sorted(cases) if comparable(both[name][0]) != comparable(both[name][1])] == []


def test_in_app_is_equal(both):
    """The frames that sentry-sdk marks as the workload's own code, and only those, are marked by us."""
    cases = both.keys() - CUT_BY_THE_INTERPRETER - CUT_BY_THE_SDK - MADE_UP - REMOTE
    marks = {name: [[_marks(one) for one in values] for values in both[name]] for name in cases}
    assert [name for name in sorted(cases) if marks[name][0] != marks[name][1]] == []


def _marks(one: dict) -> list[bool]:
    frames = one.get("stacktrace", {}).get("frames", [])
    return [bool(frame.get("in_app")) for frame in frames if frame["filename"] != RUNNER.name and not frame["filename"].startswith("<")]


def test_what_is_cut_is_cut_at_the_end(both):
    """Where one side reports fewer exceptions, the other one reports all of these, in the same order."""
    for name in CUT_BY_THE_INTERPRETER:
        theirs, own = (comparable(values) for values in both[name])
        assert is_part([one for one in own if one[2]], theirs), name
    for name in CUT_BY_THE_SDK:
        theirs, own = (comparable(values) for values in both[name])
        assert is_part([one for one in theirs if one in own], own), name
        assert len(own) > len(theirs), name


def test_another_process_has_frames(both):
    """The link that stands for another process has the SDK's type and place in the chain, and that process's stack as frames."""
    theirs, own = both["process_pool"]
    assert [one["type"] for one in own] == [one["type"] for one in theirs]
    remote = next(at for at, one in enumerate(theirs) if one["type"].endswith("RemoteTraceback"))
    last = own[remote]["stacktrace"]["frames"][-1]
    assert f"line {last['lineno']}, in {last['function']}" in theirs[remote]["value"]
    assert comparable(own[:remote] + own[remote + 1 :]) == comparable(theirs[:remote] + theirs[remote + 1 :])


def test_values_are_equal(both):
    """The messages are the same, notes included."""
    cases = both.keys() - CUT_BY_THE_INTERPRETER - CUT_BY_THE_SDK - UNPRINTABLE - REMOTE
    differ = [name for name in sorted(cases) if [one["value"] for one in both[name][0]] != [one["value"] for one in both[name][1]]]
    assert differ == []
