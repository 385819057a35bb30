"""Laws of times: a text means its moment to the nanosecond, whatever it looks like and however far away it is."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.parse.json_columns import _usual_times
from agent.parse.timestamps import EARLIEST, LATEST, from_text

pytestmark = pytest.mark.property

MOMENTS = st.datetimes(timezones=st.just(UTC))
WRITTEN = st.tuples(st.sampled_from("Tt "), st.sampled_from([":", ":", ""]), st.sampled_from(".,"))
"""The separators between day and hour, hour and minute, second and fraction."""
ZONES = st.sampled_from(
    [("", 0), ("Z", 0), ("z", 0), (" UTC", 0), ("+02", 7200), ("+0200", 7200), ("+02:00", 7200), ("-05:30", -19800), (" +14:00", 50400)]
)
FRACTIONS = st.text("0123456789", max_size=12)


def exact(moment, fraction, ahead):
    """Nanoseconds since the epoch, in integers alone; 0 for an implausible time."""
    second = calendar.timegm(moment.timetuple()) - ahead
    nanoseconds = second * 10**9 + int(fraction[:9].ljust(9, "0"))
    return nanoseconds if EARLIEST <= nanoseconds <= LATEST else 0


@given(MOMENTS, FRACTIONS, ZONES, WRITTEN)
@example(datetime(2106, 3, 22, 10, 51, 23, tzinfo=UTC), "000007", ("", 0), "T:.")
@example(datetime(2026, 11, 22, 10, 51, 23, tzinfo=UTC), "1234567", ("Z", 0), ("T", "", "."))
@example(datetime(1, 1, 1, tzinfo=UTC), "", ("+02:00", 7200), "T:.")
@example(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "999999", ("-05:30", -19800), " :,")
def test_a_time_is_exact_to_the_nanosecond(moment, fraction, zone, written):
    """Up to nine digits count, further ones are cut off, never rounded; what lies before 1973 or beyond 2262 is unknown."""
    between, colon, point = written
    text = f"{moment.year:04}-{moment:%m-%d}{between}{moment:%H}{colon}{moment:%M}{colon}{moment:%S}"

    assert from_text(text + (point + fraction if fraction else "") + zone[0]) == exact(moment, fraction, zone[1])


@given(st.lists(st.tuples(MOMENTS, st.text("0123456789", min_size=6, max_size=6)), min_size=1, max_size=5))
def test_a_column_of_times_means_what_each_of_them_means(times):
    """Those that are read together are read as those that are read alone."""
    texts = [f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}.{fraction}Z" for moment, fraction in times]

    read = _usual_times(texts)

    assert [time if EARLIEST <= time <= LATEST else 0 for time in read] == [exact(moment, fraction, 0) for moment, fraction in times]
