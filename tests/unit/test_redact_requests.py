"""Requests that others have encoded hold no secret when they are stored: wherever in a request one stands, and whatever the signal."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList

from agent.encode.otlp_requests import log_records, pairs
from agent.record import Payload, Severity, Signal
from agent.redact.redactor import RedactConfig, Redactor
from agent.redact.requests import redacted

SECRET = "tr0ub4dor-and-3"
TOKEN = f"postgres://app:{SECRET}@db/app"


def pair(key="password", text=SECRET):
    """An attribute."""
    return KeyValue(key=key, value=AnyValue(string_value=text))


def logs():
    """A request with one record."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    record = scope.log_records.add(severity_number=9, time_unix_nano=5, trace_id=bytes(16))
    record.body.string_value = "all well"
    record.attributes.append(pair("symbol", "BTC"))
    return request, request.resource_logs[0], scope, record


def spans():
    """A request with one span."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    return request, request.resource_spans[0], scope, scope.spans.add(name="GET /", trace_id=bytes(16), span_id=bytes(8))


def points():
    """A request with one data point."""
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    metric = scope.metrics.add(name="orders", unit="1")
    return request, request.resource_metrics[0], scope, metric.histogram.data_points.add(count=1, bucket_counts=[1, 0], explicit_bounds=[5])


MAKE = {Signal.LOGS: logs, Signal.TRACES: spans, Signal.METRICS: points}


def cleaned(signal, request, **options):
    """The request without secrets, and the counts."""
    before = request.SerializeToString()
    payload, counts = redacted(Payload(signal, 1, before), Redactor(RedactConfig(**options)))
    return type(request).FromString(payload.body), counts


def nest(record):
    """A body of values within values."""
    record.body.array_value.values.add().kvlist_value.CopyFrom(KeyValueList(values=[pair("db", "x"), pair()]))


PLACES = {
    "attribute of a record": (Signal.LOGS, lambda _r, _s, one: one.attributes.append(pair())),
    "text of a body": (Signal.LOGS, lambda _r, _s, one: setattr(one.body, "string_value", f"connecting to {TOKEN}")),
    "body of values": (Signal.LOGS, lambda _r, _s, one: nest(one)),
    "text as long as a letter": (
        Signal.LOGS,
        lambda _r, _s, one: setattr(one.body, "string_value", f"pw={SECRET}".ljust(112)),
    ),
    "resource": (Signal.LOGS, lambda resource, _s, _o: resource.resource.attributes.append(pair("db.url", TOKEN))),
    "scope": (Signal.LOGS, lambda _r, scope, _o: scope.scope.attributes.append(pair("api_key"))),
    "event name": (Signal.LOGS, lambda _r, _s, one: setattr(one, "event_name", f"login password={SECRET}")),
    "span's name": (Signal.TRACES, lambda _r, _s, one: setattr(one, "name", f"GET /?access_token={SECRET}")),
    "span's status": (Signal.TRACES, lambda _r, _s, one: setattr(one.status, "message", f"refused: {TOKEN}")),
    "span's event": (Signal.TRACES, lambda _r, _s, one: one.events.add(name="retry").attributes.append(pair())),
    "span's link": (
        Signal.TRACES,
        lambda _r, _s, one: one.links.add().attributes.append(pair("authorization", f"Bearer {SECRET}a1b2c3d4e5f6")),
    ),
    "label of a point": (Signal.METRICS, lambda _r, _s, one: one.attributes.append(pair("client_secret"))),
    "exemplar": (Signal.METRICS, lambda _r, _s, one: one.exemplars.add(as_int=1).filtered_attributes.append(pair())),
    "metric's description": (Signal.METRICS, lambda _r, scope, _o: setattr(scope.metrics[0], "description", f"rows of {TOKEN}")),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_stays_anywhere(place):
    """It is gone wherever it stood, it is counted, and all the rest is as it was."""
    signal, put = PLACES[place]
    request, resource, scope, one = MAKE[signal]()
    clean_size = len(request.SerializeToString())
    put(resource, scope, one)
    after, counts = cleaned(signal, request)
    assert SECRET.encode() not in after.SerializeToString()
    assert b"[REDACTED]" in after.SerializeToString()
    assert sum(counts.values()) >= 1
    assert len(after.SerializeToString()) >= clean_size


@pytest.mark.parametrize("signal", MAKE)
def test_what_holds_no_secret_stays_the_same_bytes(signal):
    """Also where the sender orders its fields in another way than we would, and where we do not know a field."""
    request, *_ = MAKE[signal]()
    body = b"\xba\x3e\x03abc" + request.SerializeToString()  # field 999, before the others
    payload, counts = redacted(Payload(signal, 1, body), Redactor())
    assert (payload.body, counts) == (body, {})


def test_what_is_unknown_is_kept_beside_a_secret():
    """A field of a later version of the protocol survives the redaction of its neighbour."""
    request, *_, record = logs()
    record.attributes.append(pair())
    record.MergeFromString(b"\xba\x3e\x03abc")
    after, _ = cleaned(Signal.LOGS, request)
    assert b"\xba\x3e\x03abc" in after.SerializeToString()


@pytest.mark.parametrize("name", ["pw=hunter22", "card 4111 1111 1111 1111", "4111111111111111", "pin=73913", "auth"])
def test_a_text_is_searched_whatever_byte_stands_before_it(name):
    """The length of a text is a letter or a digit now and then, and so is the tag of the field behind it: the search must not take it for part of the text."""
    redactor = Redactor()
    sizes = (*range(48, 58), *range(65, 91), *range(97, 123), 48 << 7, 97 << 7)
    for make, field in ((logs, "event_name"), (spans, "name")):
        for text in (text for size in sizes for text in (name.ljust(size), name.rjust(size))):
            request, *_, one = make()
            setattr(one, field, text)
            assert redactor.may_change_encoded(request.SerializeToString()) or redactor.text(text) == text, text


def test_attributes_of_one_key_all_stay():
    """Two attributes with one key are a sender's mistake: none of them is lost, and both are redacted."""
    request, *_, record = logs()
    record.attributes.extend([pair("n", "1"), pair("n", "2"), pair(), pair()])
    after, counts = cleaned(Signal.LOGS, request)
    found = after.resource_logs[0].scope_logs[0].log_records[0].attributes
    assert [one.value.string_value for one in found] == ["BTC", "1", "2", "[REDACTED]", "[REDACTED]"]
    assert sum(counts.values()) == 2


