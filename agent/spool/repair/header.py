"""The first 100 bytes of a spool file: what in them can't be so. SQLite believes what they say, and a flipped bit says something else.

Follows the SQLite file format (sqlite.org/fileformat2.html, section 1.3 "The Database Header").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.spool import schema

if TYPE_CHECKING:
    from pathlib import Path

SIZE: Final = 100
"""Bytes."""
VERSIONS: Final = slice(18, 20)
"""Write and read version: 1 = rollback journal, 2 = write-ahead log."""
_COOKIE: Final = slice(40, 44)
"""Goes up with every change of the tables; 0 = there are none yet."""
_USER_VERSION: Final = slice(60, 64)
_ALWAYS: Final = {
    "the magic": slice(0, 16),
    "the page size": slice(16, 18),
    "the payload fractions": slice(20, 24),
    "the reserved bytes": slice(72, 92),
}
_WITH_TABLES: Final = {
    "the schema format": slice(44, 48),
    "the largest root page": slice(52, 56),
    "the text encoding": slice(56, 60),
    "the incremental vacuum": slice(64, 68),
    "the application id": slice(68, 72),
}
"""The same in every file of a version, once its tables are made."""


def contradiction(path: Path) -> str:
    """Name what can't be so in the header of the file; nothing if it may be sound, is empty or is not there. OSError."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        found = file.read(SIZE)
    return _contradiction(found) if found else ""


def _contradiction(found: bytes) -> str:
    if len(found) < SIZE:
        return "the header is cut off"
    version = int.from_bytes(found[_USER_VERSION])
    is_known = any(found[_COOKIE]) and 0 < version <= schema.VERSION
    expected = schema.first_page(version) if is_known else schema.first_page()
    fields = _ALWAYS | _WITH_TABLES if is_known else _ALWAYS
    for name, place in fields.items():
        if found[place] != expected[place]:
            return f"{name} in the header is not that of a spool file"
    return "" if set(found[VERSIONS]) <= {1, 2} else "the file format version in the header is not that of a spool file"


def sound(page: bytes, pages: int, version: int) -> bytes:
    """Return a first page with the header of a sound file of so many pages, without free ones, that needs no log; the tables stay."""
    model = schema.first_page(version)
    return model[:28] + pages.to_bytes(4) + bytes(8) + model[40:SIZE] + page[SIZE:]
