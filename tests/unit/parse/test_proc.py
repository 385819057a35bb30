from __future__ import annotations

import pytest

from agent.parse.proc import Stat, descendants, parse_fields, parse_open_files, parse_stat, tops

STAT = (
    b"4242 (gunicorn: maste) S 1 4242 4242 0 -1 4194560 49509 12237142 0 1496 238 893 31260 7715 20 0 13 0 2400 53637120 5289"
    b" 18446744073709551615 1 1 0 0 0 0 0 4096 1256 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)
LIMITS = b"""Limit                     Soft Limit           Hard Limit           Units
Max processes             96365                96365                processes
Max open files            32768                65536                files
Max locked memory         unlimited            unlimited            bytes
"""


def test_stat_is_read():
    """Saved text of a real process gives its fields, in the units of proc(5)."""
    assert parse_stat(STAT) == Stat(4242, "gunicorn: maste", "S", 1, 238, 893, 31260, 7715, 13, 2400, 53637120, 5289)
    assert parse_stat(STAT).identity == (4242, 2400)


@pytest.mark.parametrize("name", [b"a) R 1 2", b") (", b"(((", b"x y\nz", "café".encode(), b"\xff\xfe", b""])
def test_any_name_is_a_name(name):
    """A process may call itself anything; the other fields are not moved by it."""
    stat = parse_stat(STAT.replace(b"gunicorn: maste", name))
    assert (stat.parent, stat.started, stat.state) == (1, 2400, "S")
    assert stat.name == name.decode("utf-8", "backslashreplace")


@pytest.mark.parametrize("content", [b"", b"4242", b"4242 (x) S 1 2", b"x (y) S " + b"1 " * 40, STAT.replace(b"2400", b"oops")])
def test_what_is_no_stat_is_none(content):
    """A file that ended with its process, or is none, is no process."""
    assert parse_stat(content) is None


def test_fields_are_numbers_by_name():
    """Lines of names and numbers are read, others left out."""
    text = b"Name:\tpython\nThreads:\t3\nVmRSS:\t  51200 kB\nvoluntary_ctxt_switches:\t382\nbroken\n"
    assert parse_fields(text) == {"Threads": 3, "VmRSS": 51200, "voluntary_ctxt_switches": 382}


@pytest.mark.parametrize(("content", "limit"), [(LIMITS, 32768), (LIMITS.replace(b"32768", b"unlimited"), None), (b"", None)])
def test_the_soft_limit_of_open_files(content, limit):
    """The first of both limits counts; no limit is None."""
    assert parse_open_files(content) == limit


def _table(*pairs: tuple[int, int]) -> dict[int, Stat]:
    return {pid: Stat(pid, "x", "S", parent, 0, 0, 0, 0, 1, 0, 0, 0) for pid, parent in pairs}


def test_descendants_are_found_at_any_depth():
    """The whole tree below the roots belongs to it, and nothing else; a root that is gone has none."""
    table = _table((1, 0), (10, 1), (11, 10), (12, 11), (20, 1))
    assert descendants(table, [10, 99]) == {10, 11, 12}
    assert descendants(table, [10, 11]) == {10, 11, 12}


def test_a_loop_of_parents_ends():
    """A table that was read while it changed may even hold a circle."""
    assert descendants(_table((5, 6), (6, 5)), [5]) == {5, 6}


def test_tops_have_no_parent_among_the_members():
    """The main processes are those that no other member started."""
    assert tops(_table((1, 0), (10, 1), (11, 10), (30, 2)), {10, 11, 30}) == {10, 30}
