"""Files are rotated between any two system calls of the follower, which is killed at some of them: laws over many such plays."""

from __future__ import annotations

import shutil

import pytest

from tests.support.tail_races import MORE, Pace, Plan, draw, play

CALM = [Pace(100, 120, 0.0003, 0.001, 10), Pace(400, 400, 0.002, 0, 10), Pace(20, 30, 0.00005, 0.003, 15)]
"""A rotation about every second: ten times as fast as any that makes sense."""
WILD = [Pace(400, 43, 0.0003, 0.0005, 8), Pace(100, 13, 0.002, 0.0005, 8), Pace(20, 5, 0.00005, 0.003, 12)]
"""Several rotations a second, so that the follower hardly ever looks twice at the same directory."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pace", CALM)
@pytest.mark.parametrize("seed", range(20))
def test_each_line_once_in_order(tmp_path, pace, seed):
    """Nothing is lost, repeated, out of order, or said to be lost."""
    outcome = play(tmp_path, Plan(pace), seed)
    assert outcome.faults() == {}
    assert {way: read for way, read in outcome.read.items() if read != sorted(read)} == {}
    assert outcome.drops == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pace", WILD)
@pytest.mark.parametrize("seed", range(20))
def test_each_line_once_however_fast(tmp_path, pace, seed):
    """Nothing is lost or repeated, also where rotations are so fast that their order is not always known."""
    assert play(tmp_path, Plan(pace), seed).faults() == {}


def test_most_plays_are_provable():
    """At least nine of ten plays have only decisions that are provable, which is known before they are played; each way is among them."""
    plans = [draw(seed) for seed in range(1000)]
    assert sum(plan.is_provable for plan in plans) >= 900
    assert {way for plan in plans if plan.is_provable for way in plan.ways} == set(MORE)


@pytest.mark.parametrize("seed", range(10))
def test_a_play_is_the_same_each_time(tmp_path, seed):
    """The outcome depends on the seed alone: not on real time, inode numbers, the order of a directory, or hashes of paths."""
    outcomes = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        outcomes.append(play(folder, draw(seed), seed))
    assert outcomes[0] == outcomes[1]


@pytest.mark.timeout(7200)
def test_contents_that_begin_alike(tmp_path, request):
    """Each line once where that is provable; where it is not, no line is lost uncounted, but equal ones may come again."""
    wrong = []
    first = request.config.getoption("first_play")
    for seed in range(first, first + request.config.getoption("plays")):
        plan, folder = draw(seed), tmp_path / "play"
        folder.mkdir()
        outcome = play(folder, plan, seed)
        shutil.rmtree(folder)
        faults = outcome.faults()
        lost = any(found["lost"] or found["heads"] < 0 for found in faults.values()) and not (outcome.drops or outcome.ambiguous)
        if lost or (faults and plan.is_provable):
            wrong.append((seed, plan.ways, len(plan.head), faults))
    assert wrong == []
