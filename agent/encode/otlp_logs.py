"""Log records → the bytes of an OTLP `ExportLogsServiceRequest`, written directly.

Field numbers and wire types: opentelemetry-proto, logs/v1/logs.proto and common/v1/common.proto; encoding: protobuf.dev, "Encoding". One
request holds one resource and one scope. What repeats from record to record (keys with their values, levels, bodies, the attributes of a
file) is encoded once and remembered in bounded tables.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from agent import __version__
from agent.encode.any_value import Bodies, FloatHeads, KeyTables, attribute, delimited, key_value, text_bytes, value_of, varint
from agent.encode.otlp_read import decode, split

__all__ = ["LogEncoder", "decode", "split"]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.record import LogRecord, Origin, Value

_TIMES: Final = Struct("<BQBQ").pack
"""LogRecord.time_unix_nano = 1, observed_time_unix_nano = 11, both fixed64."""
_DOUBLE: Final = Struct("<d").pack
_RECORD_HEADS: Final = tuple(b"\x12" + varint(size) for size in range(4096))
"""ScopeLogs.log_records = 2: tag and length of a record of usual size."""


class Levels(dict[tuple[int, str], bytes]):
    """(severity_number = 2, severity_text = 3) → their bytes."""

    def __missing__(self, level: tuple[int, str]) -> bytes:
        """Encode one."""
        number, text = level
        made = (b"\x10" + varint(number) if number else b"") + (delimited(0x1A, text_bytes(text)) if text else b"")
        if len(self) < 256:
            self[level] = made
        return made


class LogEncoder:
    """Encodes batches of records for one resource. Not for several threads at once: it owns its tables."""

    def __init__(self, resource: Mapping[str, Value], scope: tuple[str, str] = ("outrider", __version__)) -> None:
        name, version = scope
        self._resource = delimited(0x0A, b"".join(delimited(0x0A, key_value(key, value)) for key, value in resource.items()))
        self._scope = delimited(0x0A, delimited(0x0A, name.encode()) + delimited(0x12, version.encode()))
        self._tables = KeyTables()
        self._floats = FloatHeads()
        self._bodies = Bodies()
        self._levels = Levels()
        self._origin: Origin | None = None
        self._origin_bytes = b""

    def encode(self, records: Sequence[LogRecord]) -> bytes:
        """The serialized request that holds these records, in their order."""
        scope_logs = b"".join((self._scope, *self._encoded(records)))
        return delimited(0x0A, self._resource + delimited(0x12, scope_logs))

    def _encoded(self, records: Sequence[LogRecord]) -> list[bytes]:
        """Each record with its tag and length in turn. One loop with local variables: see the note on `json_lines.read`."""
        tables, float_heads, bodies, levels, heads = self._tables, self._floats, self._bodies, self._levels, _RECORD_HEADS
        out: list[bytes] = []
        origin, origin_bytes = None, b""
        origin_keys: frozenset[str] = frozenset()
        for time_ns, observed_ns, severity, level, body, attributes, source, _, trace, span, flags, dropped in records:
            if source is not origin:
                origin, origin_bytes, origin_keys = source, self._common(source), frozenset(source.attributes)
            parts = [
                _TIMES(0x09, time_ns, 0x59, observed_ns),
                levels[severity, level],
                bodies[body] if type(body) is str else delimited(0x2A, value_of(body)),
                origin_bytes,
            ]
            for key, value in attributes.items():
                if key in origin_keys:
                    continue
                kind = type(value)
                if kind is str or kind is int:
                    parts.append(tables[key][value])
                elif kind is float:
                    parts.append(float_heads[key] + _DOUBLE(value))
                else:
                    parts.append(attribute(key, value))
            if trace:
                parts.append(b"\x4a\x10" + trace)
            if span:
                parts.append(b"\x52\x08" + span)
            if flags or dropped:
                parts.append(_rare(flags, dropped))
            record = b"".join(parts)
            size = len(record)
            out.append(heads[size] if size < 4096 else b"\x12" + varint(size))
            out.append(record)
        return out

    def _common(self, origin: Origin) -> bytes:
        """The attributes that all records of an origin carry."""
        if origin is not self._origin:
            self._origin = origin
            self._origin_bytes = b"".join(attribute(key, value) for key, value in origin.attributes.items())
        return self._origin_bytes


def _rare(flags: int, dropped: int) -> bytes:
    """LogRecord.flags = 8 (fixed32) and dropped_attributes_count = 7."""
    return (b"\x45" + flags.to_bytes(4, "little") if flags else b"") + (b"\x38" + varint(dropped) if dropped else b"")
