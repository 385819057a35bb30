"""Sentry envelopes: a line of JSON, then items of a line of JSON and a payload each (develop.sentry.dev, "Envelopes").

They are stored without `sent_at`, the time of sending, and with `outrider`, the service that they are about; `seal` changes both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.record import Value

OURS: Final = "outrider"
"""The key of the header that never leaves the spool."""
CATEGORY: Final = {
    "event": "error",
    "check_in": "monitor",
    "session": "session",
    "log": "log_item",
    "attachment": "attachment",
    "client_report": "internal",
}
"""Item type → its category in rate limits and client reports."""


class EnvelopeError(ValueError):
    """Bytes that are not an envelope."""


@dataclass(frozen=True, slots=True)
class EnvelopeItem:
    """One item."""

    type: str
    body: bytes
    headers: Mapping[str, Value] = field(default_factory=dict)
    """Besides `type` and `length`."""

    def json(self) -> dict[str, Value]:
        """The payload of an item that is a JSON object."""
        value = orjson.loads(self.body)
        if not isinstance(value, dict):
            raise EnvelopeError("the item is not a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class Envelope:
    """Header and items."""

    headers: Mapping[str, Value]
    items: Sequence[EnvelopeItem]

    @property
    def service(self) -> str:
        """The service that it is about."""
        ours = self.headers.get(OURS)
        return str(ours.get("service", "")) if isinstance(ours, dict) else ""


def json_item(type_: str, payload: Mapping[str, Value], **headers: Value) -> EnvelopeItem:
    """An item around a JSON object."""
    return EnvelopeItem(type_, dump(payload), {"content_type": "application/json", **headers})


def make(items: Sequence[EnvelopeItem], *, service: str, event_id: str = "") -> bytes:
    """An envelope for the spool."""
    headers: dict[str, Value] = {"event_id": event_id} if event_id else {}
    return encode(Envelope({**headers, OURS: {"service": service}}, items))


def encode(envelope: Envelope) -> bytes:
    """The bytes of an envelope."""
    parts = [dump(envelope.headers)]
    for item in envelope.items:
        parts += [dump({"type": item.type, **item.headers, "length": len(item.body)}), item.body]
    return b"\n".join((*parts, b""))


def decode(data: bytes) -> Envelope:
    """The envelope of some bytes; EnvelopeError if they are not one."""
    line, _, rest = data.partition(b"\n")
    headers, items = _object(line), []
    while rest.strip(b"\n"):
        line, _, rest = rest.lstrip(b"\n").partition(b"\n")
        about = _object(line)
        length = about.pop("length", None)
        size = length if isinstance(length, int) and length >= 0 else (rest + b"\n").index(b"\n")
        if size > len(rest):
            raise EnvelopeError("an item is shorter than its length")
        items.append(EnvelopeItem(str(about.pop("type", "")), rest[:size], about))
        rest = rest[size:]
    return Envelope(headers, items)


def seal(envelope: Envelope, sent_at: str) -> Envelope:
    """The envelope as it goes on the wire now."""
    headers = {key: value for key, value in envelope.headers.items() if key != OURS}
    return Envelope({**headers, "sent_at": sent_at}, envelope.items)


def timestamp(time_ns: int) -> str:
    """RFC 3339 with microseconds, UTC."""
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ns % 10**9 // 1000:06d}Z"


def dump(value: Mapping[str, Value]) -> bytes:
    """JSON of any value of a record: bytes, lone surrogates and numbers beyond 64 bits as text."""
    try:
        return orjson.dumps(value, default=_text, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return orjson.dumps(_plain(value))


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(_plain(str(key))): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 64):
        return value
    return _text(value)


def _object(line: bytes) -> dict[str, Value]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise EnvelopeError(f"a header is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise EnvelopeError("a header is not a JSON object")
    return value


def relabel(envelope: Envelope, release: str, environment: str) -> Envelope:
    """The envelope with another release and environment, where given."""
    labels: dict[str, Value] = {key: value for key, value in (("release", release), ("environment", environment)) if value}
    if not labels:
        return envelope
    return Envelope(envelope.headers, [_relabel(item, labels) for item in envelope.items])


def _relabel(item: EnvelopeItem, labels: Mapping[str, Value]) -> EnvelopeItem:
    if item.type not in ("event", "check_in", "session"):
        return item
    payload = item.json()
    if item.type == "session":
        attributes = payload.get("attrs")
        payload["attrs"] = {**(attributes if isinstance(attributes, dict) else {}), **labels}
    else:
        payload.update(labels)
    return EnvelopeItem(item.type, dump(payload), item.headers)
