"""The tables of the spool file, and how an older file becomes a newer one."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw

from agent.crash import crash_point
from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    Migration = Callable[[apsw.Connection], None]
    Tables = list[tuple[apsw.SQLiteValue, ...]]

APPLICATION_ID: Final = 0x4F555452
"""`OUTR`, in the header of every spool file."""

PAGE_SIZE: Final = 4096
"""Bytes."""

# `body` stands last, so that reading the other columns never walks its overflow pages. `only` names the one destination a row is
# meant for (a dead letter put back); NULL = everybody. `digest` covers the body and every other column. The index holds all that
# counting needs, so that counting never touches the bodies.
# `positions` is stored twice, on different pages: of all that can be damaged it alone can't be got again from anywhere else.
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


def _create(connection: apsw.Connection) -> None:
    """Version 0 is the empty file."""
    connection.execute(_VERSION_1)
    connection.pragma("application_id", APPLICATION_ID)


MIGRATIONS: Final[tuple[Migration, ...]] = (_create,)
"""The n-th function makes version n + 1 out of version n. Each changes the tables: by them the version of a damaged file is told."""

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
    """Return the file's version, which its tables confirm: a flipped bit in the number would have us migrate a file that needs it not.

    Errors as of `migrate`. Writes nothing: the file may be somebody else's.
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


def verify(connection: apsw.Connection) -> None:
    """Raise `apsw.CorruptError` if the tables are not the ones this version makes: a flipped bit in the schema parses all the same."""
    if tables(connection) != model().tables:
        raise apsw.CorruptError("the tables of the spool file are not those of its format")


class Model(NamedTuple):
    """What an empty spool of a version is."""

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