def test_a_name_at_the_very_end_is_seen():
    """In a list of named values the name may come last, and nothing behind it."""
    request = ExportTraceServiceRequest()
    one = request.resource_spans.add().resource.attributes.add(key="header").value
    one.kvlist_value.CopyFrom(KeyValueList(values=[pair("value", SECRET), pair("name", "auth")]))
    after, _ = cleaned(Signal.TRACES, request)
    assert SECRET.encode() not in after.SerializeToString()


def test_bytes_that_are_a_text_are_searched():
    """A body of bytes may be a line that its reader did not decode; it stays bytes, and those that are not a text stay as they are."""
    request, *_, record = logs()
    record.body.bytes_value = f"login password={SECRET}".encode()
    record.attributes.add(key="raw", value=AnyValue(bytes_value=b"\xff\xfe\x00"))
    after, _ = cleaned(Signal.LOGS, request)
    found = after.resource_logs[0].scope_logs[0].log_records[0]
    assert (found.body.bytes_value, pairs(found.attributes)["raw"]) == (b"login password=[REDACTED]", b"\xff\xfe\x00")


def test_a_number_that_is_a_cards_goes():
    """A card's number is one as an integer too; order numbers stay."""
    request, *_, record = logs()
    record.attributes.add(key="card", value=AnyValue(int_value=4111111111111111))
    record.attributes.add(key="order_id", value=AnyValue(int_value=1700000000000000001))
    after, _ = cleaned(Signal.LOGS, request)
    values = pairs(after.resource_logs[0].scope_logs[0].log_records[0].attributes)
    assert values == {"symbol": "BTC", "card": "[REDACTED]", "order_id": 1700000000000000001}


