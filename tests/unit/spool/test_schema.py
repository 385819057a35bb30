from __future__ import annotations

import apsw
import pytest

from agent.errors import ConfigError
from agent.spool import schema
from agent.spool.spool import Spool


def empty():
    """Open a file in memory with what is set before its tables are made."""
    connection = apsw.Connection(":memory:")
    connection.pragma("auto_vacuum", "incremental")
    return connection


def add_column(connection):
    """Migrate a later version, as one may come."""
    connection.execute("ALTER TABLE drops ADD COLUMN since INTEGER NOT NULL DEFAULT 7")


def test_older_file_is_brought_forward_with_its_content():
    """Each missing step runs once, in order, in one transaction; rows of the old format are still there."""
    connection = empty()
    assert schema.migrate(connection) == 0
    connection.execute("INSERT INTO drops VALUES ('files', 'oversized', 3)")
    assert schema.migrate(connection, (*schema.MIGRATIONS, add_column)) == 1
    assert connection.pragma("user_version") == 2
    assert connection.execute("SELECT * FROM drops").get == ("files", "oversized", 3, 7)
    assert schema.migrate(connection, (*schema.MIGRATIONS, add_column)) == 2


def test_failing_step_leaves_the_old_version():
    """A migration that fails leaves the file as it was."""
    connection = empty()
    schema.migrate(connection)

    def broken(_connection):
        raise apsw.FullError("no room")

    with pytest.raises(apsw.FullError):
        schema.migrate(connection, (*schema.MIGRATIONS, add_column, broken))
    assert connection.pragma("user_version") == 1
    schema.verify(connection)


async def test_newer_file_is_refused_politely(tmp_path):
    """A spool that a newer agent wrote is left alone, with a message that says what to do."""
    spool = await Spool.open(tmp_path)
    await spool.close()
    connection = apsw.Connection(str(tmp_path / "spool.db"))
    connection.pragma("user_version", 99)
    connection.execute("CREATE TABLE of_later(x)")
    connection.close()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"format 99.*newer agent"):
            await Spool.open(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir() if "corrupt" in file.name) == []


def test_foreign_tables_are_damage():
    """A file whose tables are not those of its format is treated as damaged."""
    connection = empty()
    schema.migrate(connection)
    connection.execute("CREATE TABLE other(x)")
    with pytest.raises(apsw.CorruptError):
        schema.verify(connection)
