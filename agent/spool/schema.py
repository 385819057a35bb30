"""The tables of the spool file, and how an older file becomes a newer one."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw

from agent.crash import crash_point
from agent.errors import ConfigError
from agent.record import Owner
from agent.spool import positions
from agent.spool.checksum import checksum
from agent.spool.quota import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Migration = Callable[[apsw.Connection], None]
    Tables = list[tuple[apsw.SQLiteValue, ...]]

APPLICATION_ID: Final = 0x4F555452
"""`OUTR`, in the header of every spool file."""

# `body` stands last, so that reading the other columns never walks its overflow pages. `only` names the one destination a row is
# meant for (a dead letter put back); NULL = all. `digest` covers the body and every other column. The index holds all that
# counting needs, so that counting never touches the bodies.
# `positions` is stored twice, on different pages: it alone can't be rebuilt from other data.
_VERSION_1: Final = """
CREATE TABLE rows(
  seq INTEGER PRIMARY KEY, signal TEXT NOT NULL, source TEXT NOT NULL, records INTEGER NOT NULL, raw_size INTEGER NOT NULL,
  stored_ns INTEGER NOT NULL, replayable INTEGER NOT NULL, only TEXT, size INTEGER NOT NULL, digest INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX rows_by_signal ON rows(signal, seq, source, records, size, only);
CREATE INDEX rows_evictable ON rows(seq) WHERE replayable = 0;
CREATE TABLE positions(
  source TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, digest INTEGER NOT NULL, PRIMARY KEY(source, key)) WITHOUT ROWID;
CREATE TABLE positions_mirror(
  source TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, digest INTEGER NOT NULL, PRIMARY KEY(source, key)) WITHOUT ROWID;
CREATE TABLE cursors(
  destination TEXT NOT NULL, signal TEXT NOT NULL, seq INTEGER NOT NULL, digest INTEGER NOT NULL,
  PRIMARY KEY(destination, signal)) WITHOUT ROWID;
CREATE TABLE ledger(
  source TEXT NOT NULL, destination TEXT NOT NULL, signal TEXT NOT NULL, accepted INTEGER NOT NULL DEFAULT 0,
  sent INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0, dead_lettered INTEGER NOT NULL DEFAULT 0,
  evicted INTEGER NOT NULL DEFAULT 0, digest INTEGER NOT NULL, PRIMARY KEY(source, destination, signal)) WITHOUT ROWID;
CREATE TABLE drops(source TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY(source, reason)) WITHOUT ROWID;
CREATE TABLE losses(
  kind TEXT NOT NULL, source TEXT NOT NULL, destination TEXT NOT NULL, signal TEXT NOT NULL, reason TEXT NOT NULL,
  count INTEGER NOT NULL, PRIMARY KEY(kind, source, destination, signal, reason)) WITHOUT ROWID;
CREATE TABLE dead_letters(
  id INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL, signal TEXT NOT NULL, source TEXT NOT NULL, destination TEXT NOT NULL,
  reason TEXT NOT NULL, at_ns INTEGER NOT NULL, records INTEGER NOT NULL, raw_size INTEGER NOT NULL, size INTEGER NOT NULL,
  digest INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX dead_letters_size ON dead_letters(size);
CREATE TABLE state(id INTEGER PRIMARY KEY CHECK (id = 1), commit_id INTEGER NOT NULL, last_seq INTEGER NOT NULL);
INSERT INTO state VALUES (1, 0, 0);
"""


# `owner` says who keeps a position (`positions.Owner`); version 1 had prefixes for that, in the key or in the source's name.
_VERSION_2: Final = """
CREATE TABLE positions(
  owner TEXT NOT NULL, name TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, digest INTEGER NOT NULL,
  PRIMARY KEY(owner, name, key)) WITHOUT ROWID;
CREATE TABLE positions_mirror(
  owner TEXT NOT NULL, name TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, digest INTEGER NOT NULL,
  PRIMARY KEY(owner, name, key)) WITHOUT ROWID;
"""


def _create(connection: apsw.Connection) -> None:
    """Version 0 is the empty file."""
    connection.execute(_VERSION_1)
    connection.pragma("application_id", APPLICATION_ID)


def _give_positions_owners(connection: apsw.Connection) -> None:
    """Version 2. The tables that are dropped, the last one first, leave their root pages to the new ones: no other table moves."""
    for table in positions.TABLES:
        connection.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    connection.execute(_VERSION_2)
    for table in reversed(positions.TABLES):
        old = connection.execute(f"SELECT source, key, value, digest FROM {table}_1")  # noqa: S608 constant
        connection.executemany(f"REPLACE INTO {table} VALUES (?, ?, ?, ?, ?)", _with_owners(old))  # noqa: S608 constant
        connection.execute(f"DROP TABLE {table}_1")


def _with_owners(old: Iterable[tuple[apsw.SQLiteValue, ...]]) -> Iterator[tuple[apsw.SQLiteValue, ...]]:
    """Yield rows of version 1 as rows of version 2. A wrong checksum stays wrong, so that the check of the small tables finds it."""
    for source, key, value, digest in old:
        if isinstance(source, str) and isinstance(key, bytes) and isinstance(value, bytes) and isinstance(digest, int):
            error = digest ^ checksum(source, len(key), body=key + value)
            owner, name, inner = _owner(source, key)
            yield owner, name, inner, value, error ^ checksum(owner, name, len(inner), body=inner + value)


def _owner(source: str, key: bytes) -> tuple[Owner, str, bytes]:
    """Return whose a position of version 1 is, with the name and the key that it has from then on."""
    if source == "configured destinations":
        return Owner.SPOOL, "", key
    if source.startswith("destination "):
        return Owner.EXPORTER, source.removeprefix("destination "), key
    if key == b"host:ahead":
        return Owner.INTAKE, source, b"ahead"
    if key.startswith(b"host:sentry:"):
        return Owner.ISSUES, source, key.removeprefix(b"host:sentry:")
    return Owner.SOURCE, source, key


MIGRATIONS: Final[tuple[Migration, ...]] = (_create, _give_positions_owners)
"""The n-th function makes version n + 1 out of version n. Each changes the tables: they show the version of a damaged file."""

VERSION: Final = len(MIGRATIONS)


def migrate(connection: apsw.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Bring the file to the newest version in one transaction and return the version it had.

    `apsw.CorruptError`: the tables are not those of the version that the file says. ConfigError: a newer agent wrote this file, and this
    one would not understand it.
    """
    version = check(connection, migrations)
    if version == len(migrations):
        return version
    with connection:
        for step in migrations[version:]:
            step(connection)
        connection.pragma("user_version", len(migrations))
        crash_point("spool.migrate")
    return version


def check(connection: apsw.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Return the file's version, which its tables confirm: a flipped bit in the number must not start a migration.

    Errors as of `migrate`. Writes nothing: the file may belong to another program.
    """
    version, found = int(connection.pragma("user_version")), tables(connection)
    known = [model(migrations[:number]).tables for number in range(len(migrations) + 1)]
    if 0 <= version < len(known) and found == known[version]:
        return version
    if version < len(known) or found in known or int(connection.pragma("application_id")) != APPLICATION_ID:
        raise apsw.CorruptError(f"the tables of the spool file are not those of its format {version}")
    raise ConfigError(
        f"the spool has format {version}, this agent knows formats up to {len(migrations)}: start the newer agent that wrote it, "
        "or give this one another state directory"
    )


def is_of(connection: apsw.Connection, version: int) -> bool:
    """Whether the tables can be read and are those that a version makes: a flipped bit in the schema may still parse."""
    try:
        return tables(connection) == model(MIGRATIONS[:version]).tables
    except (apsw.Error, UnicodeDecodeError):
        return False


def first_page(version: int = VERSION) -> bytes:
    """Return the first page of an empty file of a version."""
    return model(MIGRATIONS[:version]).first_page


class Model(NamedTuple):
    """An empty spool of a version."""

    tables: Tables
    first_page: bytes
    """Bytes 18 and 19 say that it has no log, as a file in memory has none."""


@functools.cache
def model(migrations: tuple[Migration, ...] = MIGRATIONS) -> Model:
    """Make an empty spool and describe it."""
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        connection.pragma("page_size", PAGE_SIZE)
        connection.pragma("auto_vacuum", "incremental")
        for step in migrations:
            step(connection)
        connection.pragma("user_version", len(migrations))
        return Model(tables(connection), connection.serialize("main")[:PAGE_SIZE])


def tables(connection: apsw.Connection) -> Tables:
    """Read the schema, with the pages where its tables begin: these never move, because tables are only ever added."""
    return list(connection.execute("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY name"))
