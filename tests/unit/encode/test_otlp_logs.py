"""The bytes of log requests: one known request byte by byte, the tables' bounds."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from agent.encode import any_value
from agent.encode.halve import halve
from agent.encode.otlp_decode import decode_logs
from agent.encode.otlp_logs import LogEncoder
from agent.record import LogRecord, Origin, Scope, Signal

ORIGIN = Origin("f", {"log.file.name": "a.log"})


def record(body="hello", origin=ORIGIN, **attributes) -> LogRecord:
    """A record with a body and attributes."""
    return LogRecord(1, 2, 9, "info", body, attributes, origin, 0)


GOLDEN = bytes.fromhex(
    "0aa301"  # resource_logs, 163 bytes
    "0a17" "0a15" "0a0c736572766963652e6e616d65" "1205" "0a03737663"  # resource: service.name = "svc"
    "125f"  # scope_logs, 95 bytes
    "0a0b" "0a0461676e74" "1203312e30"  # scope: name "agnt", version "1.0"
    "1250"  # log_records, 80 bytes
    "090100000000000000"  # time_unix_nano = 1
    "590200000000000000"  # observed_time_unix_nano = 2
    "1009" "1a04696e666f"  # severity_number 9, severity_text "info"
    "2a07" "0a0568656c6c6f"  # body "hello"
    "3218" "0a0d6c6f672e66696c652e6e616d65" "1207" "0a05612e6c6f67"  # log.file.name = "a.log"
    "3208" "0a016e" "1203" "18ac02"  # n = 300
    "3207" "0a0162" "1202" "1001"  # b = true
    "1a27" "68747470733a2f2f6f70656e74656c656d657472792e696f2f736368656d61732f312e34342e30"  # schema_url
)  # fmt: skip


def test_one_request_byte_by_byte():
    """Field numbers and wire types are those of logs.proto; compared with bytes put down by hand."""
    assert LogEncoder({"service.name": "svc"}, ("agnt", "1.0")).encode([record(n=300, b=True)]) == GOLDEN


def test_the_tables_do_not_grow_without_bound():
    """Ever new keys, values and bodies: what is remembered stays small."""
    encoder = LogEncoder({})
    for number in range(3):
        encoder.encode(
            [
                record(body=f"b{number}-{index}", **{f"k{number}-{index}": "v", "id": f"{number}-{index}", "n": index})
                for index in range(2000)
            ]
        )

    tables = encoder._tables
    assert len(tables.texts) <= any_value._KEYS
    assert len(tables.texts["id"]) <= any_value._VALUES
    assert len(tables.integers["n"]) <= any_value._VALUES
    assert len(tables.bodies) <= any_value._VALUES


def test_all_that_is_remembered_is_bounded_together():
    """Many keys of many values: the tables are emptied before they hurt."""
    encoder = LogEncoder({})
    for number in range(40):
        encoder.encode([record(**{f"k{index}": f"{number}-{index}-{row}" for index in range(100)}) for row in range(20)])

    assert sum(map(len, encoder._tables.texts.values())) <= any_value.ENTRIES + 100 * 20


def test_true_one_and_one_point_zero_are_told_apart():
    """They are equal in Python, not in OTLP."""
    encoder = LogEncoder({})
    found = [next(iter(decode_logs(encoder.encode([record(v=value)]))))["attributes"]["v"] for value in (1, True, 1.0, "1", 0, False)]

    assert [(type(value), value) for value in found] == [(int, 1), (bool, True), (float, 1.0), (str, "1"), (int, 0), (bool, False)]


def test_the_attributes_of_the_file_win_over_the_record_own():
    """A key is there once, as OTLP demands, and a record can't lie about its file."""
    (found,) = decode_logs(LogEncoder({}).encode([record(**{"log.file.name": "liar", "a": 1})]))

    assert found["attributes"] == {"log.file.name": "a.log", "a": 1}


def test_origins_may_change_within_a_batch():
    """Each record carries the attributes of its own file."""
    other = Origin("g", {"log.file.name": "b.log"})
    found = decode_logs(LogEncoder({}).encode([record(), record(origin=other), record()]))

    assert [one["attributes"]["log.file.name"] for one in found] == ["a.log", "b.log", "a.log"]


def test_the_same_records_give_the_same_bytes():
    """Whatever was encoded in between."""
    encoder = LogEncoder({"a": 1})
    first = encoder.encode([record(n=5)])
    encoder.encode([record(body=str(index), n=index, x="y") for index in range(1000)])

    assert encoder.encode([record(n=5)]) == first


@pytest.mark.parametrize("number", [0, 1, 127, 128, 16_383, 16_384, 2**21 - 1, 2**21, 2**35, 2**63, 2**64 - 1])
def test_a_varint_has_seven_bits_a_byte_lowest_first(number):
    """Read back by the definition."""
    raw = any_value.varint(number)

    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(raw)) == number
    assert [byte >> 7 for byte in raw] == [1] * (len(raw) - 1) + [0]


def test_a_record_may_have_a_resource_and_a_scope_of_its_own():
    """Runs of records that share both stand under them, in the order of the records; all others are the agent's."""
    lib = Scope("lib", "1.2", {"team": "blue"})
    ours, pod = Origin("a"), Origin("b", resource={"k8s.pod.name": "p"})
    theirs, same = Origin("c", resource={"k8s.pod.name": "p"}, scope=lib), Origin("d", resource={"k8s.pod.name": "p"}, scope=Scope(*lib))
    unnamed = Origin("e", scope=Scope())
    records = [record("x", origin) for origin in (ours, pod, theirs, same, ours, unnamed)]
    body = LogEncoder({"service.name": "svc"}, ("outrider", "1")).encode(records)
    request = ExportLogsServiceRequest.FromString(body)
    found = [
        (len(resource.resource.attributes), scope.scope.name, scope.scope.version, len(scope.scope.attributes), len(scope.log_records))
        for resource in request.resource_logs
        for scope in resource.scope_logs
    ]
    assert found == [
        (1, "outrider", "1", 0, 1),
        (2, "outrider", "1", 0, 1),
        (2, "lib", "1.2", 1, 2),
        (1, "outrider", "1", 0, 1),
        (1, "", "", 0, 1),
    ]
    assert len(request.resource_logs) == 3
    assert [pair.key for pair in request.resource_logs[1].scope_logs[1].scope.attributes] == ["team"]
    first, second = halve(Signal.LOGS, body)
    assert [half.records for half in (first, second)] == [3, 3]
    assert ExportLogsServiceRequest.FromString(second.body).resource_logs[0].scope_logs[0].scope.name == "lib"
