"""One stream's bytes → batches. Its two users: tests/unit/sources/test_stdin.py and tests/unit/exec/test_child.py."""

from __future__ import annotations

from agent.parse.limits import INCOMPLETE, OPEN_AGE
from agent.parse.line_stream import LineStream
from agent.record import Drop, Origin

SECOND = 10**9
TRACEBACK = b'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    f()\nValueError: x\n'


def stream(format_="auto", longest=1000):
    """A stream that has not begun."""
    return LineStream(Origin("pipe"), format_, longest=longest, quiet=0.2)


def taken(one):
    """Bodies of all records and all counts so far, which are removed."""
    batches = list(one.batches)
    one.batches.clear()
    return [str(record.body) for batch in batches for record in batch.records], [dict(batch.drops) for batch in batches if batch.drops]


def test_what_is_complete_is_a_batch():
    """Half a line waits, and nothing is due while no record is open."""
    one = stream()
    one.feed(b'{"event": "one"}\n{"eve', 0)

    assert (taken(one), one.patience) == ((["one"], []), None)
    one.feed(b'nt": "two"}\n', 1)
    assert taken(one) == (["two"], [])


def test_nothing_complete_is_no_batch():
    """Neither an empty read nor half a line is one, nor the end of an empty stream."""
    one = stream()
    one.feed(b"", 0)
    one.feed(b"half", 0)
    assert not one.batches
    one.finish(0)
    one.finish(0)
    assert taken(one) == (["half"], [])


def test_an_open_record_is_flushed_when_it_is_quiet():
    """Its line may still be continued."""
    one = stream()
    one.feed(TRACEBACK + b'{"event": "on', 0)
    assert (len(one.batches), one.patience) == (0, 0.2)
    one.flush(SECOND)
    one.feed(b'ward"}\n', SECOND)

    assert [batch.records[0].attributes.get("exception.type") for batch in one.batches] == ["ValueError", None]
    assert one.batches[1].records[0].body == "onward"


def test_a_record_that_is_open_for_too_long_is_given_out_while_more_comes():
    """It is marked as incomplete; what follows is a record of its own."""
    one = stream()
    one.feed(b"2026-11-22 10:00:00,123 ERROR app: slow\n", 0)
    for tenth in range(1, int(OPEN_AGE * 10) + 3):
        one.feed(b"more\n", tenth * SECOND // 10)

    first, second = one.batches
    assert first.records[0].attributes[INCOMPLETE] is True
    assert (first.records[0].body.count("more"), second.records[0].body) == (int(OPEN_AGE * 10), "more")


def test_counts_are_in_the_next_batch_and_in_one_alone():
    """Also where no record comes with them."""
    one = stream(longest=10)
    one.count(Drop.NOT_PASSED_ON, 2)
    one.feed(b"x" * 25 + b"\n", 0)
    one.count(Drop.BUFFER_FULL, 1)
    one.flush(0)

    assert taken(one)[1] == [{"oversized": 2, "not_passed_on": 2}, {"buffer_full": 1}]


def test_a_gap_ends_the_line_and_the_record_before_it():
    """Later lines are joined to neither, and their places count the lost bytes."""
    one = stream()
    one.feed(TRACEBACK + b"hal", 0)
    one.skip(100, 0)
    one.feed(b"    later()\n", 0)
    one.finish(0)

    records = [record for batch in one.batches for record in batch.records]
    assert [record.offset for record in records] == [0, len(TRACEBACK), len(TRACEBACK) + 103]
    assert [record.body for record in records][1:] == ["hal", "    later()"]


def test_another_format_goes_on_within_the_line():
    """The record that the former one had open is its last; the same format keeps it open."""
    one = stream()
    one.feed(TRACEBACK + b"msg=hel", 0)
    one.configure("auto", longest=1000, quiet=5.0, now_ns=0)
    assert (len(one.batches), one.patience) == (0, 5.0)
    one.configure("logfmt", longest=1000, quiet=5.0, now_ns=0)
    one.feed(b"lo\n", 0)

    assert taken(one)[0][1:] == ["hello"]
