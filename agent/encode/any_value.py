"""Values and attributes → the protobuf bytes of OpenTelemetry's `AnyValue` and `KeyValue` (common/v1/common.proto), with tables of what repeats."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.record import Value

_TABLE_SIZE: Final = 512
"""Values remembered per key. A key with more (an id, a counter) starts its table afresh: what it costs is bounded."""
_TABLES: Final = 2048
_LONGEST: Final = 128
"""Longer texts hardly ever repeat and are not remembered."""
_MAX_INT: Final = 2**63
_double: Final = Struct("<d").pack


def varint(number: int) -> bytes:
    """A non-negative number in base 128, lowest digits first."""
    if number < 0x80:
        return bytes((number,))
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def delimited(tag: int, content: bytes) -> bytes:
    """A length-delimited field; `tag` is its one tag byte (field number << 3 | 2)."""
    return bytes((tag,)) + varint(len(content)) + content


def text_bytes(text: str) -> bytes:
    """UTF-8, which half a surrogate pair is not: it is written out."""
    return text.encode("utf-8", "backslashreplace")


def value_of(value: Value) -> bytes:
    """The content of an `AnyValue`: string = 1, bool = 2, int = 3, double = 4, array = 5, kvlist = 6, bytes = 7; empty for None.

    An integer beyond 64 bits becomes a string: no OTLP type holds it.
    """
    if isinstance(value, str):
        return delimited(0x0A, text_bytes(value))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return b"\x21" + _double(value)
    return _container(value)


def key_value(key: str, value: Value) -> bytes:
    """The content of a `KeyValue`: key = 1, value = 2."""
    return delimited(0x0A, text_bytes(key)) + delimited(0x12, value_of(value))


def attribute(key: str, value: Value) -> bytes:
    """`LogRecord.attributes` = 6, with tag and length."""
    return delimited(0x32, key_value(key, value))


def _integer(value: int) -> bytes:
    if -_MAX_INT <= value < _MAX_INT:
        return b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    return delimited(0x0A, str(value).encode())


def _container(value: list[Value] | dict[str, Value] | bytes | None) -> bytes:
    if isinstance(value, list):
        return delimited(0x2A, b"".join(delimited(0x0A, value_of(item)) for item in value))
    if isinstance(value, dict):
        return delimited(0x32, b"".join(delimited(0x0A, key_value(key, item)) for key, item in value.items()))
    return b"" if value is None else delimited(0x3A, value)


class ValueTable(dict["Value", bytes]):
    """One key's values → the whole encoded attribute. Only texts and integers: `True` and `1.0` would be taken for 1."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __missing__(self, value: Value) -> bytes:
        """Encode one."""
        made = attribute(self._key, value)
        if not isinstance(value, str) or len(value) <= _LONGEST:
            if len(self) >= _TABLE_SIZE:
                self.clear()
            self[value] = made
        return made


class KeyTables(dict[str, ValueTable]):
    """Key → its table; started afresh when a writer makes up ever new keys."""

    def __missing__(self, key: str) -> ValueTable:
        """Begin a table."""
        if len(self) >= _TABLES:
            self.clear()
        made = self[key] = ValueTable(key)
        return made


class FloatHeads(dict[str, bytes]):
    """Key → all of an attribute of type double but its last eight bytes."""

    def __missing__(self, key: str) -> bytes:
        """Encode one."""
        if len(self) >= _TABLES:
            self.clear()
        made = self[key] = attribute(key, 0.0)[:-8]
        return made


class Bodies(dict[str, bytes]):
    """A body of text → `LogRecord.body` = 5."""

    def __missing__(self, text: str) -> bytes:
        """Encode one."""
        made = delimited(0x2A, value_of(text))
        if len(text) <= _LONGEST:
            if len(self) >= _TABLE_SIZE:
                self.clear()
            self[text] = made
        return made
