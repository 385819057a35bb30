"""Trimming: in its order, no more than needed, and always the same."""

from __future__ import annotations

import json

from agent.encode.sentry_envelope import Envelope, Item, decode, encode
from agent.encode.sentry_trim import fit, steps

FRAME = {"function": "f", "pre_context": ["x" * 100], "post_context": ["y" * 100], "context_line": "z", "vars": {"a": "b"}}
EVENT = {
    "event_id": "1" * 32,
    "breadcrumbs": {"values": [{"message": "m" * 500}]},
    "extra": {"key": "v" * 500, "occurrences": {"count": 3}},
    "exception": {"values": [{"type": "E", "value": "w" * 5000, "stacktrace": {"frames": [{**FRAME, "lineno": n} for n in range(200)]}}]},
    "logentry": {"message": "t" * 5000},
    "threads": {"values": [{"id": 1, "stacktrace": {"frames": [FRAME]}}]},
}


def envelope(event=EVENT):
    """An envelope with an attachment."""
    return Envelope({"event_id": "1" * 32}, [Item("event", json.dumps(event).encode()), Item("attachment", b"a" * 1000)])


def event_of(one):
    """Its event."""
    return one.items[0].json()


def test_the_order():
    """Attachments go first, then breadcrumbs, extra, context, the middle of stacks, long messages."""
    made = list(steps(envelope()))
    assert [len(one.items) for one in made] == [1] * 6
    events = [event_of(one) for one in made]
    assert ["breadcrumbs" in one for one in events] == [True, False, False, False, False, False]
    assert ["key" in one["extra"] for one in events] == [True, True, False, False, False, False]
    frames = [one["exception"]["values"][0]["stacktrace"]["frames"] for one in events]
    assert ["pre_context" in some[0] for some in frames] == [True, True, True, False, False, False]
    assert [len(some) for some in frames] == [200, 200, 200, 200, 50, 50]
    assert [len(one["exception"]["values"][0]["value"]) for one in events] == [5000] * 5 + [1024]


def test_what_says_most_stays():
    """Type, the newest frames with their lines, and how often it happened survive every step."""
    event = event_of(list(steps(envelope()))[-1])
    (error,) = event["exception"]["values"]
    assert error["type"] == "E"
    assert [frame["lineno"] for frame in error["stacktrace"]["frames"]] == [*range(12), *range(162, 200)]
    assert error["stacktrace"]["frames"][-1]["context_line"] == "z"
    assert event["extra"] == {"occurrences": {"count": 3}}


def test_no_more_than_needed():
    """What fits stays as it is; what fits without attachments loses only them."""
    whole = envelope()
    assert fit(whole, 1 << 20) is whole
    fitted = fit(whole, len(encode(whole)) - 500)
    assert event_of(fitted) == EVENT
    assert len(fitted.items) == 1


def test_the_same_every_time():
    """The same envelope is trimmed to the same bytes, and they decode."""
    assert encode(fit(envelope(), 100)) == encode(fit(envelope(), 100))
    assert decode(encode(fit(envelope(), 100))).items


def test_odd_shapes():
    """Events of any shape are trimmed without a fault."""
    for event in (
        {},
        {"exception": None},
        {"exception": {"values": [None, 7, {"stacktrace": 1}]}},
        {"logentry": "x", "extra": [], "breadcrumbs": 7},
    ):
        list(steps(envelope(event)))
