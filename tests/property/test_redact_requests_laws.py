"""A request loses what its records would lose: the search over its bytes overlooks nothing, wherever lengths and tags are letters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from agent.encode.any_value import value_of
from agent.encode.otlp_requests import log_records
from agent.record import LogRecord, Origin, Payload, Signal
from agent.redact.redactor import Redactor
from agent.redact.requests import redacted

SECRET = "tr0ub4dor-and-3"
TOKEN = f"postgres://app:{SECRET}@db/app"
SHORT = [
    "",
    "BTC",
    "auth",
    SECRET,
    "password",
    TOKEN,
    "Bearer abcdef0123456789",
    "pin: 1234",
    "ü",
    "4111 1111 1111 1111",
    "pw=hunter22",
    "hmac",
]
TEXTS = st.sampled_from(SHORT) | st.builds(
    lambda text, size, left: (text.ljust if left else text.rjust)(size),
    st.sampled_from(SHORT),
    st.integers(40, 140) | st.integers(6000, 6300),
    st.booleans(),
)
"""Also as long as makes the last byte of a length a letter or a digit."""
KEYS = st.sampled_from(["symbol", "password", "auth", "pin", "token_count", "name", "value", "x-api-key", "пароль", "sig"])
VALUES = st.recursive(
    TEXTS
    | TEXTS.map(str.encode)
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.just(4111111111111111),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.dictionaries(KEYS, VALUES, max_size=4), st.integers(0, 1))
def test_a_request_is_redacted_as_its_records_would_be(body, attributes, flags):
    """Encoded or not, the same record loses the same secrets, and nothing else changes."""
    request = ExportLogsServiceRequest()
    message = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5, severity_number=9)
    message.body.CopyFrom(AnyValue.FromString(value_of(body)))
    message.attributes.extend(KeyValue(key=key, value=AnyValue.FromString(value_of(one))) for key, one in attributes.items())
    message.flags = flags  # its tag is a letter
    payload, counts = redacted(Payload(Signal.LOGS, 1, request.SerializeToString()), Redactor())
    [plain], wanted = Redactor().redact([LogRecord(5, 0, 9, "", body, attributes, Origin(""), 0)])
    [found] = log_records([payload], "otlp")
    assert (found.body, found.attributes, counts) == (plain.body, plain.attributes, wanted)
