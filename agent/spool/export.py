"""Stored rows as text: one line of JSON per row, for people and for other programs.

OTLP rows become OTLP/JSON (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding": ids in hexadecimal, enumerations as numbers), which
the Collector's `otlpjsonfile` receiver reads. Sentry rows become an object that holds the envelope.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Final

from agent.record import Payload, Signal

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from agent.record import Row, Value

_OTLP: Final = frozenset({Signal.LOGS, Signal.METRICS, Signal.TRACES})
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})


def to_json(row: Row) -> str:
    """Return a row as one line of JSON, without the line feed. ValueError if its body is not what its signal says."""
    return body_to_json(row.signal, row.body)


def body_to_json(signal: str, body: bytes) -> str:
    """The same for a gzip'd body of a signal, as of a dead letter."""
    from agent.encode.otlp_requests import parse  # noqa: PLC0415 - its protobuf classes cost 4 MiB

    try:
        raw = zlib.decompress(body, 31)
    except zlib.error as error:
        raise ValueError(f"not gzip: {error}") from error
    if signal not in _OTLP:
        return json.dumps({"signal": signal, "envelope": raw.decode("utf-8", "replace")}, ensure_ascii=False)
    request = parse(Payload(Signal(signal), 0, raw))
    if request is None:
        raise ValueError(f"not a request of {signal}")
    return json.dumps(_otlp(request), ensure_ascii=False, separators=(",", ":"))


def _otlp(request: Message) -> Value:
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - as above

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
