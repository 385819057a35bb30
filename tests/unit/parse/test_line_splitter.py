"""Bytes as they come → lines with their places. The laws: tests/property/test_line_laws.py."""

from __future__ import annotations

import time

import pytest

from agent.parse.line_splitter import LineSplitter


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_splitting_does_not_depend_on_the_reads(size):
    """Lines, offsets and cuts are the same however the bytes arrive."""
    data = b"a\n\nbcd\n" + b"y" * 20 + b"\n" + b"z" * 16 + b"\nlast"
    splitter = LineSplitter(8)
    found = [line for at in range(0, len(data), size) for line in splitter.feed(data[at : at + size])]
    cut = [(7, b"y" * 8), (15, b"y" * 8), (23, b"y" * 4), (28, b"z" * 8), (36, b"z" * 8)]

    assert found == [(0, b"a"), (2, b""), (3, b"bcd"), *cut]
    assert splitter.finish() == [(45, b"last")]
    assert (splitter.finish(), splitter.take_cuts(), splitter.take_cuts()) == ([], 3, 0)


def test_the_end_of_a_line_may_be_another_byte():
    """Messages of a protocol end with a zero, and hold line ends."""
    splitter = LineSplitter(100, end=b"\0")

    assert splitter.feed(b"one\ntwo\0thr") == [(0, b"one\ntwo")]
    assert splitter.feed(b"ee\0") == [(8, b"three")]


def test_places_go_on_behind_a_gap():
    """Lost bytes count, so that a place stays the distance from the stream's beginning."""
    splitter = LineSplitter(100)

    assert splitter.feed(b"one\nhal") == [(0, b"one")]
    assert splitter.finish() == [(4, b"hal")]
    splitter.skip(13)
    assert splitter.feed(b"two\n") == [(20, b"two")]


def test_a_long_line_in_small_reads_costs_what_its_bytes_cost():
    """A megabyte in reads of 16 bytes: copying what is held at each of them would be 30 GB."""
    splitter, began = LineSplitter(1 << 20), time.process_time()
    for _ in range(1 << 16):
        assert splitter.feed(b"x" * 16) == []
    [(_, line)] = splitter.feed(b"\n")

    assert len(line) == 1 << 20
    assert time.process_time() - began < 2.0