def test_the_configuration_holds():
    """A further name and a further pattern count here as for files; switched off, nothing is looked at."""
    request, *_, record = logs()
    record.attributes.append(pair("plan", "moon-7"))
    record.body.string_value = "meet at dawn-42"
    after, counts = cleaned(Signal.LOGS, request, keys=("plan",), patterns=(r"dawn-\d+",))
    found = after.resource_logs[0].scope_logs[0].log_records[0]
    assert (found.body.string_value, pairs(found.attributes)["plan"], sum(counts.values())) == ("meet at [REDACTED]", "[REDACTED]", 2)
    record.attributes.append(pair())
    assert cleaned(Signal.LOGS, request, enabled=False) == (request, {})


@pytest.mark.parametrize(
    "payload",
    [Payload(Signal.LOGS, 1, b"\xff\xff"), Payload(Signal.SENTRY_ERROR, 1, b'{"event_id":""}'), Payload(Signal.TRACES, 1, b"\x0a\x7fx")],
)
def test_what_is_no_request_says_so(payload):
    """Bytes that can't be read can't be searched."""
    assert redacted(payload, Redactor()) is None


def test_records_are_made_from_a_request_as_they_were_sent():
    """Each record has its own resource and scope, and its severity is known without making it."""
    request, resource, scope, record = logs()
    resource.resource.attributes.append(pair("service.name", "orders"))
    scope.scope.name, scope.scope.version = "lib", "1.2"
    record.severity_number, record.event_name = Severity.ERROR, "order.failed"
    found = log_records([Payload(Signal.LOGS, 1, request.SerializeToString()), Payload(Signal.TRACES, 1, b"")], "otlp")
    assert [block.severities for block in found.segments] == [bytes([Severity.ERROR])]
    [one] = found
    assert (one.body, one.time_ns, one.attributes) == ("all well", 5, {"symbol": "BTC", "event.name": "order.failed"})
    assert (one.origin.resource, one.origin.scope.name, one.origin.scope.version) == ({"service.name": "orders"}, "lib", "1.2")


def test_a_key_that_stands_twice_hides_nothing():
    """Where a key stands more than once, each of its values is searched and none is lost."""
    request, *_, record = logs()
    record.attributes.extend([pair("note 3", "a"), pair("note", f"password={SECRET}"), pair("note", "fine")])
    record.body.kvlist_value.values.extend([pair(), pair(text="none")])
    after, counts = cleaned(Signal.LOGS, request)
    assert SECRET.encode() not in after.SerializeToString()
    kept = after.resource_logs[0].scope_logs[0].log_records[0]
    assert [one.value.string_value for one in kept.attributes] == ["BTC", "a", "password=[REDACTED]", "fine"]
    assert [one.key for one in kept.attributes] == ["symbol", "note 3", "note", "note"]
    assert len(kept.body.kvlist_value.values) == 2
    assert sum(counts.values()) == 2


def test_list_of_texts_is_searched():
    """A field that holds several texts is searched like one that holds one."""
    request, resource, *_ = logs()
    resource.resource.entity_refs.add(type="host").id_keys.extend(["host.id", f"password={SECRET}"])
    after, _ = cleaned(Signal.LOGS, request)
    assert list(after.resource_logs[0].resource.entity_refs[0].id_keys) == ["host.id", "password=[REDACTED]"]


@pytest.mark.parametrize("text", ["all well", f"password={SECRET}"])
def test_unknown_field_goes_only_if_it_may_hold_a_secret(text):
    """A field of a later protocol is kept, unless it may hold a secret: it can't be searched by its names."""
    known, *_, record = logs()
    record.attributes.append(pair())
    newer = bytes([0x9A, 0x06, len(text)]) + text.encode()  # field 99
    record.MergeFromString(newer)
    after, counts = cleaned(Signal.LOGS, known)
    assert SECRET.encode() not in after.SerializeToString()
    assert (newer in after.SerializeToString()) is (SECRET not in text)
    assert counts.get("unknown_field", 0) == (SECRET in text)
