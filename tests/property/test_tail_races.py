"""Files are rotated between any two system calls of the follower, which is killed at some of them: laws over many such plays."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.tail_races import Pace, play

CALM = [Pace(100, 120, 0.0003, 0.001, 10), Pace(400, 400, 0.002, 0, 10), Pace(20, 30, 0.00005, 0.003, 15)]
"""A rotation about every second: ten times as fast as any that makes sense."""
WILD = [Pace(400, 43, 0.0003, 0.0005, 8), Pace(100, 13, 0.002, 0.0005, 8), Pace(20, 5, 0.00005, 0.003, 12)]
"""Several rotations a second, so that the follower hardly ever looks twice at the same directory."""


def lost_and_repeated(outcome):
    """Numbers of lines of which there are not as many as were written."""
    return {
        way: {number: read[number] for number in range(written) if read[number] != 1}
        for way, written in outcome.written.items()
        if (read := Counter(outcome.read[way])) != Counter(range(written))
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pace", CALM)
@pytest.mark.parametrize("seed", range(20))
def test_each_line_once_in_order(tmp_path, pace, seed):
    """Nothing is lost, repeated, out of order, or said to be lost."""
    outcome = play(tmp_path, pace, seed)
    assert lost_and_repeated(outcome) == {}
    assert {way: read for way, read in outcome.read.items() if read != sorted(read)} == {}
    assert outcome.drops == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pace", WILD)
@pytest.mark.parametrize("seed", range(20))
def test_each_line_once_however_fast(tmp_path, pace, seed):
    """Nothing is lost or repeated, also where rotations are so fast that their order cannot always be told."""
    assert lost_and_repeated(play(tmp_path, pace, seed)) == {}
