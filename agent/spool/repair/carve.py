"""Find stored rows in a damaged file by reading its pages directly, when the tree that leads to them is broken.

Follows the SQLite file format (sqlite.org/fileformat2.html: sections 1.6 B-tree pages, 2.1 record format). Only what
carries a right checksum is believed, so neither stale nor foreign bytes can be mistaken for a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.spool.quota import PAGE_SIZE
from agent.spool.rows import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.spool.repair.pages import Pages

_TABLE_LEAF: Final = 0x0D
_FIELDS: Final = len(Stored._fields)
_LARGEST: Final = 1 << 30
"""Bytes: SQLite's own limit of a record."""
_INTEGER_SIZE: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Serial type → bytes, of the integers that take any."""


def carve(pages: Pages) -> Iterator[Stored]:
    """Yield every intact row of the rows table that some page still leads to; the same row may come more than once."""
    for number in range(2, pages.count + 1):
        page = pages.page(number)
        if len(page) == PAGE_SIZE and page[0] == _TABLE_LEAF:
            for cell in _cells(page):
                row = _row(pages, page, cell)
                if row is not None and row.intact:
                    yield row


def _cells(page: bytes) -> list[int]:
    """Return the offsets of a table leaf's cells, those that can be."""
    count = int.from_bytes(page[3:5])
    pointers = [int.from_bytes(page[at : at + 2]) for at in range(8, min(8 + 2 * count, PAGE_SIZE - 2), 2)]
    return [pointer for pointer in pointers if 8 <= pointer < PAGE_SIZE - 4]


def _row(pages: Pages, page: bytes, cell: int) -> Stored | None:
    """Read one cell as a row; None if it is something else."""
    try:
        size, at = varint(page, cell)
        seq, at = varint(page, at)
        if size > _LARGEST:
            return None
        return _decode(seq, _payload(pages, page, at, size))
    except (IndexError, UnicodeDecodeError):
        return None


def _payload(pages: Pages, page: bytes, at: int, size: int) -> bytes:
    """Gather a record from its leaf and its overflow pages (section 1.6, "the surplus is on overflow pages")."""
    most = PAGE_SIZE - 35
    if size <= most:
        return page[at : at + size]
    least = (PAGE_SIZE - 12) * 32 // 255 - 23
    local = least + (size - least) % (PAGE_SIZE - 4)
    local = local if local <= most else least
    parts, gathered = [page[at : at + local]], local
    following = int.from_bytes(page[at + local : at + local + 4])
    while gathered < size and 1 < following <= pages.count:
        overflow = pages.page(following)
        parts.append(overflow[4 : 4 + size - gathered])
        gathered += PAGE_SIZE - 4
        following = int.from_bytes(overflow[:4])
    return b"".join(parts)


def _decode(seq: int, record: bytes) -> Stored | None:
    """Read a record as a row (section 2.1)."""
    end, at = varint(record, 0)
    types: list[int] = []
    while at < end and len(types) <= _FIELDS:
        serial, at = varint(record, at)
        types.append(serial)
    if len(types) != _FIELDS or types[0] != 0 or types[-1] < 12 or types[-1] % 2:
        return None
    values: list[int | str | bytes | None] = []
    for serial in types:
        value, at = _value(record, at, serial)
        values.append(value)
    row = Stored(*values)  # type: ignore[arg-type] # whatever the types are: the checksum decides
    return row._replace(seq=seq)


def _value(record: bytes, at: int, serial: int) -> tuple[int | str | bytes | None, int]:
    if serial in _INTEGER_SIZE:
        after = at + _INTEGER_SIZE[serial]
        return int.from_bytes(record[at:after], signed=True), after
    if serial >= 12:
        after = at + (serial - 12) // 2
        return (record[at:after].decode() if serial % 2 else record[at:after]), after
    return {8: 0, 9: 1}.get(serial), at


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Read SQLite's variable-length integer; return it and the offset behind it. IndexError at the end of the data."""
    value = 0
    for step in range(8):
        byte = data[at + step]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + step + 1
    return value << 8 | data[at + 8], at + 9
