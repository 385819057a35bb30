"""Values and attributes → the protobuf bytes of OpenTelemetry's `AnyValue` and `KeyValue` (common/v1/common.proto), with tables of what repeats."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, TypeVar

from agent.names import EVENT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.record import Value

T = TypeVar("T")

_VALUES: Final = 256
"""Values remembered per key; a key with more (an id, a counter) is encoded again each time, which is not much slower."""
_KEYS: Final = 512
ENTRIES: Final = 16_384
"""Values remembered of all keys together: some 5 MiB."""
USUAL: Final = 2048
"""Bytes: what is longer is too rare to remember anything of."""
_LONGEST: Final = 128
"""Longer texts hardly ever repeat and are not remembered."""
_MAX_INT: Final = 2**63
_double: Final = Struct("<d").pack


def varint(number: int) -> bytes:
    """A non-negative number in base 128, lowest digits first."""
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if number < 0x20_0000:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14 & 0x7F | 0x80)) + varint(number >> 21)


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
    """`LogRecord.attributes` = 6, with tag and length; a text attribute `event.name` is `LogRecord.event_name` = 12 instead.

    The data model has a field for it (logs/data-model.md, "Field: EventName"), and the attribute is deprecated.
    """
    if key == EVENT_NAME and isinstance(value, str):
        return delimited(0x62, text_bytes(value))
    return delimited(0x32, key_value(key, value))


def _integer(value: int) -> bytes:
    if -_MAX_INT <= value < _MAX_INT:
        return b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    return delimited(0x0A, str(value).encode())


def _container(value: list[Value] | dict[str, Value] | bytes | None) -> bytes:
    if isinstance(value, list):
        return delimited(0x2A, b"".join([delimited(0x0A, value_of(item)) for item in value]))
    if isinstance(value, dict):
        return delimited(0x32, b"".join([delimited(0x0A, key_value(key, item)) for key, item in value.items()]))
    return b"" if value is None else delimited(0x3A, value)


class KeyTable(dict[str, T]):
    """Key → its encoded form; emptied when a writer invents more and more keys."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make

    def __missing__(self, key: str) -> T:
        """Make one."""
        made = self._make(key)
        if len(self) >= _KEYS:
            self.clear()
        if len(key) <= _LONGEST:
            self[key] = made
        return made


def float_head(key: str) -> bytes:
    """All of an attribute of type double but its last eight bytes."""
    return attribute(key, 0.0)[:-8]


def booleans(key: str) -> tuple[bytes, bytes]:
    """The attribute for False and for True."""
    return attribute(key, value=False), attribute(key, value=True)


class Heads(dict[int, bytes]):
    """Length in bytes of a text → what stands before it."""

    __slots__ = ("_whole",)

    def __init__(self, whole: Callable[[str], bytes]) -> None:
        self._whole = whole

    def __missing__(self, size: int) -> bytes:
        """Encode a text of that length, and take it away again."""
        whole = self._whole(" " * size)
        head = whole[: len(whole) - size]
        if size < USUAL:
            self[size] = head
        return head


def text_heads(key: str) -> Heads:
    """The bytes before the text in an attribute of this name."""
    return Heads(lambda text: attribute(key, text))


class Texts(dict["Value", bytes]):
    """One key's texts → the whole encoded attribute, which is a head that depends on the text's length, and the text."""

    __slots__ = ("_heads", "_key")

    def __init__(self, key: str) -> None:
        self._key = key
        self._heads = text_heads(key)

    def __missing__(self, text: str) -> bytes:
        """Encode one."""
        raw = text_bytes(text)
        if len(raw) > _LONGEST:  # nor is the head of its length worth remembering: `Tables.full` does not count them
            return attribute(self._key, text)
        made = self._heads[len(raw)] + raw
        if len(self) < _VALUES:
            self[text] = made
        return made


class Integers(dict["Value", bytes]):
    """One key's integers → the whole encoded attribute, which is a head that depends on the number's length, and the number."""

    __slots__ = ("_heads", "_key")

    def __init__(self, key: str) -> None:
        self._key = key
        self._heads: dict[int, bytes] = {}

    def __missing__(self, number: int) -> bytes:
        """Encode one."""
        if not 0 <= number < _MAX_INT:
            return attribute(self._key, number)
        raw = varint(number)
        head = self._heads.get(len(raw))
        if head is None:
            head = self._heads[len(raw)] = attribute(self._key, number)[: -len(raw)]
        made = head + raw
        if len(self) < _VALUES:
            self[number] = made
        return made


class Bodies(dict["Value", bytes]):
    """A body of text → `LogRecord.body` = 5."""

    def __missing__(self, text: str) -> bytes:
        """Encode one."""
        made = delimited(0x2A, value_of(text))
        if len(text) <= _LONGEST and len(self) < _VALUES:
            self[text] = made
        return made


class Tables:
    """Everything that is remembered between batches, with a bound on all of it together."""

    __slots__ = ("bodies", "booleans", "floats", "integers", "texts")

    def __init__(self) -> None:
        self.texts = KeyTable(Texts)
        self.integers = KeyTable(Integers)
        self.floats = KeyTable(float_head)
        self.booleans = KeyTable(booleans)
        self.bodies = Bodies()

    @property
    def full(self) -> bool:
        """Whether it is time to empty the table."""
        return sum(map(len, self.texts.values())) + sum(map(len, self.integers.values())) > ENTRIES
