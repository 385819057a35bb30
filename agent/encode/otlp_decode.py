"""An OTLP logs request → plain values, for people to read. Imported only when they do: the generated protobuf classes cost 4 MiB."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from agent.encode.otlp_requests import pairs, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    from agent.record import Value


def decode_logs(body: bytes) -> Iterator[dict[str, Value]]:
    """The records of a serialized ExportLogsServiceRequest, in order; times as RFC 3339 in UTC, ids in hex, as OTLP/JSON has them."""
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield _record(record)


def _record(record: LogRecord) -> dict[str, Value]:
    found: dict[str, Value] = {
        "time": _time(record.time_unix_nano or record.observed_time_unix_nano),
        "severity_number": int(record.severity_number),
        "severity_text": record.severity_text,
        "event_name": record.event_name,
        "body": value(record.body),
        "attributes": pairs(record.attributes),
        "trace_id": record.trace_id.hex(),
        "span_id": record.span_id.hex(),
    }
    return {key: value for key, value in found.items() if value not in ("", None)}


def _time(nanoseconds: int) -> str:
    """RFC 3339 with nine digits; beyond the year 9999 the bare number."""
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
    except (ValueError, OverflowError, OSError):
        return str(nanoseconds)
