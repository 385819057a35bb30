"""Trimming: in its order, no more than needed, and always the same."""

from __future__ import annotations

import json

from agent.issues.envelope.format import Envelope, EnvelopeItem, decode, encode
from agent.issues.envelope.trim import fit, steps
from agent.issues.event.encode import encode_event
from agent.issues.event.error_event import ErrorEvent, LogMessage
from agent.issues.event.frames import EncodeOptions
from agent.parse.exceptions import ExceptionInfo, Frame
from tests.support.sentry import NOW_NS

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
    return Envelope({"event_id": "1" * 32}, [EnvelopeItem("event", json.dumps(event).encode()), EnvelopeItem("attachment", b"a" * 1000)])


def event_of(one):
    """Its event."""
    return one.items[0].json()


def test_the_order():
    """Attachments go first, then breadcrumbs, extra, context, the middle of stacks, long messages, all but the newest frames."""
    made = list(steps(envelope()))
    assert [len(one.items) for one in made] == [1] * 7
    events = [event_of(one) for one in made]
    assert ["breadcrumbs" in one for one in events] == [True] + [False] * 6
    assert ["key" in one["extra"] for one in events] == [True] * 2 + [False] * 5
    frames = [one["exception"]["values"][0]["stacktrace"]["frames"] for one in events]
    assert ["pre_context" in some[0] for some in frames] == [True] * 3 + [False] * 4
    assert [len(some) for some in frames] == [200, 200, 200, 200, 50, 50, 5]
    assert [len(one["exception"]["values"][0]["value"]) for one in events] == [5000] * 5 + [1024] * 2


def test_what_says_most_stays():
    """Type, the newest frames with their lines, and how often it happened survive every step."""
    event = event_of(list(steps(envelope()))[-1])
    (error,) = event["exception"]["values"]
    assert error["type"] == "E"
    assert [frame["lineno"] for frame in error["stacktrace"]["frames"]] == [*range(195, 200)]
    assert error["stacktrace"]["frames"][-1]["context_line"] == "z"
    assert event["extra"] == {"occurrences": {"count": 3}}


def test_whatever_an_error_holds_it_gets_small():
    """A tree of many long exceptions with long names comes to fit into the smallest limit there is: that of what is kept for a summary."""
    frames = tuple(Frame(f"/srv/{'p' * 5000}/m{n}.py", n, "f" * 5000, "x" * 5000) for n in range(100))
    members = tuple(ExceptionInfo("E" * 5000, "m" * 5000, "v" * 9000, frames) for _ in range(60))
    root = ExceptionInfo("Root", None, "root", frames, group=members, is_group=True)
    event = ErrorEvent(
        "1" * 32, NOW_NS, "error", ("F" * 5000, "G" * 5000), exception=root, message=LogMessage("t" * 9000, ("p",), "t" * 9000)
    )
    encoded = encode_event(event, EncodeOptions())
    fitted = fit(envelope(encoded), 64 * 1024)
    assert len(encode(fitted)) <= 64 * 1024
    kept = event_of(fitted)["exception"]["values"]
    assert [one["type"] for one in kept[-1:]] == ["Root"]
    assert {one["mechanism"].get("parent_id", 0) for one in kept} <= {one["mechanism"]["exception_id"] for one in kept}
    assert event_of(fitted)["event_id"] == encoded["event_id"]


def test_no_more_than_needed():
    """An envelope that fits stays as it is; one that fits without attachments loses only them."""
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
    """Events of any shape can be trimmed."""
    for event in (
        {},
        {"exception": None},
        {"exception": {"values": [None, 7, {"stacktrace": 1}]}},
        {"logentry": "x", "extra": [], "breadcrumbs": 7},
    ):
        list(steps(envelope(event)))
