"""Stored rows as text: one line of JSON per row, for whoever wants to look at them or to feed them to something else.

OTLP rows become OTLP/JSON (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding": ids in hexadecimal, enumerations as numbers), which
the Collector's `otlpjsonfile` receiver reads. Sentry rows become an object that holds the envelope.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Final

from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from agent.record import Row, Value

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})


def to_json(row: Row) -> str:
    """Return a row as one line of JSON, without the line feed. ValueError if its body is not what its signal says."""
    return body_to_json(row.signal, row.body)


def body_to_json(signal: str, body: bytes) -> str:
    """The same for a gzip'd body of a signal, as of a dead letter."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 only when somebody exports

    try:
        raw = zlib.decompress(body, 31)
        request = _REQUESTS[signal]() if signal in _REQUESTS else None
        if request is None:
            return json.dumps({"signal": signal, "envelope": raw.decode("utf-8", "replace")}, ensure_ascii=False)
        request.ParseFromString(raw)
    except zlib.error as error:
        raise ValueError(f"not gzip: {error}") from error
    except DecodeError as error:
        raise ValueError(f"not a request of {signal}") from error
    return json.dumps(_otlp(request), ensure_ascii=False, separators=(",", ":"))


def _otlp(request: Message) -> Value:
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 only when somebody exports

    plain: Value = MessageToDict(request, use_integers_for_enums=True)
    return _with_hex_ids(plain)


def _with_hex_ids(value: Value) -> Value:
    if isinstance(value, list):
        return [_with_hex_ids(one) for one in value]
    if isinstance(value, dict):
        return {key: _hex(one) if key in _IDS and isinstance(one, str) else _with_hex_ids(one) for key, one in value.items()}
    return value


def _hex(text: str) -> str:
    return base64.b64decode(text).hex()


def _logs() -> Message:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: PLC0415 see `_otlp`

    return ExportLogsServiceRequest()


def _metrics() -> Message:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest  # noqa: PLC0415 see `_otlp`

    return ExportMetricsServiceRequest()


def _traces() -> Message:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415 see `_otlp`

    return ExportTraceServiceRequest()


_REQUESTS: Final[dict[str, Callable[[], Message]]] = {Signal.LOGS: _logs, Signal.METRICS: _metrics, Signal.TRACES: _traces}
