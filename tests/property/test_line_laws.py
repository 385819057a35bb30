"""Laws of lines: whatever bytes come, in whatever reads, every byte is in one line at its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.parse.line_splitter import LineSplitter

pytestmark = pytest.mark.property

ENDS = st.sampled_from([b"\n", b"\0"])
READS = st.lists(st.binary(max_size=40) | st.lists(st.sampled_from([b"\n", b"\0", b"a", b"\r"]), max_size=40).map(b"".join), max_size=12)
"""Bytes of any kind, and bytes with many ends among them."""


def split(reads, longest, end):
    """All lines, and how many cuts were made."""
    splitter = LineSplitter(longest, end)
    lines = [line for read in reads for line in splitter.feed(read)]
    return lines + splitter.finish(), splitter.take_cuts()


@given(reads=READS, longest=st.integers(1, 50), end=ENDS)
def test_every_byte_is_in_one_line_at_its_place(reads, longest, end):
    """Lines lie one behind the other with their ends between; a line is as long as is allowed at most, and each cut is counted."""
    data = b"".join(reads)
    lines, cuts = split(reads, longest, end)

    place, cut = 0, 0
    for index, (offset, line) in enumerate(lines):
        assert (data[offset : offset + len(line)], end in line) == (line, False)
        assert offset == place
        assert len(line) <= longest
        place = offset + len(line)
        if data[place : place + 1] == end:
            place += 1
        elif index < len(lines) - 1:
            assert len(line) == longest
            cut += 1
    assert (place, cut) == (len(data), cuts)


@given(reads=READS, longest=st.integers(1, 50), end=ENDS)
def test_lines_do_not_depend_on_the_reads(reads, longest, end):
    """One read of everything gives the same."""
    assert split(reads, longest, end) == split([b"".join(reads)], longest, end)


@given(before=READS, after=READS, lost=st.integers(0, 1000))
def test_a_gap_moves_what_follows_and_changes_nothing_else(before, after, lost):
    """Behind it the places are greater by what was lost and by what came before."""
    splitter = LineSplitter(20)
    for read in before:
        splitter.feed(read)
    splitter.finish()
    splitter.skip(lost)
    behind = sum(map(len, before)) + lost
    found = [line for read in after for line in splitter.feed(read)] + splitter.finish()

    assert found == [(behind + offset, line) for offset, line in split(after, 20, b"\n")[0]]
