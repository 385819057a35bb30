"""Log records → the bytes of an OTLP `ExportLogsServiceRequest`, written directly.

Field numbers and wire types: opentelemetry-proto, logs/v1/logs.proto and common/v1/common.proto; encoding: protobuf.dev, "Encoding". One
request holds one resource and one scope, the agent, or a run of records each for origins that know of others. A logger's name stays an attribute: a scope
for each would split the batch and lose the order of its records. Parts that repeat from record to record (keys with their values, levels, bodies, the attributes of a
file) is encoded once and remembered in bounded tables.
"""

from __future__ import annotations

from itertools import groupby
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from agent import __version__
from agent.columns import Block, segments_of
from agent.encode.any_value import USUAL, Tables, attribute, delimited, key_value, text_bytes, value_of, varint
from agent.encode.otlp_columns import RECORD_HEADS, Levels
from agent.record import SCHEMA_URL, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from agent.record import LogRecord, Origin, Value

    Clean = Callable[[Mapping[str, Value]], Mapping[str, Value]]

_TIME: Final = Struct("<BQ").pack
"""LogRecord.time_unix_nano = 1 and observed_time_unix_nano = 11: a tag and a fixed64."""
_DOUBLE: Final = Struct("<d").pack
_FORGET_AFTER: Final = 1024
"""Batches after which the tables are emptied, so that they hold only present repeats."""


class _Group(NamedTuple):
    """The encoded records of consecutive origins that know the same of the resource and have the same scope."""

    resource: Mapping[str, Value]
    scope: Scope | None
    records: list[bytes]


class LogEncoder:
    """Encodes batches of records for one resource. Not for several threads at once: it owns its tables."""

    def __init__(
        self,
        resource: Mapping[str, Value],
        scope: tuple[str, str] = ("outrider", __version__),
        given: Container[str] = (),
        clean: Clean = lambda attributes: attributes,
    ) -> None:
        """`given` are the names of resource attributes that no origin's take the place of; `clean` redacts what origins know of resource and scope."""
        name, version = scope
        self._given = given
        self._clean = clean
        self.describe(resource)
        self._schema = delimited(0x1A, SCHEMA_URL.encode())
        self._scope = _scope(Scope(name, version))
        self._origin: Origin | None = None
        self._origin_bytes = b""
        self._batches = 0
        self._tables = Tables()
        self._levels = Levels()

    def describe(self, resource: Mapping[str, Value]) -> None:
        """Encode for this resource from now on."""
        self._resource = resource
        self._resource_bytes = _resource(resource)

    def encode(self, records: Sequence[LogRecord]) -> bytes:
        """The serialized request that holds these records, in their order."""
        self._batches += 1
        if self._batches % _FORGET_AFTER == 0 or self._tables.full:
            self._tables = Tables()
        groups: list[_Group] = []
        for segment in segments_of(records):
            if isinstance(segment, Block):
                _group(groups, segment.origin).append(segment.wire)
            else:
                self._encode_records(segment, groups)
        runs = groupby(groups or [_Group({}, None, [])], lambda group: group.resource)
        return b"".join([self._resource_logs(resource, run) for resource, run in runs])

    def _resource_logs(self, more: Mapping[str, Value], groups: Iterable[_Group]) -> bytes:
        """ExportLogsServiceRequest.resource_logs = 1: resource = 1, scope_logs = 2, schema_url = 3; `more` is what the origins know of the resource."""
        resource = self._resource_bytes
        if more:
            resource = _resource({**self._resource, **{key: value for key, value in self._clean(more).items() if key not in self._given}})
        return delimited(0x0A, resource + b"".join(map(self._scope_logs, groups)) + self._schema)

    def _scope_logs(self, group: _Group) -> bytes:
        """ResourceLogs.scope_logs = 2: scope = 1, log_records = 2."""
        scope = group.scope
        head = self._scope if scope is None else _scope(scope._replace(attributes=self._clean(scope.attributes)))
        return delimited(0x12, head + b"".join(group.records))

    def _encode_records(self, records: Sequence[LogRecord], groups: list[_Group]) -> None:
        """Each record with its tag and length in turn. One loop with local variables: a call per value would cost more than the work."""
        tables, levels, heads, double = self._tables, self._levels, RECORD_HEADS, _DOUBLE
        texts, integers, floats, booleans, bodies = tables.texts, tables.integers, tables.floats, tables.booleans, tables.bodies
        out: list[bytes] = []
        origin, origin_bytes, observed_ns, observed = None, b"", -1, b""
        taken: frozenset[str] = frozenset()
        for time_ns, observed_at, severity, level, body, attributes, source, _, trace, span, flags, dropped in records:
            if source is not origin:
                origin, origin_bytes, taken = source, self._common(source), frozenset(source.attributes)
                out = _group(groups, source)
            if observed_at != observed_ns:
                observed_ns, observed = observed_at, _TIME(0x59, observed_at)
            parts = [
                _TIME(0x09, time_ns),
                observed,
                levels[severity, level],
                bodies[body] if type(body) is str else delimited(0x2A, value_of(body)),
                origin_bytes,
            ]
            append = parts.append
            if not taken.isdisjoint(attributes):
                attributes = {key: value for key, value in attributes.items() if key not in taken}  # noqa: PLW2901 - the origin's are on top
            for key, value in attributes.items():
                kind = type(value)
                if kind is str:
                    append(texts[key][value])
                elif kind is int:
                    append(integers[key][value])
                elif kind is float:
                    append(floats[key])
                    append(double(value))
                elif kind is bool:
                    append(booleans[key][value is True])
                else:
                    append(attribute(key, value))
            if trace:
                append(b"\x4a\x10" + trace)
            if span:
                append(b"\x52\x08" + span)
            if flags or dropped:
                append(_rare(flags, dropped))
            record = b"".join(parts)
            size = len(record)
            out.append(heads[size] if size < USUAL else b"\x12" + varint(size))
            out.append(record)

    def _common(self, origin: Origin) -> bytes:
        """The attributes that all records of an origin carry."""
        if origin is not self._origin:
            self._origin = origin
            self._origin_bytes = b"".join(attribute(key, value) for key, value in origin.attributes.items())
        return self._origin_bytes


def _group(groups: list[_Group], origin: Origin) -> list[bytes]:
    """The encoded records that the next one of this origin follows: the order stays, so a resource may have several groups in a request."""
    if not groups or groups[-1].scope != origin.scope or groups[-1].resource != origin.resource:
        groups.append(_Group(origin.resource, origin.scope, []))
    return groups[-1].records


def _scope(scope: Scope) -> bytes:
    """ScopeLogs.scope = 1: name = 1, version = 2, attributes = 3."""
    name = delimited(0x0A, text_bytes(scope.name)) if scope.name else b""
    version = delimited(0x12, text_bytes(scope.version)) if scope.version else b""
    return delimited(0x0A, name + version + b"".join([delimited(0x1A, key_value(key, value)) for key, value in scope.attributes.items()]))


def _resource(attributes: Mapping[str, Value]) -> bytes:
    """ResourceLogs.resource = 1: attributes = 1."""
    return delimited(0x0A, b"".join([delimited(0x0A, key_value(key, value)) for key, value in attributes.items()]))


def _rare(flags: int, dropped: int) -> bytes:
    """LogRecord.flags = 8 (fixed32) and dropped_attributes_count = 7."""
    return (b"\x45" + flags.to_bytes(4, "little") if flags else b"") + (b"\x38" + varint(dropped) if dropped else b"")
