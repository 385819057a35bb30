"""Reads encoded log requests again: halves one that a destination finds too large, and shows what is stored.

Rare work on bytes of any writer's, so the generated classes of opentelemetry-proto do it; they are imported when needed, for they cost memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    from agent.record import Value


def split(body: bytes) -> tuple[bytes, bytes] | None:
    """The request as two, each with half of the records in their order; None if it has only one record (or none).

    Raises `google.protobuf.message.DecodeError` if the bytes are no request.
    """
    first, second = _request(body), _request(body)
    count = sum(len(scope.log_records) for resource in first.resource_logs for scope in resource.scope_logs)
    if count < 2:
        return None
    _keep(first, 0, count // 2)
    _keep(second, count // 2, count)
    return first.SerializeToString(), second.SerializeToString()


def decode(body: bytes) -> Iterator[dict[str, Value]]:
    """The records of a request, one after the other, as plain values under the names of the data model (ids in hexadecimal)."""
    for resource_logs in _request(body).resource_logs:
        resource = _attributes(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            scope: Value = {"name": scope_logs.scope.name, "version": scope_logs.scope.version}
            for record in scope_logs.log_records:
                yield {**_record(record), "resource": resource, "scope": scope}


def _request(body: bytes) -> ExportLogsServiceRequest:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: PLC0415 - costs memory, seldom used

    request: ExportLogsServiceRequest = ExportLogsServiceRequest.FromString(body)
    return request


def _keep(request: ExportLogsServiceRequest, start: int, end: int) -> None:
    """Leave the records from number `start` to before `end`, and nothing that is empty then."""
    number = 0
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            size = len(scope.log_records)
            del scope.log_records[max(0, end - number) :]
            del scope.log_records[: max(0, start - number)]
            number += size
        _delete([index for index, scope in enumerate(resource.scope_logs) if not scope.log_records], resource.scope_logs)
    _delete([index for index, resource in enumerate(request.resource_logs) if not resource.scope_logs], request.resource_logs)


def _delete(indexes: list[int], rows: object) -> None:
    for index in reversed(indexes):
        del rows[index]  # type: ignore[attr-defined]


def _record(record: LogRecord) -> dict[str, Value]:
    return {
        "time_ns": record.time_unix_nano,
        "observed_ns": record.observed_time_unix_nano,
        "severity": int(record.severity_number),
        "severity_text": record.severity_text,
        "body": _value(record.body),
        "attributes": _attributes(record.attributes),
        "trace_id": record.trace_id.hex(),
        "span_id": record.span_id.hex(),
        "flags": record.flags,
        "dropped_attributes": record.dropped_attributes_count,
    }


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    found: Value = getattr(value, kind) if kind else None
    return found
