"""JSON lines, one by one: how deep their values may be."""

from __future__ import annotations

import pytest

from agent.parse.json_lines import parse
from agent.parse.limits import MAX_DEPTH
from agent.record import Drop


def nested(lists):
    """A value of so many lists, one in the other."""
    return b"[" * lists + b"1" + b"]" * lists


@pytest.mark.parametrize(("lists", "reasons"), [(MAX_DEPTH - 1, ()), (MAX_DEPTH, (Drop.TOO_DEEP,)), (2000, (Drop.TOO_DEEP,))])
def test_a_line_that_nests_too_deep_stays_text(lists, reasons):
    """The object counts as the first level; a line beyond the limit is kept whole, and counted."""
    line = b'{"event":"e","a":' + nested(lists) + b"}"

    parsed = parse(line, 0)

    assert parsed.reasons == reasons
    assert parsed.body == (line.decode() if reasons else "e")


@pytest.mark.parametrize("lists", [MAX_DEPTH, 500])
def test_of_a_name_that_comes_twice_only_the_last_value_counts(lists):
    """Fields that are not in the record cannot be too deep in it; the readers of many lines see no more than that either."""
    parsed = parse(b'{"event":"e","a":' + nested(lists) + b',"a":2}', 0)

    assert (parsed.body, parsed.attributes, parsed.reasons) == ("e", {"a": 2}, ())
