"""The bytes we write are those that opentelemetry-proto's own classes read as the same records."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from agent.encode.otlp_decode import decode_logs
from agent.encode.otlp_logs import LogEncoder
from agent.record import SCHEMA_URL, LogRecord, Origin

pytestmark = pytest.mark.property

TEXTS = st.text(max_size=12) | st.sampled_from(["a", "b" * 200, "\ud800", "é" * 70])
SCALARS = st.none() | st.booleans() | st.integers(-(2**66), 2**66) | st.integers(-3, 300) | st.floats() | TEXTS | st.binary(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8)
ATTRIBUTES = st.dictionaries(TEXTS | st.just("event.name"), VALUES, max_size=6)
RESOURCES = st.just({}) | st.dictionaries(st.sampled_from(["a", "k8s.pod.name"]), st.sampled_from(["p", 1]), max_size=2)
ORIGINS = st.builds(Origin, st.just("f"), ATTRIBUTES, RESOURCES)
RECORDS = st.builds(
    LogRecord,
    time_ns=st.integers(0, 2**63 - 1),
    observed_ns=st.integers(0, 2**63 - 1),
    severity=st.integers(0, 24),
    severity_text=TEXTS,
    body=VALUES,
    attributes=ATTRIBUTES,
    origin=ORIGINS,
    offset=st.integers(0, 2**40),
    trace_id=st.sampled_from([b"", bytes(range(16))]),
    span_id=st.sampled_from([b"", bytes(range(8))]),
    trace_flags=st.integers(0, 255),
    dropped_attributes=st.integers(0, 1000),
)


def text(value):
    """The part of a text that UTF-8 can hold."""
    return value.encode("utf-8", "backslashreplace").decode()


def reference_value(value):
    """An AnyValue made with the generated classes."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value) if -(2**63) <= value < 2**63 else AnyValue(string_value=str(value))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=text(value))
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    made = AnyValue()
    if isinstance(value, list):
        made.array_value.SetInParent()
        made.array_value.values.extend(reference_value(item) for item in value)
    if isinstance(value, dict):
        made.kvlist_value.SetInParent()
        made.kvlist_value.values.extend(reference_pair(*item) for item in value.items())
    return made


def reference_pair(key, value):
    """A KeyValue made with the generated classes."""
    return KeyValue(key=text(key), value=reference_value(value))


def reference_scope(request, resource):
    """A new scope below a new resource, made with the generated classes."""
    resource_logs = request.resource_logs.add()
    resource_logs.schema_url = SCHEMA_URL
    resource_logs.resource.attributes.extend(reference_pair(*item) for item in resource.items())
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name, scope_logs.scope.version = "s", "1"
    return scope_logs


def reference(records, resource, given=()):
    """A whole request made with the generated classes."""
    request = ExportLogsServiceRequest()
    known = None
    for record in records:
        if record.origin.resource != known:
            known = record.origin.resource
            scope_logs = reference_scope(request, {**resource, **{key: value for key, value in known.items() if key not in given}})
        made = scope_logs.log_records.add()
        made.time_unix_nano, made.observed_time_unix_nano = record.time_ns, record.observed_ns
        made.severity_number, made.severity_text = record.severity, text(record.severity_text)
        made.body.CopyFrom(reference_value(record.body))
        own = {key: value for key, value in record.attributes.items() if key not in record.origin.attributes}
        for key, value in (*record.origin.attributes.items(), *own.items()):
            if key == "event.name" and isinstance(value, str):  # the data model has a field for it
                made.event_name = text(value)
            else:
                made.attributes.append(reference_pair(key, value))
        made.trace_id, made.span_id = record.trace_id, record.span_id
        made.flags, made.dropped_attributes_count = record.trace_flags, record.dropped_attributes
    if not records:
        reference_scope(request, resource)
    return request


@given(
    st.lists(st.lists(RECORDS, max_size=5), min_size=1, max_size=4),
    st.dictionaries(TEXTS, VALUES, max_size=3),
    st.sets(st.sampled_from(["a", "k8s.pod.name"])),
)
def test_a_request_says_what_the_records_say(batches, resource, given):
    """Whatever is in the tables from earlier batches, the parsed bytes equal a request made with the generated classes.

    Records of origins that know another resource stand below it, in their order; what the configuration gives stays.
    """
    encoder = LogEncoder(resource, ("s", "1"), given)
    for records in batches:
        ours = ExportLogsServiceRequest.FromString(encoder.encode(records))
        assert ours.SerializeToString(deterministic=True) == reference(records, resource, given).SerializeToString(deterministic=True)


@given(VALUES)
def test_decoding_gives_back_the_value(value):
    """A value comes back as it went in, except for integers beyond 64 bits and half surrogates, which are text."""
    record = LogRecord(0, 0, 0, "", None, {"v": value}, Origin("f"), 0)
    (found,) = decode_logs(LogEncoder({}, ("s", "1")).encode([record]))

    def expected(one):
        if isinstance(one, list):
            return [expected(item) for item in one]
        if isinstance(one, dict):
            return {text(key): expected(item) for key, item in one.items()}
        if isinstance(one, str):
            return text(one)
        return str(one) if isinstance(one, int) and not -(2**63) <= one < 2**63 else one

    back = found["attributes"]["v"]
    assert repr(back) == repr(expected(value)) or (isinstance(value, float) and math.isnan(value) and math.isnan(back))
