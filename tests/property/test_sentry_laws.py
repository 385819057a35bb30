"""Laws of errors on their way to Sentry: no input breaks it, nothing is lost in an envelope, no error is forgotten in a storm."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.exporters.sentry_dsn import parse_dsn
from agent.exporters.sentry_limits import RateLimits, read_limits
from agent.issues.envelope.format import Envelope, EnvelopeError, EnvelopeItem, decode, encode
from agent.issues.envelope.items import logs
from agent.issues.envelope.names import environment, release, slug
from agent.issues.envelope.trim import steps
from agent.issues.event.encode import encode_event
from agent.issues.event.frames import EncodeOptions
from agent.issues.reading.record_event import record_event
from agent.issues.reading.record_fields import breadcrumb_of
from agent.issues.reading.rules import Rules
from agent.issues.reading.templates import parametrise
from agent.issues.windows import Budget, Choice, FoldingLimits, OpenWindows
from agent.options import OptionError
from agent.record import LogRecord, Origin
from tests.support.sentry import SUBJECT

TEXT = st.text(max_size=60)
KEYS = (
    st.sampled_from(["exc_info", "exception", "stack_trace", "error.type", "error.message", "record", "text", "logger", "event.name"])
    | TEXT
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TRACEBACK = 'Traceback (most recent call last):\n  File "{}", line {}, in {}\n    {}\n{}: {}\n'
TRACEBACKS = st.builds(TRACEBACK.format, TEXT, st.integers(0, 10**20), TEXT, TEXT, TEXT, TEXT)
RECORDS = st.builds(
    LogRecord,
    st.integers(0, 2 * 10**18),
    st.integers(1, 2 * 10**18),
    st.integers(0, 24),
    TEXT,
    VALUES | TRACEBACKS,
    st.dictionaries(KEYS, VALUES | TRACEBACKS, max_size=6),
    st.builds(Origin, TEXT),
    st.integers(0, 10**9),
    st.binary(min_size=16, max_size=16) | st.just(b""),
    st.binary(min_size=8, max_size=8) | st.just(b""),
)


@given(RECORDS)
def test_any_record_becomes_an_event(record):
    """Whatever a record holds, judging it raises nothing, and what is made of it is JSON that can be trimmed to the end."""
    Rules().matches(record)
    event = encode_event(replace(record_event(record, SUBJECT, Rules()), breadcrumbs=(breadcrumb_of(record),)), EncodeOptions(locals=True))
    envelope = Envelope({}, [EnvelopeItem("event", encode(Envelope(event, ())).strip())])
    assert json.loads(envelope.items[0].body)["event_id"] == event["event_id"]
    for smaller in steps(envelope):
        assert len(encode(smaller)) < len(encode(envelope))
        envelope = smaller


@given(st.lists(RECORDS, min_size=1, max_size=5))
def test_any_records_become_logs(records):
    """Whatever records hold, they become as many log items, each attribute with a type that Sentry knows."""
    items = json.loads(logs(records, labels={"release": "a"}).body)["items"]
    assert len(items) == len(records)
    kinds = {attribute["type"] for item in items for attribute in item["attributes"].values()}
    assert kinds <= {"string", "integer", "double", "boolean"}
    assert all(len(item["trace_id"]) == 32 for item in items)


@given(st.lists(st.tuples(st.sampled_from(["event", "attachment", "log"]), st.binary(max_size=200)), max_size=6), st.text(max_size=20))
def test_envelopes_keep_everything(items, name):
    """Any payloads come back as they were."""
    envelope = Envelope({"event_id": name}, [EnvelopeItem(kind, body, {"filename": name}) for kind, body in items])
    back = decode(encode(envelope))
    assert [(one.type, one.body) for one in back.items] == items


@given(st.binary(max_size=300))
def test_any_bytes_are_an_envelope_or_refused(data):
    """Decoding ends with an envelope or the one exception that says that there is none."""
    try:
        decode(data)
    except EnvelopeError:
        return


@given(st.text(max_size=60) | st.builds("{}://{}@{}/{}".format, TEXT, TEXT, TEXT, TEXT))
def test_any_text_is_a_dsn_or_refused(text):
    """A DSN is taken apart or refused, with nothing else raised."""
    try:
        parse_dsn(text)
    except OptionError:
        return


@given(st.lists(st.text(alphabet="0123456789.:;,ae+- \x00eror", max_size=40), max_size=5))
def test_any_header_of_limits(headers):
    """Any header is understood or left out; a limit is never negative and never for ever."""
    limits = RateLimits()
    for now, header in enumerate(headers):
        for category, seconds in read_limits(header):
            limits.note(category, seconds, float(now))
        assert 0 <= limits.remaining("error", float(now)) <= 366 * 86400 + 5


@given(TEXT)
def test_slugs(text):
    """Any name is a slug that Sentry takes."""
    made = slug(text)
    assert 1 <= len(made) <= 50
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    assert slug(made) == made


@given(TEXT)
def test_releases_and_environments(text):
    """Any name is a release and an environment that Sentry takes, and such a one is not changed again."""
    for made, longest, forbidden in ((release(text), 200, "/\\\r\n\f\t"), (environment(text), 64, "/\r\n\f\t")):
        assert len(made.encode("utf-8", "replace")) <= longest
        assert not set(forbidden) & set(made)
        assert made.lower() not in (".", "..", "latest" if longest == 200 else "none")
    assert (release(release(text)), environment(environment(text))) == (release(text), environment(text))


@given(st.text(alphabet="ab 0123456789-:.%sdxfT", max_size=80))
def test_templates_are_stable(text):
    """A template with its parameters is the text; a template has no values left that a second look would take."""
    template, params = parametrise(text)
    assert (template % params if params else template) == text


EVENTS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 40), st.sampled_from(["kept", "lost", "kill", "tick"])), max_size=120)


@settings(max_examples=300)
@given(EVENTS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 5))
def test_no_error_is_forgotten(steps_, per_fingerprint, total, kinds):
    """Sent + summed up + dropped = noted and stored, per kind, whatever is killed, not stored or reported late in between."""
    limits = FoldingLimits(window_ns=10, per_group=per_fingerprint, total=total, groups=kinds)
    stored: dict[str, bytes] = {}
    state, now = OpenWindows(limits, Budget(limits)), 100
    noted: dict[str, int] = {}
    reported: dict[str, int] = {}
    dropped = 0
    for fingerprint, gap, what in steps_:
        now += gap
        if what == "kill":
            state = OpenWindows(limits, Budget(limits), dict(stored))
        draft = state.begin()
        if what == "tick":
            for summary in draft.close(now):
                reported[summary.key] = reported.get(summary.key, 0) + summary.window.folded
                assert summary.event
        else:
            choice = draft.note(fingerprint, now, now)
            if choice is Choice.FOLD_FIRST:
                draft.keep(fingerprint, b"{}")
            if what != "lost":
                noted[fingerprint] = noted.get(fingerprint, 0) + 1
                reported[fingerprint] = reported.get(fingerprint, 0) + (choice in (Choice.SEND, Choice.DROP))
                dropped += choice is Choice.DROP
        if what != "lost":
            for key, value in draft.positions().items():
                stored.pop(key, None)
                if value is not None:
                    stored[key] = value
            draft.commit()
    last = OpenWindows(limits, Budget(limits), stored)
    assert last.overflow == dropped
    for summary in last.begin().close(now, all_of_them=True):
        reported[summary.key] = reported.get(summary.key, 0) + summary.window.folded
    assert reported == {**dict.fromkeys(reported, 0), **noted}
