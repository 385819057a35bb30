"""A slice of `make torture` that fits into every run: kills under load, deaths at points of each part, agents with a seeded bug."""

from __future__ import annotations

import pytest

from tests.torture.bugs import BUGS
from tests.torture.catch import catch_all
from tests.torture.kills import random_kills
from tests.torture.points import at_points
from tests.torture.scene import Load

POINTS = (
    "spool.after_position",
    "spool.after_settle_cursor",
    "delivery.after_answer",
    "tail.after_read",
    "tail.rotation_read",
    "spool.migrate",
)
SEED = 20260301
JOBS = 6
"""They wait more than they work."""

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]  # the first test of each kind waits for all of them


@pytest.fixture(scope="module")
def caught(tmp_path_factory):
    """The evidence of every seeded bug."""
    return {one.name: one for one in catch_all(tmp_path_factory.mktemp("bugs"), JOBS)}


@pytest.fixture(scope="module")
def fates(tmp_path_factory):
    """The outcome of two agents at each of the points."""
    return {fate.point: fate for _, fate in at_points(tmp_path_factory.mktemp("points"), SEED, POINTS, 2, JOBS)}


@pytest.mark.slow
def test_random_kills_lose_and_repeat_nothing(tmp_path):
    """Killed eight times at random while it reads and sends, files rotate and the server misbehaves: each record arrives once, in order."""
    outcome = random_kills(tmp_path / "torture", Load(SEED, count=10**9, rate=2500, rotate_every=2500), kills=8)
    assert outcome.verdict.clean, outcome.verdict
    assert outcome.kills == 8
    assert outcome.verdict.arrived > 1000


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_death_at_a_point_loses_and_repeats_nothing(fates, point):
    """Two agents die at the point, one after the other: each record arrives once, in order."""
    assert fates[point].verdict.clean, fates[point].verdict
    assert fates[point].died == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_caught(caught, name):
    """The agent with a bug in it is found out, for the right reason; the same play without the bug comes out clean."""
    assert caught[name].control.clean, caught[name].control
    assert caught[name].expected in caught[name].verdict.faults, caught[name].verdict
