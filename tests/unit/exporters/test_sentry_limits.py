"""Rate limits: read from any header, kept per category, the longer one holds."""

from __future__ import annotations

import pytest

from agent.exporters.sentry_limits import RateLimits, read_limits

HEADERS = {
    "60:error:organization": [("error", 60.0)],
    "60:error;monitor:key:quota:ns": [("error", 60.0), ("monitor", 60.0)],
    "2700::key": [("", 2700.0)],
    "60::key, 86400:transaction;span:organization": [("", 60.0), ("transaction", 86400.0), ("span", 86400.0)],
    "4:hundred_seconds:organization": [("hundred_seconds", 4.0)],
    "abc:error:key, 5:session:key": [("session", 5.0)],
    "1.5:error": [("error", 1.5)],
    "7": [("", 7.0)],
    "inf:error, nan:error, -3:error": [("error", 0.0)],
    "99999999999999:error": [("error", 366 * 86400.0)],
    " 60 : Error ; Default : x": [("error", 60.0), ("default", 60.0)],
    "": [],
    ",,:": [],
}


@pytest.mark.parametrize(("header", "limits"), HEADERS.items(), ids=HEADERS)
def test_headers(header, limits):
    """Each form of the header is understood as its specification says; nonsense is left out."""
    assert list(read_limits(header)) == limits


def test_a_limit_holds_for_its_category_only():
    """Errors wait, sessions do not; when the time is over errors go again."""
    limits = RateLimits()
    limits.note("error", 60, now=100)
    assert limits.remaining("error", 130) == 30
    assert limits.remaining("session", 130) == 0
    assert limits.remaining("error", 160) == 0


def test_all_categories():
    """A limit without categories holds for each."""
    limits = RateLimits()
    limits.note("", 60, now=0)
    assert limits.remaining("monitor", 10) == 50


def test_the_longer_limit_holds():
    """A shorter limit does not shorten a longer one."""
    limits = RateLimits()
    limits.note("error", 60, now=0)
    limits.note("error", 10, now=1)
    assert limits.remaining("error", 1) == 59


def test_how_long_it_lasts():
    """The time without a taken row grows over renewed limits, and begins again when one was taken."""
    limits = RateLimits()
    limits.note("error", 60, now=0)
    limits.note("error", 60, now=61)
    assert limits.limited_for("error", 100) == 100
    limits.taken("error", 125)
    assert limits.limited_for("error", 130) == 0


def test_a_limit_after_a_quiet_time_is_a_new_one():
    """A limit hours after the last one is a new limit: errors wait for it again."""
    limits = RateLimits()
    limits.note("error", 60, now=0)
    limits.note("error", 60, now=20_000)
    assert limits.limited_for("error", 20_000) == 0


def test_a_server_that_makes_up_categories():
    """Ever new categories don't make the table grow for ever."""
    limits = RateLimits()
    for number in range(10_000):
        limits.note(f"c{number}", 1, now=float(number) * 20)
    assert len(limits._until) < 200
    assert len(limits._since) < 200
