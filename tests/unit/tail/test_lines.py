"""Bytes into lines."""

from __future__ import annotations

import pytest

from agent.tail.lines import Cut, cut, looks_finished, skip_nuls


@pytest.mark.parametrize(
    ("data", "most", "expected"),
    [
        (b"", 10, Cut([], 0, 0)),
        (b"half", 10, Cut([], 0, 0)),
        (b"a\nb\nhalf", 10, Cut([(5, b"a"), (7, b"b")], 4, 0)),
        (b"a\n\nb\n", 10, Cut([(5, b"a"), (7, b""), (8, b"b")], 5, 0)),
        (b"a\nb\nc\n", 2, Cut([(5, b"a"), (7, b"b")], 4, 0)),
        (b"a\nb\nc", 2, Cut([(5, b"a"), (7, b"b")], 4, 0)),
        (b"a\r\nb\rb\n", 10, Cut([(5, b"a"), (8, b"b\rb")], 7, 0)),
        (b"a\n\0\0b\nc\0c\n", 10, Cut([(5, b"a"), (9, b"b"), (11, b"c\0c")], 10, 1)),
    ],
)
def test_cut(data, most, expected):
    """Lines come whole, with their offsets; what has no end is left."""
    assert cut(data, 5, most) == expected


def test_skip_nuls():
    """Only the NULs before a line go."""
    assert skip_nuls(3, b"\0\0a\0") == (5, b"a\0")


@pytest.mark.parametrize(
    ("line", "finished"),
    [(b"plain", True), (b'{"a": 1}', True), (b' {"a": 1} \r', True), (b'{"a": 1', False), (b'[{"a": 1', False), (b"", True)],
)
def test_looks_finished(line, finished):
    """A JSON object that is not closed is not whole."""
    assert looks_finished(line) is finished
