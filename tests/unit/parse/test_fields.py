"""Levels, ids and messages under the names that writers use."""

from __future__ import annotations

import pytest

from agent.parse import severity
from agent.parse.fields import plan, promote
from agent.record import Severity

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"

LEVELS = {
    "trace": 1, "debug": 5, "DEBUG": 5, "info": 9, "Information": 9, "notice": 10, "SUCCESS": 10, "warn": 13, "WARNING": 13, "error": 17,
    "err": 17, "exception": 17, "CRITICAL": 21, "alert": 19, "fatal": 21, "panic": 21, "emerg": 21, " Info: ": 9, "[error]": 17, "20": 9,
    "LogLevel.WARNING": 13, "SEVERITY_ERROR": 17, "SEVERITY_NUMBER_WARN2": 14, "level_info": 9, "\u2716 error\n": 17, '"FATAL"': 21, "C++": 0,
    "user.error": 0, "40": 17, "odd": 0, "": 0, "9999": 0,
}  # fmt: skip


@pytest.mark.parametrize(("name", "number"), LEVELS.items())
def test_a_level_by_name(name, number):
    """Without regard to case and decoration; an unknown word is not a level."""
    assert severity.from_name(name) == number


@pytest.mark.parametrize(
    ("number", "bunyan", "expected"),
    [
        (10, False, 5),
        (20, False, 9),
        (30, False, 13),
        (40, False, 17),
        (50, False, 21),
        (10, True, 1),
        (30, True, 9),
        (50, True, 17),
        (60, True, 21),
        (60, False, 21),
        (0, False, 21),
        (3, False, 17),
        (7, False, 5),
        (25, False, 12),
        (35, True, 9),
        (-1, False, 0),
        (1e300, False, 0),
    ],
)
def test_a_level_by_number(number, bunyan, expected):
    """Python's, pino's and bunyan's, syslog's: distinguished by range and by the fields beside them."""
    assert severity.from_number(number, bunyan=bunyan) == expected


def test_the_severity_numbers_are_those_of_the_data_model():
    """Our table speaks of the same numbers as the records do."""
    assert list(Severity)[1:] == [severity.TRACE, severity.DEBUG, severity.INFO, severity.WARN, severity.ERROR, severity.FATAL]


def test_what_is_promoted_is_no_attribute_any_more():
    """Time, level, message and ids leave the attributes; the rest stays, with its type."""
    parsed = promote(
        {
            "timestamp": "2026-11-22T10:51:23Z",
            "level": "info",
            "event": "e",
            "trace_id": TRACE.upper(),
            "span_id": SPAN,
            "n": 1,
            "x": [None, 1.5],
        }
    )

    assert parsed.attributes == {"n": 1, "x": [None, 1.5]}
    assert (parsed.time_ns, parsed.severity, parsed.severity_text, parsed.body) == (1_795_344_683_000_000_000, 9, "info", "e")
    assert (parsed.trace_id.hex(), parsed.span_id.hex()) == (TRACE, SPAN)


@pytest.mark.parametrize("name", ["trace_id", "traceId", "trace.id", "otelTraceID", "X-B3-TraceId"])
def test_the_names_of_a_trace_id(name):
    """Each writer has its own."""
    assert promote({name: TRACE}).trace_id.hex() == TRACE


@pytest.mark.parametrize(
    "value", ["0" * 32, "0", "12345678901234567890", TRACE[:-1], TRACE[:-1] + "g", TRACE[:15] + " " + TRACE[16:], 5, None, ["a"]]
)
def test_a_trace_id_that_is_none_stays_an_attribute(value):
    """Datadog's decimal ids, zeros and damaged ones: not understood, not lost."""
    parsed = promote({"trace_id": value})

    assert (parsed.trace_id, parsed.attributes) == (b"", {"trace_id": value})


def test_a_traceparent_gives_trace_span_and_flags():
    """W3C Trace Context; the sampled flag comes along."""
    parsed = promote({"traceparent": f"00-{TRACE}-{SPAN}-01", "a": 1})

    assert (parsed.trace_id.hex(), parsed.span_id.hex(), parsed.trace_flags, parsed.attributes) == (TRACE, SPAN, 1, {"a": 1})


