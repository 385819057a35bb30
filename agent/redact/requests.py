"""Takes the secrets out of encoded OTLP requests: logs, metrics and traces alike. A request without secrets keeps its bytes.

    request ──▶ one search over its bytes ──nothing──▶ the same bytes
                       └─ perhaps ──▶ each text, body and set of attributes through the redactor ──▶ encoded again where one changed

The fields are read off the message types, so that none of a later version of the protocol is forgotten. Fields that are unknown to these are kept
unless one of them may hold a secret.
"""

from __future__ import annotations

import operator
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from agent.encode.any_value import value_of
from agent.encode.otlp_requests import pairs, parse, value
from agent.record import LogRecord, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

    from agent.record import Payload, Value
    from agent.redact.redactor import Redactor

_NO_ORIGIN: Final = Origin("")
UNKNOWN_RULE: Final = "unknown_field"
"""Counts the requests that lost their unknown fields."""


class _Kind(Enum):
    TEXT = auto()
    TEXTS = auto()
    PAIRS = auto()
    VALUE = auto()
    MESSAGES = auto()
    MESSAGE = auto()


Part = tuple[LogRecord, "Callable[[LogRecord], None]"]
"""A part as if it were a record, and a function that puts its redacted form in its place."""


def redacted(payload: Payload, redactor: Redactor) -> tuple[Payload, dict[str, int]] | None:
    """The payload without secrets, and how many were taken out by which rule; None if it can't be read as an OTLP request."""
    request = parse(payload)
    if request is None:
        return None
    if not redactor.may_change_encoded(payload.body):
        return payload, {}
    parts = list(_parts(request, redactor))
    clean, counts = redactor.redact([record for record, _ in parts], None)
    changed = [(after, put) for (before, put), after in zip(parts, clean, strict=True) if after is not before]
    for record, put in changed:
        put(record)
    if hidden := _hides_secret(request, redactor):
        request.DiscardUnknownFields()
        counts = {**counts, UNKNOWN_RULE: 1}
    return (payload._replace(body=request.SerializeToString()) if changed or hidden else payload), counts


def _hides_secret(request: Message, redactor: Redactor) -> bool:
    """Whether a field that the message types do not know may hold a secret: a later version's, or one of another kind of request."""
    return any(map(redactor.may_change_encoded, _unknown(request)))


def _unknown(message: Message) -> Iterator[bytes]:
    """The contents of all unknown fields in a message, as far as they can hold a text."""
    yield from _contents(UnknownFieldSet(message))
    for field, held in message.ListFields():
        if field.message_type is not None:
            for one in held if field.is_repeated else (held,):
                yield from _unknown(one)


def _contents(fields: Iterable[Any]) -> Iterator[bytes]:
    for field in fields:
        if isinstance(field.data, bytes):
            yield field.data
        elif isinstance(field.data, UnknownFieldSet):  # a group
            yield from _contents(field.data)


@lru_cache(maxsize=256)
def _fields(descriptor: Descriptor) -> tuple[tuple[str, _Kind], ...]:
    """The fields of a message type that hold texts, or messages with texts."""
    found = [(field.name, _kind_of(field)) for field in descriptor.fields]
    return tuple((name, kind) for name, kind in found if kind is not None)


def _kind_of(field: FieldDescriptor) -> _Kind | None:
    if field.type == FieldDescriptor.TYPE_STRING:
        return _Kind.TEXTS if field.is_repeated else _Kind.TEXT
    if field.message_type is None:
        return None
    if field.message_type is KeyValue.DESCRIPTOR:
        return _Kind.PAIRS
    if field.message_type is AnyValue.DESCRIPTOR:
        return _Kind.VALUE
    return _Kind.MESSAGES if field.is_repeated else _Kind.MESSAGE


def _parts(message: Message, redactor: Redactor) -> Iterator[Part]:
    """The parts that can be redacted by themselves, of a message in which something may be a secret."""
    for name, kind in _fields(message.DESCRIPTOR):
        held = getattr(message, name)
        if kind is _Kind.PAIRS and held:
            yield from _parts_of_pairs(held)
        elif kind is _Kind.VALUE and message.HasField(name):
            yield _as_record(value(held)), _value_back(held)
        elif kind is _Kind.TEXT and held:
            yield _as_record(held), _text_back(message, name)
        elif kind is _Kind.TEXTS:
            for place, text in enumerate(held):
                yield _as_record(text), _item_back(held, place)
        elif kind is _Kind.MESSAGES:
            for one in held:
                if redactor.may_change_encoded(one.SerializeToString()):
                    yield from _parts(one, redactor)
        elif kind is _Kind.MESSAGE and message.HasField(name):
            yield from _parts(held, redactor)


def _parts_of_pairs(held: Sequence[KeyValue]) -> Iterator[Part]:
    """All attributes together, for one may say what another is; each by itself where two have one key, which no sender should do."""
    if len({pair.key for pair in held}) == len(held):
        yield _as_record(None, pairs(held)), _pairs_back(held)
        return
    for pair in held:
        yield _as_record(None, {pair.key: value(pair.value)}), _pair_back(pair)


def _as_record(body: Value, attributes: dict[str, Value] | None = None) -> LogRecord:
    return LogRecord(0, 0, 0, "", body, attributes or {}, _NO_ORIGIN, 0)


def _pairs_back(held: object) -> Callable[[LogRecord], None]:
    def put(record: LogRecord) -> None:
        del held[:]  # type: ignore[attr-defined]  # a repeated field
        held.extend(KeyValue(key=key, value=AnyValue.FromString(value_of(one))) for key, one in record.attributes.items())  # type: ignore[attr-defined]

    return put


def _pair_back(held: KeyValue) -> Callable[[LogRecord], None]:
    def put(record: LogRecord) -> None:
        [(held.key, found)] = record.attributes.items()
        held.value.CopyFrom(AnyValue.FromString(value_of(found)))

    return put


def _value_back(held: AnyValue) -> Callable[[LogRecord], None]:
    return lambda record: held.CopyFrom(AnyValue.FromString(value_of(record.body)))


def _item_back(held: Any, place: int) -> Callable[[LogRecord], None]:
    return lambda record: operator.setitem(held, place, record.body)


def _text_back(message: Message, name: str) -> Callable[[LogRecord], None]:
    return lambda record: setattr(message, name, record.body)
