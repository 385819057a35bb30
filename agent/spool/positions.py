"""Positions: how far each source has read, and state that others keep with it. Each is stored twice with a checksum, for it exists nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.spool.checksum import checksum

if TYPE_CHECKING:
    from collections.abc import Mapping

    import apsw

    from agent.record import Owner

TABLES: Final = ("positions", "positions_mirror")
_REPLACE: Final = [f"REPLACE INTO {table} VALUES (?, ?, ?, ?, ?)" for table in TABLES]  # noqa: S608 constant
_DELETE: Final = [f"DELETE FROM {table} WHERE owner = ? AND name = ? AND key = ?" for table in TABLES]  # noqa: S608 constant


def write(connection: apsw.Connection, owner: Owner, name: str, positions: Mapping[str, bytes | None]) -> None:
    """Store positions, or forget those that are None, in both tables."""
    kind = owner.value
    for text, value in positions.items():
        key = encode_key(text)
        place = kind, name, key
        if value is None:
            for sql in _DELETE:
                connection.execute(sql, place)
        else:
            row = (*place, value, checksum(kind, name, len(key), body=key + value))
            for sql in _REPLACE:
                connection.execute(sql, row)


def put(connection: apsw.Connection, row: tuple[apsw.SQLiteValue, ...]) -> None:
    """Store a whole row, checksum included, in both tables; the tables and the row may be of an older version."""
    marks = ", ".join("?" * len(row))
    for table in TABLES:
        connection.execute(f"REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608 constant


def read(connection: apsw.Connection, owner: Owner, name: str) -> dict[str, bytes]:
    """Return an owner's positions under a name; a value whose checksum is wrong is taken from the other table."""
    found: dict[str, bytes] = {}
    for table in reversed(TABLES):
        for row in connection.execute(f"SELECT * FROM {table} WHERE owner = ? AND name = ?", (owner.value, name)):  # noqa: S608 constant
            if intact(row):
                found[decode_key(row[2])] = row[3]
    return found


def intact(row: tuple[apsw.SQLiteValue, ...]) -> bool:
    """Whether a row, of this or of an older version, is what was written."""
    *names, key, value, check = row
    if not all(isinstance(one, str) for one in names) or not isinstance(key, bytes) or not isinstance(value, bytes):
        return False
    return checksum(*names, len(key), body=key + value) == check  # type: ignore[arg-type] # they are all texts


def encode_key(key: str) -> bytes:
    """Keys may hold file names that are not UTF-8 (lone surrogates): stored as bytes."""
    return key.encode("utf-8", "surrogatepass")


def decode_key(key: bytes) -> str:
    """The way back."""
    return key.decode("utf-8", "surrogatepass")