@pytest.mark.parametrize("value", ["", "00", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE.upper()}-{SPAN}-01", 7])
def test_a_traceparent_that_is_none_stays_an_attribute(value):
    """An invalid version, a zero id, capitals, which the specification forbids."""
    parsed = promote({"traceparent": value})

    assert (parsed.trace_id, parsed.attributes) == (b"", {"traceparent": value})


def test_own_ids_win_over_the_traceparent():
    """Both may be there; the traceparent then stays as it was sent."""
    parsed = promote({"trace_id": TRACE, "traceparent": f"00-{'a' * 32}-{SPAN}-01"})

    assert (parsed.trace_id.hex(), parsed.span_id) == (TRACE, b"")


@pytest.mark.parametrize("holder", ["mdc", "contextMap", "context", "trace"])
@pytest.mark.parametrize(("trace", "span"), [("trace_id", "span_id"), ("traceId", "spanId")])
def test_ids_stand_in_a_mapped_context(holder, trace, span):
    """logback's, log4j's and others' objects; what else is in them stays."""
    parsed = promote({"message": "m", holder: {trace: TRACE, span: SPAN, "user": "ann"}})

    assert (parsed.trace_id.hex(), parsed.span_id.hex(), parsed.attributes) == (TRACE, SPAN, {holder: {"user": "ann"}})


@pytest.mark.parametrize("name", ["otelTraceSampled", "trace_sampled", "logging.googleapis.com/trace_sampled"])
@pytest.mark.parametrize(("value", "flags"), [(True, 1), (False, 0), ("True", 1), ("false", 0)])
def test_whether_a_trace_is_sampled_is_a_flag(name, value, flags):
    """The lowest bit of W3C's flags."""
    parsed = promote({"trace_id": TRACE, name: value})

    assert (parsed.trace_flags, parsed.attributes) == (flags, {})


@pytest.mark.parametrize(("value", "flags"), [("01", 1), (1, 1), ("ff", 255)])
def test_trace_flags_are_two_digits_or_a_number(value, flags):
    """Both are seen."""
    assert promote({"trace_flags": value}).trace_flags == flags


def test_a_message_that_is_no_text_keeps_its_type():
    """A structured body is allowed; a text under a lesser name goes before it (ECS has an object `event` beside `message`)."""
    assert promote({"event": {"a": 1}}).body == {"a": 1}
    ecs = promote({"event": {"dataset": "d"}, "message": "m"})
    assert (ecs.body, ecs.attributes) == ("m", {"event": {"dataset": "d"}})


def test_a_record_without_message_has_no_body():
    """It still has its attributes."""
    assert promote({"a": 1})[:2] == (None, {"a": 1})


def test_a_time_that_is_none_stays_and_is_counted():
    """The record goes on without it."""
    parsed = promote({"timestamp": "yesterday"})

    assert (parsed.time_ns, parsed.attributes, parsed.reasons) == (0, {"timestamp": "yesterday"}, ("bad_timestamp",))


def test_nested_names_of_ecs_are_understood():
    """`log.level`, `trace.id` and `span.id` as objects; what else is in them stays."""
    parsed = promote({"log": {"level": "warn", "logger": "l"}, "trace": {"id": TRACE}, "span": {"id": SPAN, "x": 1}})

    assert (parsed.severity, parsed.trace_id.hex(), parsed.span_id.hex()) == (13, TRACE, SPAN)
    assert parsed.attributes == {"log": {"logger": "l"}, "span": {"x": 1}}


def test_a_plan_is_simple_only_where_nothing_special_is():
    """The fast reader leaves lines with nested ids, without a level, or with too many names to the patient one."""
    assert plan(("timestamp", "level", "event", "a")).plain
    assert not plan(("timestamp", "level", "event", "trace")).plain
    assert not plan(("timestamp", "event")).plain
    assert not plan(("timestamp", "level", "event", *map(str, range(126)))).plain
