"""Positions of sources: kept twice, each with a checksum, because nothing else could tell what was read already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.spool.checksum import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import apsw

TABLES: Final = ("positions", "positions_mirror")


def write(connection: apsw.Connection, source: str, positions: Mapping[str, bytes | None]) -> None:
    """Store or forget positions, in both tables."""
    for key, value in positions.items():
        for table in TABLES:
            if value is None:
                connection.execute(f"DELETE FROM {table} WHERE source = ? AND key = ?", (source, encode_key(key)))  # noqa: S608 constant
            else:
                connection.execute(f"REPLACE INTO {table} VALUES (?, ?, ?, ?)", pack(source, encode_key(key), value))  # noqa: S608 constant


def remembered_as(destination: str) -> str:
    """The source name under which an exporter's positions stand: no component can have it."""
    return f"destination {destination}"


def read(connection: apsw.Connection, source: str) -> dict[str, bytes]:
    """Return a source's positions; a value whose checksum is wrong is taken from the other table."""
    found: dict[str, bytes] = {}
    for table in reversed(TABLES):
        rows = connection.execute(f"SELECT * FROM {table} WHERE source = ?", (source,))  # noqa: S608 constant
        found.update(intact(rows))
    return found


def intact(rows: Iterable[tuple[apsw.SQLiteValue, ...]]) -> Iterable[tuple[str, bytes]]:
    """Keep the pairs of key and value whose checksum is right."""
    for source, key, value, _digest in rows:
        if isinstance(source, str) and isinstance(key, bytes) and isinstance(value, bytes) and pack(source, key, value)[3] == _digest:
            yield decode_key(key), value


def pack(source: str, key: bytes, value: bytes) -> tuple[str, bytes, bytes, int]:
    """Make the stored form."""
    return source, key, value, digest(source, len(key), body=key + value)


def encode_key(key: str) -> bytes:
    """Keys may hold file names that are not UTF-8 (lone surrogates): stored as bytes."""
    return key.encode("utf-8", "surrogatepass")


def decode_key(key: bytes) -> str:
    """The way back."""
    return key.decode("utf-8", "surrogatepass")
