"""Times as they are written, and what they mean."""

from __future__ import annotations

import pytest

from agent.parse.timestamps import from_float, from_int, from_text, parse_time

SECOND = 1_795_344_683_000_000_000
"""2026-11-22T10:51:23Z"""

TEXTS = {
    "2026-11-22T10:51:23Z": 0,
    "2026-11-22 10:51:23": 0,
    "2026-11-22T10:51:23+00:00": 0,
    "2026-11-22T12:51:23+02:00": 0,
    "2026-11-22T12:51:23+0200": 0,
    "2026-11-22T12:51:23 +02:00": 0,
    "2026-11-22T12:51:23+02": 0,
    "2026-11-22T05:21:23-05:30": 0,
    "2026-11-22 10:51:23 UTC": 0,
    "2026-11-22T10:51:22.999999999Z": -1,
    "2026-11-22T10:51:23.1Z": 100_000_000,
    "2026-11-22T10:51:23,123": 123_000_000,
    "2026-11-22 10:51:23,123456": 123_456_000,
    "2026-11-22T10:51:23.123456Z": 123_456_000,
    "2026-11-22T10:51:23.1234567": 123_456_700,
    "2026-11-22T10:51:23.123456789Z": 123_456_789,
    "2026-11-22T12:51:23.123456789+02:00": 123_456_789,
    "2026-11-22T10:51:23.12345678912Z": 123_456_789,
    "2026-11-22T10:51Z": -23_000_000_000,
    "20261122T105123Z": 0,
    "20261122T125123+0200": 0,
    "20261122T125123+02:00": 0,
    "20261122T1051Z": -23_000_000_000,
    "20261122 105123": 0,
    "20261122T105123.123456789Z": 123_456_789,
    "20261122T105123,5": 500_000_000,
    "2026-11-22t10:51:23z": 0,
    "2026-11-22t10:51:23.123456789z": 123_456_789,
    "2026-11-22T10:51:23.123456789z": 123_456_789,
    "2026-11-21T24:00:00Z": -39_083_000_000_000,
    "2026-11-21T24:00:00.000+00:00": -39_083_000_000_000,
    "20261121T2400Z": -39_083_000_000_000,
    "2026-326T10:51:23Z": 0,
    "2026326T105123Z": 0,
    "2026-W47-7T10:51:23Z": 0,
    "2026-W47-7T10:51:23.5+00:00": 500_000_000,
    "2026W477T125123+0200": 0,
    "1795344683": 0,
    "1795344683.5": 500_000_000,
    "1795344683.123456789": 123_456_789,
    "1795344683123": 123_000_000,
}
NO_TIMES = (
    "",
    "now",
    "2026-13-01T00:00:00Z",
    "2026-11-22",
    "0",
    "12:00:00",
    "2026-11-22T25:00:00Z",
    "2026-11-22T24:00:01Z",
    "2026-11-22T24:00:00.5Z",
    "2026-366T00:00:00Z",
    "2026-000T00:00:00Z",
    "2026-W54-1T00:00:00Z",
    "9999-365T24:00:00Z",
    "20261322T105123Z",
    "2026-1122T10:51:23Z",
    "20261122",
    "2026-326",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
)


@pytest.mark.parametrize(("text", "offset"), TEXTS.items(), ids=TEXTS)
def test_a_text_means_its_moment_to_the_nanosecond(text, offset):
    """Whatever the separators, the fraction and the zone; without a zone it is UTC."""
    assert from_text(text) == SECOND + offset


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_is_unknown(text):
    """Neither an error nor a wrong moment."""
    assert from_text(text) == 0


def test_a_leap_second_is_the_next_second():
    """23:59:60 exists, though no library knows it; 23:59:61 does not."""
    assert from_text("2016-12-31T23:59:60Z") == from_text("2017-01-01T00:00:00Z")
    assert from_text("2016-12-31T23:59:61Z") == 0


def test_the_unit_of_a_number_is_told_by_its_magnitude():
    """Seconds, milliseconds, microseconds, nanoseconds."""
    assert [from_int(SECOND // 10**power) for power in (9, 6, 3, 0)] == [SECOND] * 4


def test_a_fraction_is_exact_to_the_microsecond():
    """As far as a double goes."""
    assert from_float(1_795_344_683.123456) == SECOND + 123_456_000
    assert from_float(1_795_344_683_123.5) == SECOND + 123_500_000


@pytest.mark.parametrize("value", [0, -1, 12.5, 10**25, float("nan"), float("inf"), True, None, [], {}, -1.7e308, 1.7e308, 5e-324])
def test_zero_uptimes_and_nonsense_are_unknown(value):
    """A number that can't be a time of this age is none."""
    assert parse_time(value) == 0
