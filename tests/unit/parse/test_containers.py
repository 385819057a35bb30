"""Lines of container runtimes, in the spellings that tools between a runtime and its file write."""

from __future__ import annotations

import json

import pytest

from agent.parse.containers import unwrap_docker

FIELDS = {"log": 'a "b": c\n', "stream": "stderr", "time": "2026-03-01T10:00:00.5Z"}
OTHERS = [dict(sorted(FIELDS.items(), reverse=True)), {**FIELDS, "attrs": {"tag": "web"}}, {"attrs": {"tag": "web"}, **FIELDS}]


@pytest.mark.parametrize("fields", [FIELDS, *OTHERS])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : ")])
def test_docker_with_spaces(fields, separators):
    """JSON is the same with spaces between its parts and with its keys in another order."""
    line = json.dumps(fields, separators=separators).encode()
    found = unwrap_docker(line)
    assert found is not None
    assert (found.stream, found.text, found.partial) == ("stderr", b'a "b": c', False)
    assert found.attributes == fields.get("attrs", {})


@pytest.mark.parametrize(
    "line", [b'{"log": 1, "stream": "stdout", "time": "x"}', b'{ "msg" : "log" }', b'{"log": "x", "level": "info"}', b""]
)
def test_what_is_not_docker(line):
    """Other JSON is not Docker's."""
    assert unwrap_docker(line) is None
