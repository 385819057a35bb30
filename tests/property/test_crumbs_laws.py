"""Laws of what went before: keeping lines and making records of them when asked gives what making all records at once would."""

from __future__ import annotations

import json
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.columns import Block, Lines, Records, segments_of
from agent.issues.reading.record_fields import breadcrumb_of
from agent.issues.recent.activity import MAX_LINES, Line, RecentActivity, in_order, line_of, newest, shortened
from agent.issues.recent.breadcrumbs import Breadcrumbs, trail
from agent.issues.recent.last_records import MAX_LINE, LastRecords
from agent.parse.json_columns import JsonReader as Reader
from agent.record import Origin
from agent.redact.redactor import Redactor
from agent.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.issues.event.error_event import Breadcrumb
    from agent.record import LogRecord

pytestmark = pytest.mark.property

TIME = "2026-11-22T10:00:00.{:06d}Z"
SECRET = "hunter2-correct-horse"
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["x" * 3000, f"login password={SECRET} failed", f"Authorization: Bearer {SECRET}", "é" * 600]
)
FIELDS = st.fixed_dictionaries(
    {"event": TEXTS, "level": st.sampled_from(["info", "error", "odd", "debug"])},
    optional={
        "password": st.just(SECRET),
        "logger": TEXTS,
        "n": st.integers() | TEXTS,
        "nested": st.dictionaries(TEXTS, TEXTS, max_size=2),
    },
)
ORIGINS = st.sampled_from([Origin("file:a"), Origin("file:b"), Origin("child:7:1:stdout"), Origin("child:7:2:stderr")])


class Piece(NamedTuple):
    """Some lines of one origin, and how often they are repeated."""

    origin: Origin
    fields: list[dict[str, object]]
    times: int


PIECES = st.builds(Piece, ORIGINS, st.lists(FIELDS, min_size=1, max_size=5), st.sampled_from([1, 1, 3, 40, 90]))
BATCHES = st.lists(st.tuples(st.sampled_from(["app", "child"]), st.lists(PIECES, min_size=1, max_size=4)), min_size=1, max_size=5)


def records_of(pieces: Sequence[Piece]) -> Records:
    """Records, in blocks where the reader makes some, without secrets, as the intake gives them to the detector."""
    records = Records()
    for piece in pieces:
        reader = Reader(piece.origin, 7)
        lines = [
            (at, json.dumps({"timestamp": TIME.format(at), **fields}).encode()) for at, fields in enumerate(piece.fields * piece.times)
        ]
        few = len(lines) // 3
        records += reader.rows(lines[:few])
        records += reader.read(lines[few : 2 * few])
        records += reader.read(lines[2 * few :])
    redacted, _ = Redactor().redact(records, None)
    return Records(redacted)


class Eager:
    """The breadcrumbs, as a program without bounds on its work would make them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.kept: dict[str, deque[Breadcrumb]] = {}
        self.lines: dict[str, deque[Line]] = {}

    def keep(self, source: str, records: Sequence[LogRecord]) -> None:
        """Remember a batch."""
        for record in records:
            self.kept.setdefault(trail(source, record.origin), deque(maxlen=self.limit)).append(breadcrumb_of(record))
        self.lines.setdefault(source, deque(maxlen=MAX_LINES)).extend(map(shortened, records))

    def crumbs(self, source: str, records: Sequence[LogRecord], index: int) -> tuple[Breadcrumb, ...]:
        """Those of one record."""
        key = trail(source, records[index].origin)
        own = [breadcrumb_of(record) for record in list(records)[:index] if trail(source, record.origin) == key]
        return tuple([*self.kept.get(key, ()), *own][-self.limit :]) if self.limit else ()


@settings(max_examples=100, deadline=None)
@given(BATCHES, st.sampled_from([0, 1, 3, 50]), st.booleans(), st.data())
def test_lazy_equals_eager(batches, limit, waits, data):
    """Breadcrumbs and last lines are the same, whatever lay in blocks and whether or not it waits to be stored, and hold no secret."""
    crumbs, box, eager, waiting = Breadcrumbs(limit), RecentActivity(FakeClock(), dict), Eager(limit), []
    stack = ExitStack()
    for source, pieces in batches:
        records = records_of(pieces)
        if not records:  # a block ends before an odd line, which may have been the first
            continue
        indices = data.draw(st.lists(st.integers(0, len(records) - 1), max_size=3))
        batch = crumbs.before(source, records, [records[index].origin for index in indices], waiting)
        for index in indices:
            made = batch.breadcrumbs(index)
            assert made == eager.crumbs(source, records, index)
            assert SECRET not in repr(made)
        eager.keep(source, records)
        if waits:
            waiting.append((source, records))
            stack.enter_context(box.judging(source, records))
        else:
            crumbs.keep(source, records)
            box.keep(source, records)
        attached = [one.body for one in box.attachments(source)]
        assert attached == [newest([line_of(line) for line in in_order(list(eager.lines[source]))], 48 * 1024)]
        assert SECRET.encode() not in attached[0]


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=6), st.integers(0, 60))
def test_what_waits_is_bounded(pieces, limit):
    """No more rows and bytes of lines are kept than allowed, and they are the last ones."""
    kept, whole = LastRecords(limit, shortened), []
    for piece in pieces:
        records = records_of([piece])
        whole += records
        parts = [segment.last(len(segment)) if isinstance(segment, Block) else segment for segment in segments_of(records)]
        for some in (parts[:1], parts[1:]):
            kept.extend(some)
            assert len(kept) <= limit
            assert kept.waiting <= limit * MAX_LINE
    assert list(kept) == [shortened(record) for record in whole[len(whole) - min(limit, len(whole)) :]]
    assert sum(part.size for _, part in kept._parts if isinstance(part, Lines)) == kept.waiting
