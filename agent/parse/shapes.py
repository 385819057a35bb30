"""Records that writers wrap or nest in objects of their own → fields side by side, under names that `names` knows.

    loguru                {"text": …, "record": {"level": {"name": …}, "time": {"repr": …}, "message": …}}
    Rust's tracing        {"timestamp": …, "level": …, "fields": {"message": …, …}, "target": …}
    OpenTelemetry         {"SeverityText": …, "Body": …, "Attributes": {…}}; OTLP's {"body": {"stringValue": …}, "attributes": [{"key": …}]}
    Elastic Common Schema {"log": {"level": …}, "trace": {"id": …}, "span": {"id": …}}
    Datadog               {"dd": {"trace_id": …, "span_id": …}}
    Google Cloud          {"severity": …, "jsonPayload": {"message": …}}
    mapped contexts       {"mdc": {"traceId": …, "spanId": …}}, log4j's "contextMap", "context"
    the journal           {"MESSAGE": [72, 105], …} where the message is not text

Fields that are not of such a shape stay as they are.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from agent.names import EXCEPTION_STACKTRACE

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.record import Value

    Fields = dict[str, Value]

_OTEL: Final = frozenset(("SeverityText", "SeverityNumber", "severity_text", "severity_number", "severityText", "severityNumber"))
_IDS: Final = ("trace_id", "span_id", "trace_flags", "traceId", "spanId")
_MAX_DEPTH: Final = 32


def marks(names: frozenset[str], *, has_body: bool) -> tuple[Callable[[Fields], Fields], ...]:
    """The steps that fields of these names may need; mostly none."""
    found = [unwrap for mark, unwrap in _ALWAYS.items() if mark in names]
    if not has_body:
        found += [unwrap for mark, unwrap in _WITHOUT_BODY.items() if mark in names]
    if not names.isdisjoint(_OTEL):
        found.append(_opentelemetry)
    return tuple(found)


def _loguru(fields: Fields) -> Fields:
    """The object that `loguru` writes with `serialize=True`."""
    record = fields.get("record")
    if not isinstance(record, dict) or "message" not in record or not isinstance(record.get("level"), dict):
        return fields
    level, time = record["level"], record.get("time")
    flat: Fields = {**record, **{name: value for name, value in fields.items() if name not in ("record", "text")}}
    flat["level"] = level.get("name") if isinstance(level, dict) else level
    flat["time"] = (time.get("repr") or time.get("timestamp")) if isinstance(time, dict) else time
    text = fields.get("text")
    if record.get("exception") and isinstance(text, str):
        flat[EXCEPTION_STACKTRACE] = text
    return flat


def _within(holder: str) -> Callable[[Fields], Fields]:
    """The message inside an object: only that is taken out of it."""

    def unwrap(fields: Fields) -> Fields:
        inner = fields.get(holder)
        if not isinstance(inner, dict) or not isinstance(inner.get("message"), str):
            return fields
        rest = {name: value for name, value in inner.items() if name != "message"}
        return {**fields, holder: rest, "message": inner["message"]} if rest else {**_without(fields, holder), "message": inner["message"]}

    return unwrap


def _moved(holder: str, moves: dict[str, str]) -> Callable[[Fields], Fields]:
    """Some members of an object, under the names they have beside it; the object goes with its last member."""

    def unwrap(fields: Fields) -> Fields:
        inner = fields.get(holder)
        if not isinstance(inner, dict) or moves.keys().isdisjoint(inner):
            return fields
        rest = {name: value for name, value in inner.items() if name not in moves or moves[name] in fields}
        taken = {moves[name]: value for name, value in inner.items() if name not in rest}
        return {**fields, holder: rest, **taken} if rest else {**_without(fields, holder), **taken}

    return unwrap


def _opentelemetry(fields: Fields) -> Fields:
    """The log data model's own names: attributes stand side by side, values of OTLP's JSON are plain."""
    flat: Fields = {}
    for name, value in fields.items():
        if name in ("Attributes", "attributes") and (attributes := _attributes(value)) is not None:
            flat.update({key: inner for key, inner in attributes.items() if key not in fields})
        else:
            flat[name] = _any_value(value, _MAX_DEPTH) if name in ("Body", "body") else value
    if "traceId" in flat and isinstance(flat.get("flags"), int):
        flat["traceFlags"] = flat.pop("flags")
    return flat


def _attributes(value: Value) -> Fields | None:
    """Attributes as an object, or as OTLP's list of pairs; None if they are neither."""
    if isinstance(value, dict):
        return value
    pairs = value if isinstance(value, list) else [None]
    if not all(isinstance(pair, dict) and isinstance(pair.get("key"), str) for pair in pairs):
        return None
    return {str(pair["key"]): _any_value(pair.get("value"), _MAX_DEPTH) for pair in pairs if isinstance(pair, dict)}


def _any_value(value: Value, depth: int) -> Value:
    """A value of OTLP's JSON (`{"stringValue": …}`) as a plain one; any other as it is."""
    if not isinstance(value, dict) or len(value) != 1 or not depth:
        return value
    ((kind, inner),) = value.items()
    if kind == "intValue" and isinstance(inner, str) and inner.removeprefix("-").isdecimal() and len(inner) <= 20:
        return int(inner)
    if kind in ("stringValue", "intValue", "doubleValue", "boolValue"):
        return inner
    if kind == "bytesValue" and isinstance(inner, str):
        return _decoded(inner)
    members = inner.get("values") if isinstance(inner, dict) else None
    if kind == "arrayValue" and isinstance(members, list):
        return [_any_value(member, depth - 1) for member in members]
    if kind == "kvlistValue" and isinstance(members, list):
        return {str(one.get("key")): _any_value(one.get("value"), depth - 1) for one in members if isinstance(one, dict)}
    return value


def _decoded(text: str) -> Value:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text


def _journal(fields: Fields) -> Fields:
    """A message that is not printable text is a list of its bytes (systemd, JOURNAL_EXPORT_FORMATS)."""
    message = fields["MESSAGE"]
    if not isinstance(message, list) or not all(isinstance(byte, int) and 0 <= byte < 256 for byte in message):
        return fields
    return {**fields, "MESSAGE": bytes(byte for byte in message if isinstance(byte, int)).decode("utf-8", "backslashreplace")}


def _without(fields: Fields, name: str) -> Fields:
    return {key: value for key, value in fields.items() if key != name}


_ALWAYS: Final = {
    "record": _loguru,
    "log": _moved("log", {"level": "log.level"}),
    "trace": _moved("trace", {"id": "trace.id", **{name: name for name in _IDS}}),
    "span": _moved("span", {"id": "span.id"}),
    **{holder: _moved(holder, {name: name for name in _IDS}) for holder in ("mdc", "contextMap", "context")},
    "dd": _moved("dd", {"trace_id": "dd.trace_id", "span_id": "dd.span_id"}),
    "MESSAGE": _journal,
}
_WITHOUT_BODY: Final = {"fields": _within("fields"), "jsonPayload": _within("jsonPayload")}


def is_deep(unwrap: Callable[[Fields], Fields]) -> bool:
    """Whether a way to unwrap matters to lines whose message is text, too."""
    return unwrap is not _journal
