"""The last warnings and errors."""

from __future__ import annotations

from agent.notices import Notice, Notices
from agent.own_log import Level


def notice(name: str, at: int, error: str = "", level: Level = Level.WARNING) -> Notice:
    """A notice."""
    return Notice(at, level, name, {"error": error, "path": f"/{at}"})


def test_one_for_each_cause():
    """Repeats are one notice with its number, its newest time and its newest details, even if numbers in it differ."""
    found = Notices()
    for at in range(1, 6):
        found.add(("otlp",), notice("export delayed", at, f"no answer within {at}.5 s"))
    (one,) = found
    assert (one.time_ns, one.count, one.details["path"]) == (5, 5, "/5")


def test_different_causes_are_apart():
    """Another name, another label or another cause is another notice; the newest is the first."""
    found = Notices()
    found.add(("a",), notice("one", 1, "denied"))
    found.add(("b",), notice("one", 2, "denied"))
    found.add(("a",), notice("one", 3, "gone"))
    found.add(("a",), notice("two", 4, "denied"))
    found.add(("a",), notice("one", 5, "denied"))
    assert [(one.time_ns, one.count) for one in found] == [(5, 2), (4, 1), (3, 1), (2, 1)]


def test_folded_repeats_count():
    """A line that stands for many adds as many."""
    found = Notices()
    found.add((), notice("one", 1))
    found.add((), Notice(2, Level.WARNING, "one", {}, 41))
    assert [one.count for one in found] == [42]


def test_errors_stay():
    """When there are too many, the oldest warnings go, and errors only when there is nothing else."""
    found = Notices(3)
    found.add((), notice("broken", 0, level=Level.ERROR))
    for at in range(1, 10):
        found.add((str(at),), notice("warned", at))
    assert [one.name for one in found] == ["warned", "warned", "broken"]
    for at in range(10, 14):
        found.add((str(at),), notice("failed", at, level=Level.ERROR))
    assert [one.time_ns for one in found] == [13, 12, 11]
