"""Log records in columns → protobuf bytes, column by column: see `columns`. They say the same as what `otlp_logs` makes record by record."""

from __future__ import annotations

from itertools import repeat
from struct import pack
from typing import TYPE_CHECKING, Final, cast

from agent.encode.any_value import (
    ENTRIES,
    USUAL,
    Heads,
    Integers,
    KeyTable,
    attribute,
    booleans,
    delimited,
    float_head,
    text_bytes,
    text_heads,
    varint,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from agent.columns import Columns
    from agent.record import Origin, Value

RECORD_HEADS: Final = tuple(b"\x12" + varint(size) for size in range(USUAL))
"""ScopeLogs.log_records = 2: tag and length of a record of usual size."""


def _body(text: str) -> bytes:
    """LogRecord.body = 5."""
    return delimited(0x2A, delimited(0x0A, text.encode()))


class Levels(dict[tuple[int, str], bytes]):
    """(severity_number = 2, severity_text = 3) → their bytes."""

    def __missing__(self, level: tuple[int, str]) -> bytes:
        """Encode one."""
        number, text = level
        made = (b"\x10" + varint(number) if number else b"") + (delimited(0x1A, text_bytes(text)) if text else b"")
        if len(self) < 256 and len(text) <= 32:
            self[level] = made
        return made


class ColumnEncoder:
    """Its memory is bounded: heads for lengths of texts, and some integers, of all keys together. Not for several threads at once."""

    def __init__(self) -> None:
        self._levels = Levels()
        self._bodies = Heads(_body)
        self._forget()

    def _forget(self) -> None:
        self._texts = KeyTable(text_heads)
        self._integers = KeyTable(Integers)
        self._floats = KeyTable(float_head)
        self._booleans = KeyTable(booleans)

    def encode(self, groups: Iterable[Columns], size: int, origin: Origin, observed_ns: int) -> bytes:
        """The fields `ScopeLogs.log_records` of `size` records, in their order."""
        if self.remembered > ENTRIES:
            self._forget()
        common = pack("<BQ", 0x59, observed_ns) + b"".join([attribute(key, value) for key, value in origin.attributes.items()])
        framed = [b""] * size
        for group in groups:
            records = self._records(group, common, origin.attributes)
            for place, record, length in zip(group.places, records, map(len, records), strict=True):
                framed[place] = (RECORD_HEADS[length] if length < USUAL else b"\x12" + varint(length)) + record
        return b"".join(framed)

    @property
    def remembered(self) -> int:
        """Heads and integers of all keys."""
        return sum(map(len, self._texts.values())) + sum(map(len, self._integers.values()))

    def _records(self, group: Columns, common: bytes, taken: Mapping[str, Value]) -> list[bytes]:
        """`common`: the bytes that all of them have; `taken`: names of attributes that are among these."""
        levels = self._levels
        parts: list[Iterable[bytes]] = [repeat(common + b"\x09"), _eights("Q", group.times_ns), [levels[level] for level in group.levels]]
        parts += _texts(self._bodies, group.bodies)
        for name, column, kinds in zip(group.names, group.values, group.kinds, strict=True):
            if name not in taken:
                parts += self._attribute(name, column, kinds)
        if group.traces:
            parts += [repeat(b"\x4a\x10"), group.traces]
        if group.spans:
            parts += [repeat(b"\x52\x08"), group.spans]
        return list(map(b"".join, zip(*parts, strict=False)))

    def _attribute(self, name: str, column: Sequence[Value], kinds: AbstractSet[type]) -> Sequence[Iterable[bytes]]:
        """Columns of bytes that, side by side, are the attribute."""
        if len(kinds) > 1:
            return ([self._any(name, value) for value in column],)
        (kind,) = kinds
        if kind is str:
            return _texts(self._texts[name], cast("Sequence[str]", column))
        if kind is int:
            integers = self._integers[name]
            return ([integers[number] for number in column],)
        if kind is float:
            return repeat(self._floats[name]), _eights("d", cast("Sequence[float]", column))
        if kind is bool:
            pair = self._booleans[name]
            return ([pair[truth is True] for truth in column],)
        return ([attribute(name, value) for value in column],)

    def _any(self, name: str, value: Value) -> bytes:
        """An attribute of a column with values of several types."""
        return b"".join(next(zip(*self._attribute(name, (value,), {type(value)}), strict=False)))


def _texts(heads: Heads, column: Sequence[str]) -> tuple[Iterable[bytes], list[bytes]]:
    raw = [text.encode() for text in column]
    sizes = list(map(len, raw))
    same = len(set(sizes)) == 1
    return repeat(heads[sizes[0]]) if same else [heads[size] for size in sizes], raw


def _eights(form: str, column: Sequence[float]) -> list[bytes]:
    """Numbers as fixed64 or double, which are eight bytes each."""
    packed = pack(f"<{len(column)}{form}", *column)
    return [packed[at : at + 8] for at in range(0, len(packed), 8)]
