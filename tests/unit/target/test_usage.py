from __future__ import annotations

import pytest

from agent.target.usage import History, Monotone, Usage


def test_a_tree_is_the_sum_of_its_processes():
    """Figures add up; the fullest process decides how near the limit is, and one without a limit is near none."""
    usage = Usage()
    for _ in range(2):
        usage.add_cpu(3, 4)
        usage.add_memory(10, 20)
        usage.add_switches(7, 2)
        usage.add_disk(11, 13)
    usage.add_files(10, 100)
    usage.add_files(90, 100)
    usage.add_files(500, None)
    assert (usage.user, usage.system, usage.resident, usage.virtual) == (6, 8, 20, 40)
    assert (usage.voluntary, usage.involuntary, usage.read, usage.written, usage.files, usage.files_use) == (14, 4, 22, 26, 600, 0.9)


@pytest.mark.parametrize(
    ("sums", "wanted"),
    [([5], 5), ([5, 7], 7), ([5, 0], 5), ([5, 0, 3], 8), ([5, 0, 3, 0, 2], 10), ([0, 0], 0)],
)
def test_a_sum_never_falls(sums, wanted):
    """Whatever vanishes (a tree that is replaced, a child that was not waited for) stays counted."""
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
    """The start of the counters is when the first process that was seen began, and stays, whichever come later."""
    history = History()
    assert history.since(1_000_000_000_000, None) == 1_000_000_000_000
    assert history.since(1_000_000_000_000, 100.0) == 900_000_000_000
    assert history.since(2_000_000_000_000, 1.0) == 900_000_000_000


def test_a_process_that_was_never_seen_alive_is_an_exit():
    """A job may end before the first sample: its zombie is counted once, however long it waits for its parent."""
    history = History()
    for zombies in ({7}, {7}, set()):
        history.note(Usage(), set(), set(), zombies)
    assert history.exits == 1


def test_a_zombie_is_no_second_exit():
    """One that was seen alive counts when it ends, and not again while it waits to be waited for."""
    history = History()
    for alive, zombies in (({7}, set()), (set(), {7}), (set(), set())):
        history.note(Usage(), alive, set(), zombies)
    assert history.exits == 1
