"""The last records: lines wait until they are needed, and few of them wait."""

from __future__ import annotations

import json

import pytest

from agent.columns import Lines, Records, last
from agent.issues.recent.breadcrumbs import Breadcrumbs
from agent.issues.recent.last_records import MAX_KEYS, MAX_LINE, MAX_WAITING, LastOfEach, LastRecords
from agent.parse.json_columns import JsonReader as Reader
from agent.record import Origin

ORIGIN = Origin("file:a")


def block(first, count, pad=0):
    """Ordinary lines as a block."""
    made = [{"timestamp": "2026-11-22T10:00:00Z", "level": "info", "event": f"e{n}", "pad": "x" * pad} for n in range(first, first + count)]
    return Reader(ORIGIN, 7).read([(n, json.dumps(fields).encode()) for n, fields in enumerate(made, first)])


def body(record):
    """The text of a record."""
    return record.body


@pytest.fixture
def made(monkeypatch):
    """How many lines became records."""
    counted = []
    rows = Reader._records

    def records(self, lines):
        counted.extend(lines)
        return rows(self, lines)

    monkeypatch.setattr(Reader, "_records", records)
    return counted


def test_nothing_is_made_until_somebody_asks(made):
    """Block after block passes, and no line becomes a record; then only the last ones do."""
    crumbs = Breadcrumbs(5)
    for first in range(0, 1000, 100):
        crumbs.keep("app", Records(block(first, 100)))
    batch = crumbs.before("app", Records(block(1000, 2)), [ORIGIN])
    assert made == []
    assert [crumb.message for crumb in batch.breadcrumbs(1)] == ["e996", "e997", "e998", "e999", "e1000"]
    assert len(made) < 10


def test_the_last_of_several_parts():
    """Blocks and records, added in one go or one after the other, are cut at the oldest."""
    together, apart = LastRecords(7, body), LastRecords(7, body)
    parts = [block(0, 5), list(block(5, 3)), block(8, 1), list(block(9, 2))]
    records = sum(parts, Records())
    together.extend(last(records, 100))
    for segment in records.segments:
        apart.extend(last(segment, 100))
    assert list(together) == list(apart) == [f"e{n}" for n in range(4, 11)]
    assert (len(together), together.waiting) == (7, apart.waiting)


def test_a_copy_stays_what_it_is():
    """A copy is not changed by later records."""
    kept = LastRecords(3, body)
    kept.extend([block(0, 3).last(3)])
    before = kept.copy()
    kept.extend([block(3, 2).last(2)])
    assert (list(before), list(kept)) == (["e0", "e1", "e2"], ["e2", "e3", "e4"])


def test_long_lines_do_not_wait():
    """Where lines are long, what is wanted of them is made, and they are let go; short ones wait on."""
    kept = LastRecords(10, body)
    kept.extend([block(0, 10, pad=2 * MAX_LINE).last(10)])
    assert (kept.waiting, list(kept)) == (0, [f"e{n}" for n in range(10)])
    kept.extend([block(10, 4).last(4)])
    assert 0 < kept.waiting < 10 * MAX_LINE
    assert list(kept) == [f"e{n}" for n in range(4, 14)]


def test_lines_of_many_keys_are_bounded_together():
    """However many keys have lines that wait, there are not more bytes of them than allowed; what is known of each stays."""
    kept = LastOfEach(100, body)
    for number in range(2 * MAX_KEYS):
        kept.extend(str(number), [block(number, 60, pad=1000).last(60)])
        assert kept.waiting <= MAX_WAITING
    assert len(kept) == MAX_KEYS
    assert kept.waiting > MAX_WAITING // 4
    assert [len(list(kept.of(str(number)))) for number in (0, MAX_KEYS, 2 * MAX_KEYS - 1)] == [0, 60, 60]
    assert len(list(kept)) == MAX_KEYS * 60


def test_lines_keep_nothing_else_of_a_block():
    """Only the last lines of a block and their origins wait: neither the others nor the encoded bytes."""
    whole = block(0, 200)
    (waiting,) = last(whole, 20)
    assert isinstance(waiting, Lines)
    assert (waiting.lines, waiting.origin) == (whole.lines[-20:], ORIGIN)
    assert whole.lines[0] not in waiting.lines
    assert list(waiting) == whole[-20:]
    assert isinstance(waiting.make.__self__, Reader)


@pytest.mark.parametrize("limit", [0, 1])
def test_little_or_nothing_is_wanted(limit):
    """With a limit of none nothing is kept at all."""
    kept = LastRecords(limit, body)
    kept.extend([block(0, 3).last(3), list(block(3, 2))])
    assert list(kept) == ["e4"][:limit]
    assert len(kept) == limit
