"""Sentry's other items: check-ins, sessions, logs, client reports (develop.sentry.dev, "Envelope Items"). Pure."""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Final

from agent.issues.envelope.format import EnvelopeItem, dump, json_item, make, timestamp
from agent.record import Payload, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.record import LogRecord, Value

    Json = dict[str, Value]

NAMESPACE: Final = uuid.UUID("2a2a9d1e-7d0b-5f2c-8a60-54e0a1f6f3d7")
"""Of the ids made here; chosen once."""
LOGS_TYPE: Final = "application/vnd.sentry.items.log+json"
_SEVERITY: Final = ((21, "fatal"), (17, "error"), (13, "warn"), (9, "info"), (5, "debug"), (1, "trace"))
_INT64: Final = 1 << 63


def identifier(*parts: str) -> str:
    """An id of 32 hexadecimal digits that is the same for the same parts."""
    return uuid.uuid5(NAMESPACE, "\0".join(parts)).hex


def interval_schedule(seconds: float) -> Json:
    """The schedule of a monitor that expects a check-in every so many seconds; Sentry counts in minutes."""
    minutes = max(1, math.ceil(seconds / 60))
    schedule: Json = {"type": "interval", "value": minutes, "unit": "minute"}
    return {"schedule": schedule, "checkin_margin": max(1, minutes), "max_runtime": 1}


def crontab_schedule(crontab: str) -> Json:
    """The schedule of a monitor of a command that runs at fixed times."""
    return {"schedule": {"type": "crontab", "value": crontab}}


def check_in(
    monitor: str, status: str, *, check_in_id: str, labels: Mapping[str, str], config: Json | None = None, duration: float | None = None
) -> EnvelopeItem:
    """A check-in: `in_progress`, `ok` or `error`; `duration` in seconds; `config` makes or changes the monitor."""
    payload: Json = {"check_in_id": check_in_id, "monitor_slug": monitor, "status": status, **labels}
    if config:
        payload["monitor_config"] = config
    if duration is not None:
        payload["duration"] = round(duration, 3)
    return json_item("check_in", payload)


def session(sid: str, status: str, *, started_ns: int, now_ns: int, first: bool, errors: int, labels: Mapping[str, str]) -> EnvelopeItem:
    """A release-health session: `ok` while it lasts, `exited`, `crashed` or `abnormal` at its end; `labels` are release and environment."""
    payload: Json = {
        "sid": sid,
        "init": first,
        "started": timestamp(started_ns),
        "timestamp": timestamp(now_ns),
        "seq": now_ns // 1_000_000,
        "status": status,
        "errors": errors,
        "attrs": dict(labels),
    }
    if status != "ok":
        payload["duration"] = max(0.0, round((now_ns - started_ns) / 1e9, 3))
    return json_item("session", payload)


def logs(records: Sequence[LogRecord], *, labels: Mapping[str, str]) -> EnvelopeItem:
    """Records as Sentry Logs: one item of many; `labels` are attributes of each."""
    common = {f"sentry.{key}": _attribute(value) for key, value in labels.items()}
    items: list[Value] = [_log(record, common) for record in records]
    return EnvelopeItem("log", dump({"version": 2, "items": items}), {"item_count": len(items), "content_type": LOGS_TYPE})


def _log(record: LogRecord, common: Mapping[str, Value]) -> Json:
    number = record.severity or 9
    known = {**record.origin.attributes, **record.attributes}
    own = {key: _attribute(_without_locals(value) if key == "exception" else value) for key, value in known.items() if value is not None}
    encoded: Json = {
        "timestamp": (record.time_ns or record.observed_ns) / 1e9,
        "trace_id": record.trace_id.hex() or identifier(record.origin.key),
        "level": next(name for least, name in _SEVERITY if number >= least),
        "severity_number": number,
        "body": record.body if isinstance(record.body, str) else dump({"": record.body}).decode()[4:-1],
        "attributes": {**common, **own},
    }
    return {**encoded, "span_id": record.span_id.hex()} if record.span_id else encoded


def _without_locals(value: Value) -> Value:
    """Structlog's dictionaries of an exception hold every local variable of every frame: too much to send, and often a secret."""
    if isinstance(value, list):
        return [_without_locals(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_locals(item) for key, item in value.items() if key != "locals"}
    return value


def _attribute(value: Value) -> Json:
    """A value with its type; lists and objects become JSON."""
    if isinstance(value, bool):
        return {"value": value, "type": "boolean"}
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return {"value": value, "type": "integer"}
    if isinstance(value, float) and math.isfinite(value):
        return {"value": value, "type": "double"}
    if isinstance(value, list | dict):
        return {"value": dump({"": value}).decode()[4:-1], "type": "string"}
    return {"value": value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value), "type": "string"}


def client_report(now_ns: int, discarded: Mapping[tuple[str, str], int]) -> EnvelopeItem:
    """A report of what was not sent: (reason, category) → how many."""
    events: list[Value] = [
        {"reason": reason, "category": category, "quantity": count} for (reason, category), count in sorted(discarded.items()) if count > 0
    ]
    return json_item("client_report", {"timestamp": timestamp(now_ns), "discarded_events": events})


def payload(signal: Signal, item: EnvelopeItem, *, service: str, records: int = 1) -> Payload:
    """An envelope of one item, for the spool."""
    return Payload(signal, records, make([item], service=service))
