"""The black box: the newest lines and samples, whatever was poured in, within its bounds."""

from __future__ import annotations

import json

from agent.issues.recent.activity import MAX_BYTES, MAX_SAMPLES, RecentActivity
from agent.issues.recent.last_records import MAX_KEYS
from agent.record import LogRecord, Origin, Severity
from agent.testing.clock import FakeClock
from tests.support.sentry import NOW_NS


def line(text, severity=Severity.INFO):
    """A record."""
    return LogRecord(NOW_NS, NOW_NS, severity, "", text, {}, Origin("file:a"), 0)


def test_the_newest_lines():
    """The last lines of the source are there, in their order, with time and level, and nothing of another source."""
    box = RecentActivity(FakeClock(), dict)
    box.keep("a", [line(f"step {number}") for number in range(1000)])
    box.keep("b", [line("other")])
    (attachment,) = box.attachments("a")
    text = attachment.body.decode()
    assert text.splitlines()[-1] == "2023-11-14T22:13:20.000000Z info step 999"
    assert "step 0\n" not in text
    assert "other" not in text


def test_bounds():
    """However long lines are, however many sources and samples there are, what is kept is bounded and what is attached fits."""
    figures = {f"figure{key}": 999.0 for key in range(100)}
    box = RecentActivity(FakeClock(), lambda: figures)
    for number in range(200):
        box.keep(f"s{number}", [line("é" * 100_000)] * 400)
    for _ in range(1000):
        box.sample()
    attachments = box.attachments("s199")
    assert [one.filename for one in attachments] == ["last_lines.txt", "resources.jsonl"]
    assert sum(len(one.body) for one in attachments) <= MAX_BYTES
    assert len(box._lines) == MAX_KEYS
    assert len(box._samples) <= MAX_SAMPLES
    assert json.loads(attachments[1].body.splitlines()[-1])["figure7"] == 999.0


def test_the_order_of_what_happened():
    """Lines of two streams are in the order of their times, those of one as they were written, whatever their times and levels say."""
    second = 10**9
    out, err = Origin("child:7:1:stdout"), Origin("child:7:1:stderr")
    told = [(out, 1, "a", Severity.ERROR), (out, 1, "b", Severity.INFO), (out, 4, "e", Severity.INFO), (out, 2, "f", Severity.INFO)]
    late = [(err, 2, "c", Severity.INFO), (err, 3, "d", Severity.DEBUG), (err, 5, "g", Severity.INFO)]
    box = RecentActivity(FakeClock(), dict)
    for some in (told, late):
        box.keep("child", [line(text, level)._replace(origin=origin, time_ns=at * second) for origin, at, text, level in some])
    for source in ("child", ""):
        (attachment,) = box.attachments(source)
        assert [row[-1] for row in attachment.body.decode().splitlines()] == list("abcdefg")


def test_nothing_known():
    """Without lines and figures there is nothing to attach."""
    box = RecentActivity(FakeClock(), dict)
    box.sample()
    assert box.attachments("a") == ()
