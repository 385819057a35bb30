"""Serialized OTLP requests as messages and as log records. Imported only where a source emits requests: the generated classes cost 4 MiB.

Payload ──▶ message ──▶ (redacted, see `redact/requests`) ──▶ one `Block` of log records for each scope
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as Message

from agent.columns import Block, Records
from agent.encode.any_value import delimited
from agent.names import EVENT_NAME
from agent.record import LogRecord, Origin, Scope, Signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    from agent.record import Payload, Value

Request = ExportLogsServiceRequest | ExportMetricsServiceRequest | ExportTraceServiceRequest
REQUESTS: Final[Mapping[Signal, type[Request]]] = {
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.TRACES: ExportTraceServiceRequest,
}


def parse(payload: Payload) -> Request | None:
    """The message that a payload holds; None if it is not a serialized request of its signal."""
    kind = REQUESTS.get(payload.signal)
    try:
        return kind.FromString(payload.body) if kind is not None else None
    except DecodeError:
        return None


def log_records(payloads: Iterable[Payload], key: str) -> Records:
    """The log records of requests, each made when it is read; `key` is that of their origins."""
    found = Records()
    for payload in payloads:
        request = parse(payload) if payload.signal is Signal.LOGS else None
        for resource in request.resource_logs if isinstance(request, ExportLogsServiceRequest) else ():
            about = pairs(resource.resource.attributes)
            for one in resource.scope_logs:
                scope = Scope(one.scope.name, one.scope.version, pairs(one.scope.attributes))
                found.extend(_block(one.log_records, Origin(key, resource=about, scope=scope), len(found)))
    return found


def _block(messages: Sequence[Message], origin: Origin, first: int) -> Block:
    """The records of one scope; their offsets are their places in the batch."""
    lines = [(first + place, message.SerializeToString()) for place, message in enumerate(messages)]
    wire = b"".join([delimited(0x12, line) for _, line in lines])
    severities = bytes([message.severity_number & 0xFF for message in messages])
    return Block(lines, wire, severities, origin, lambda some: [_record(offset, line, origin) for offset, line in some])


def _record(offset: int, line: bytes, origin: Origin) -> LogRecord:
    message = Message.FromString(line)
    attributes = pairs(message.attributes)
    if message.event_name:
        attributes.setdefault(EVENT_NAME, message.event_name)
    return LogRecord(
        message.time_unix_nano,
        message.observed_time_unix_nano,
        message.severity_number,
        message.severity_text,
        value(message.body),
        attributes,
        origin,
        offset,
        message.trace_id,
        message.span_id,
        message.flags,
        message.dropped_attributes_count,
    )


def pairs(found: Iterable[KeyValue]) -> dict[str, Value]:
    """Attributes as values. A key that stands there again, which OTLP forbids, gets a number: what a second one holds is seen as well."""
    values: dict[str, Value] = {}
    for pair in found:
        key, number = pair.key, len(values)
        while key in values:
            key, number = f"{pair.key} {number}", number + 1
        values[key] = value(pair.value)
    return values


def value(found: AnyValue) -> Value:
    """A value as the agent has it; None if none is set."""
    kind = found.WhichOneof("value")
    if kind == "array_value":
        return [value(one) for one in found.array_value.values]
    if kind == "kvlist_value":
        return pairs(found.kvlist_value.values)
    if kind is None:
        return None
    plain: Value = getattr(found, kind)
    return plain
