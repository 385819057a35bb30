"""Times as they are written, and what they mean."""

from __future__ import annotations

import pytest

from agent.parse.timestamps import from_float, from_int, from_text, parse_time, yearless

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
    "1795344683,5": 500_000_000,
    "1.795344683123E9": 123_000_000,
    "2026-11-22T10:51:23.123Z[UTC]": 123_000_000,
    "2026-11-22T11:51:23+01:00[Europe/Paris]": 0,
    "2026-11-22 10:51:23.5 +0000 UTC": 500_000_000,
    "2026-11-22 12:51:23.123456789 +0200 CEST m=+3.001": 123_456_789,
    "2026-11-22 11:51:23 CET": 0,
    "2026-11-22 10:51:23,123 +0000": 123_000_000,
    "2026-11-22 10:51:23:123": 123_000_000,
    "2026/11/22 10:51:23": 0,
    "2026/11/22 10:51:23.123456": 123_456_000,
    "2026.11.22 10:51:23.000123": 123_000,
    "22.11.2026 10:51:23": 0,
    "22/Nov/2026:10:51:23 +0000": 0,
    "22-Nov-2026 10:51:23.250": 250_000_000,
    "22-Nov-2026 10:51:23 UTC": 0,
    "22 Nov 2026 10:51:23,250": 250_000_000,
    "Sun, 22 Nov 2026 10:51:23 GMT": 0,
    "Sun, 22 Nov 2026 05:51:23 -0500 (EST)": 0,
    "22 Nov 2026 05:51:23 EST": 0,
    "Sunday, 22-Nov-26 10:51:23 GMT": 0,
    "Sun Nov 22 10:51:23 2026": 0,
    "Sun Nov 22 10:51:23.123456 2026": 123_456_000,
    "Sun Nov 22 10:51:23 UTC 2026": 0,
    "Nov 22, 2026 10:51:23 AM": 0,
    "Nov 22, 2026 @ 10:51:23.123": 123_000_000,
    "11/22/2026 10:51:23 AM": 0,
    "11/22/2026 10:51:23 PM": 43_200_000_000_000,
    "11/22/2026 10:51:23": 0,
    "22/11/2026 10:51:23": 0,
    "2026-11-22 10:51:23.250 AM": 250_000_000,
    "Sun Nov 22 2026 11:51:23 GMT+0100 (Central European Standard Time)": 0,
    "/Date(1795344683123)/": 123_000_000,
    "\\/Date(1795344683123+0100)\\/": 123_000_000,
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
    "11/12/2026 10:51:23 AM",
    "11/12/2026 10:51:23",
    "11/22/2026 13:51:23 AM",
    "22/Now/2026:10:51:23 +0000",
    "31/Nov/2026:10:51:23 +0000",
    "2026-11-22 10:51:23 QRST",
    "Nov 22, 2026",
    "/Date(now)/",
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


@pytest.mark.parametrize(
    "value",
    [
        {"$date": "2026-11-22T10:51:23Z"},
        {"$date": {"$numberLong": "1795344683000"}},
        {"epochSecond": 1_795_344_683, "nanoOfSecond": 0},
        {"seconds": "1795344683", "nanos": 0},
        {"_seconds": 1_795_344_683, "_nanoseconds": 0},
        [2026, 11, 22, 10, 51, 23],
        [2026, 11, 22, 10, 51, 23, 0],
    ],
)
def test_a_time_may_be_an_object_or_a_list(value):
    """MongoDB's, log4j's, protobuf's, Firestore's, Java's."""
    assert parse_time(value) == SECOND


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"$date": {"$date": {}}},
        {"seconds": -1, "nanos": 0},
        {"epochSecond": 10**30},
        [2026, 11],
        [2026, 13, 1, 0, 0],
        [2026, 11, 22, True, 0],
    ],
)
def test_another_object_is_no_time(value):
    """Neither an error nor a wrong moment."""
    assert parse_time(value) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nov 22 10:51:23", SECOND),
        ("1122 10:51:23.000250", SECOND + 250_000),
        ("Nov 24 10:51:23", SECOND - 363 * 86_400_000_000_000),
        ("Feb 29 00:00:00", 1_709_164_800_000_000_000),
        ("Now 22 10:51:23", 0),
        ("1322 10:51:23", 0),
    ],
)
def test_a_time_without_a_year_is_the_last_such_moment(text, expected):
    """Not more than a day ahead of now, so a log of December that is read in January is of last year."""
    assert yearless(text, SECOND + 5) == expected


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
