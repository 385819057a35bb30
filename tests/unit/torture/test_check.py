"""The judge itself: it finds what is planted, names it, and finds nothing where nothing is."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.torture.check import judge
from tests.torture.oracle import line, record

SEED = 7


def put(value, into):
    """Set an AnyValue as the agent's encoder does."""
    if isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, int):
        into.int_value = value
    elif isinstance(value, float):
        into.double_value = value
    elif isinstance(value, str):
        into.string_value = value
    elif isinstance(value, list):
        into.array_value.SetInParent()
        for one in value:
            put(one, into.array_value.values.add())
    else:
        for key, one in value.items():
            put(one, into.kvlist_value.values.add(key=key).value)


def request(*records):
    """The body of one request with these records (dicts of the oracle)."""
    message = ExportLogsServiceRequest()
    logs = message.resource_logs.add().scope_logs.add().log_records
    for fields in records:
        log = logs.add()
        put(fields["event"], log.body)
        for key, value in fields.items():
            put(value, log.attributes.add(key=key).value)
    return message.SerializeToString()


def body(*numbers, way="none"):
    """A request with records of the oracle as they were written."""
    return request(*(record(SEED, way, number) for number in numbers))


def test_what_arrives_whole_and_in_order_is_clean():
    """Every record once, in order, over any number of requests: nothing is found."""
    verdict = judge({"none": 5}, [body(0, 1), body(2, 3, 4)], SEED)
    assert (verdict.faults, verdict.arrived, verdict.requests) == ([], 5, 2)


@pytest.mark.parametrize(("bodies", "missing"), [([body(0, 1), body(3)], [2]), ([body(0, 1, 2)], [3]), ([], [0, 1, 2, 3])])
def test_loss_is_found(bodies, missing):
    """A record that did not arrive is named: in the middle, at the end, or all of them."""
    verdict = judge({"none": 4}, bodies, SEED)
    assert verdict.lost == {"none": missing}
    assert verdict.faults == ["lost"]


def test_loss_that_is_counted_exactly_is_no_fault():
    """Records that the agent reports as undelivered may be missing: not one more, and not one less."""
    assert judge({"none": 4}, [body(0, 3)], SEED, counted=2).clean
    assert judge({"none": 4}, [body(0, 3)], SEED, counted=1).faults == ["lost"]
    assert judge({"none": 4}, [body(0, 3)], SEED, counted=3).faults == ["counted, but arrived"]


def test_repeat_in_other_bytes_is_found():
    """A record in two different requests was stored twice."""
    verdict = judge({"none": 3}, [body(0, 1), body(1, 2)], SEED, resends=9)
    assert verdict.repeated == [("none", 1)]
    assert verdict.faults == ["repeated"]


def test_repeat_within_one_request_is_found():
    """A record twice in the same request is a repeat too."""
    assert judge({"none": 2}, [body(0, 1, 1)], SEED).repeated == [("none", 1)]


def test_same_bytes_may_come_again_once_per_kill():
    """A request that came again byte for byte is not a repeat, but only as often as the agent was killed."""
    accepted = [body(0, 1), body(0, 1), body(2)]
    assert judge({"none": 3}, accepted, SEED, resends=1).clean
    assert judge({"none": 3}, accepted, SEED, resends=0).faults == ["sent again without need"]


def test_disorder_is_found_across_requests():
    """A lower number behind a higher one of the same file is out of order; between files there is no order."""
    verdict = judge({"none": 4, "gzip": 1}, [body(0, 2), body(0, way="gzip"), body(1, 3)], SEED)
    assert verdict.disordered == [("none", 2, 1)]
    assert verdict.faults == ["out of order"]


@pytest.mark.parametrize(
    "change",
    [{"event": "something else"}, {"price": "1.5"}, {"live": 1}, {"note": "x" * 9}, {"book": {"bids": []}}, {"n": 99, "way": "unknown"}],
)
def test_invention_is_found(change):
    """Another text, another type, another value or a stranger is not what was written."""
    verdict = judge({"none": 1}, [request({**record(SEED, "none", 0), **change})], SEED)
    assert len(verdict.invented) == 1
    assert "invented" in verdict.faults


def test_record_that_nobody_issued_yet_is_found():
    """A number beyond the obligation is tolerated only as the last burst's: it was written, though not yet noted."""
    verdict = judge({"none": 1}, [body(0, 1)], SEED)
    assert verdict.clean
    assert verdict.arrived == 2


def test_violation_of_the_ledger_is_a_fault():
    """The agent's own account counts as much as what arrived."""
    verdict = judge({"none": 1}, [body(0)], SEED)
    verdict.violations = ["off by one"]
    assert verdict.faults == ["ledger"]


def test_oracle_is_a_function_of_names():
    """The same seed, file and number give the same line; another seed gives another."""
    assert line(1, "gzip", 5) == line(1, "gzip", 5) != line(2, "gzip", 5)
    assert json.loads(line(1, "gzip", 5)) == record(1, "gzip", 5)
