from __future__ import annotations

import pytest

from agent.parse.proc import Stat
from agent.target.usage import TICKS, History, Monotone, Usage


def _stat(pid: int = 1, user: int = 0, waited: int = 0, state: str = "S") -> Stat:
    return Stat(pid, "x", state, 0, user * TICKS, 0, waited * TICKS, 0, 2, 0, 1000, 1)


def _usage(*stats: Stat) -> Usage:
    usage = Usage()
    for stat in stats:
        usage.add(stat)
    return usage


def test_a_tree_is_the_sum_of_its_processes():
    """CPU seconds, memory, threads and open files add up; the fullest process decides how near the limit is."""
    usage = _usage(_stat(1, user=3), _stat(2, user=4, waited=5))
    usage.add_files(10, 100)
    usage.add_files(90, 100)
    usage.add_files(5, None)
    usage.add_switches({"voluntary_ctxt_switches": 7, "nonvoluntary_ctxt_switches": 2})
    usage.add_disk({"read_bytes": 11, "write_bytes": 13})
    assert (usage.processes, usage.user, usage.virtual, usage.threads) == (2, 12, 2000, 4)
    assert (usage.files, usage.files_use, usage.voluntary, usage.involuntary, usage.read, usage.written) == (105, 0.9, 7, 2, 11, 13)
    assert usage.unreadable == set()


def test_what_may_not_be_read_is_named():
    """None is not zero: the figure is missing, and which one is known."""
    usage = Usage()
    usage.add_files(None, None)
    usage.add_switches(None)
    usage.add_disk(None)
    assert usage.unreadable == {"file descriptors", "context switches", "disk I/O"}


def test_a_zombie_has_its_cpu_time_only():
    """What has ended and was not waited for still counts its CPU, so that nothing is counted twice when its parent takes it over."""
    usage = _usage(_stat(1, user=1), _stat(2, user=5, state="Z"))
    assert (usage.processes, usage.user) == (1, 6)


def test_handing_over_to_the_parent_changes_nothing():
    """A child that ends and is waited for: its time moves to its parent, the sum goes on."""
    total = Monotone()
    for usage in (_usage(_stat(1, 1), _stat(2, 5)), _usage(_stat(1, 1), _stat(2, 6, state="Z")), _usage(_stat(1, 1, waited=6))):
        total.note(usage.user)
    assert total.total == 7


@pytest.mark.parametrize(
    ("sums", "wanted"),
    [([5], 5), ([5, 7], 7), ([5, 0], 5), ([5, 0, 3], 8), ([5, 0, 3, 0, 2], 10), ([0, 0], 0)],
)
def test_a_sum_never_falls(sums, wanted):
    """Whatever vanishes (a tree that is replaced, a child nobody waited for) stays counted."""
    total, seen = Monotone(), []
    for value in sums:
        total.note(value)
        seen.append(total.total)
    assert seen == sorted(seen)
    assert seen[-1] == wanted


def _note(history: History, alive: set, mains: set) -> None:
    history.note(Usage(), alive, mains)


def test_exits_and_restarts_are_counted():
    """A main process that comes after one has ended is a restart; a worker that ends is an exit."""
    history = History()
    a, b, worker = (1, 10), (2, 20), (3, 30)
    _note(history, {a, worker}, {a})
    _note(history, {a}, {a})
    assert (history.exits, history.restarts) == (1, 0)
    _note(history, set(), set())
    assert (history.exits, history.restarts) == (2, 0)
    _note(history, {b}, {b})
    assert (history.exits, history.restarts) == (2, 1)


def test_the_same_number_again_is_another_process():
    """Process numbers are used again; the start time tells."""
    history = History()
    _note(history, {(1, 10)}, {(1, 10)})
    _note(history, {(1, 99)}, {(1, 99)})
    assert (history.exits, history.restarts) == (1, 1)


def test_more_of_the_same_is_no_restart():
    """A second main process beside the first is growth, not a restart; so is a target that appears late."""
    history = History()
    _note(history, set(), set())
    _note(history, {(1, 10)}, {(1, 10)})
    _note(history, {(1, 10), (2, 20)}, {(1, 10), (2, 20)})
    assert (history.exits, history.restarts) == (0, 0)


def test_counters_begin_with_the_first_process():
    """The start of the counters is when the first process that was seen began, and stays, whoever comes later."""
    history = History()
    assert history.since(1_000_000_000_000, None) == 1_000_000_000_000
    assert history.since(1_000_000_000_000, 100.0) == 900_000_000_000
    assert history.since(2_000_000_000_000, 1.0) == 900_000_000_000
