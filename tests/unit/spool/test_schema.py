from __future__ import annotations

import gzip
from pathlib import Path

import apsw
import pytest

from agent.errors import ConfigError
from agent.record import Owner
from agent.spool import positions, schema
from agent.spool.spool import Spool
from agent.spool.values import Mended, SalvageReport

FORMAT_1 = Path(__file__).parents[2] / "golden" / "spool" / "format-1.db.gz"
"""Made by an agent that knew format 1: 24 rows of a log source, one of an observed target, five settled, a dead letter."""


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
    assert schema.migrate(connection, (*schema.MIGRATIONS, add_column)) == schema.VERSION
    assert connection.pragma("user_version") == schema.VERSION + 1
    assert connection.execute("SELECT * FROM drops").get == ("files", "oversized", 3, 7)
    assert schema.migrate(connection, (*schema.MIGRATIONS, add_column)) == schema.VERSION + 1


def test_failing_step_leaves_the_old_version():
    """A migration that fails leaves the file as it was."""
    connection = empty()
    schema.migrate(connection)

    def broken(_connection):
        raise apsw.FullError("no room")

    with pytest.raises(apsw.FullError):
        schema.migrate(connection, (*schema.MIGRATIONS, add_column, broken))
    assert connection.pragma("user_version") == schema.VERSION
    assert schema.is_of(connection, schema.VERSION)


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
        schema.check(connection)


def test_an_older_agent_refuses_the_present_format(monkeypatch):
    """It says which formats it knows and what to do, and changes nothing."""
    connection = empty()
    schema.migrate(connection)
    with pytest.raises(ConfigError, match="has format 2, this agent knows formats up to 1: start the newer agent"):
        schema.migrate(connection, schema.MIGRATIONS[:1])
    assert schema.is_of(connection, schema.VERSION)


@pytest.fixture
def older(tmp_path):
    """A state directory with a file of format 1; returns the path of the file, which is not open."""
    file = tmp_path / "state" / "spool.db"
    file.parent.mkdir()
    file.write_bytes(gzip.decompress(FORMAT_1.read_bytes()))
    return file


def is_whole(desk, *, all_rows=True):
    """Whether everything that the file of format 1 held is there: positions with their owners, rows, account."""
    found = {
        (owner, name): positions.read(desk.connection, owner, name)
        for owner, name in [
            (Owner.SOURCE, "app"), (Owner.SOURCE, "outrider.target"), (Owner.SOURCE, "outrider.resource"), (Owner.INTAKE, "app"),
            (Owner.ISSUES, "app"), (Owner.ISSUES, "outrider.target"), (Owner.EXPORTER, "otlp"), (Owner.SPOOL, ""),
        ]
    }  # fmt: skip
    files = found[Owner.SOURCE, "app"]
    assert (files.pop("file:/var/log/app.log"), files.pop("b\udcff"), len(files)) == (b"offset 23", b"not UTF-8", 20)
    assert found == {
        (Owner.SOURCE, "app"): files,
        (Owner.SOURCE, "outrider.target"): {"1:2": b"process"},
        (Owner.SOURCE, "outrider.resource"): {"service.instance.id": b"0b2c 17"},
        (Owner.INTAKE, "app"): {"ahead": b'{"file:a": 7}'},
        (Owner.ISSUES, "app"): {"window:KeyError": b"[23]", "ends": b"[1,2]"},
        (Owner.ISSUES, "outrider.target"): {"run:child": b"[3]"},
        (Owner.EXPORTER, "otlp"): {"told": b"4"},
        (Owner.SPOOL, ""): {"signals": b'{"otlp": ["logs"], "sentry": ["sentry.error"]}'},
    }
    assert schema.is_of(desk.connection, schema.VERSION)
    assert desk.ledger().violations() == ()
    if all_rows:
        assert desk.tables.session.registered == {("otlp", "logs"), ("sentry", "sentry.error")}
        assert (len(desk.drain("otlp")), len(desk.drain("sentry", "sentry.error"))) == (19, 1)
    return True


def test_a_file_of_format_1_goes_on(older, open_desk):
    """Each position has its owner in the column, none is lost or doubled; rows, cursors, account and what is configured stay."""
    desk = open_desk()
    assert desk.events == []
    assert is_whole(desk)
    desk.close()
    assert is_whole(open_desk(), all_rows=False)


@pytest.mark.parametrize("page", ["positions", "positions_mirror"])
def test_a_damaged_position_of_format_1_is_still_seen_as_damaged(older, open_desk, page):
    """The other copy serves, and that is reported, as it would have been without the change of format."""
    content = bytearray(older.read_bytes())
    connection = apsw.Connection(str(older))
    root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (page,)).get
    leaf = connection.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno LIMIT 1", (page,)).get
    connection.close()
    at = content.index(b"\x05" * 600, (leaf - 1) * 4096 if leaf != root else 0)
    content[at + 300] ^= 1
    older.write_bytes(content)
    desk = open_desk()
    assert [type(event) for event in desk.events] == [Mended]
    assert is_whole(desk)


@pytest.mark.parametrize("size", [100, 4096], ids=["header", "first page"])
def test_a_damaged_file_of_format_1_is_salvaged(older, open_desk, size):
    """It is read by the tables of its own format, also where they are gone, and what is saved is brought forward."""
    older.write_bytes(bytes(size) + older.read_bytes()[size:])
    desk = open_desk()
    assert [type(event) for event in desk.events] == [SalvageReport]
    assert not desk.events[0].positions_lost
    assert is_whole(desk)


def test_no_flipped_bit_in_the_header_of_format_1_loses_anything(older, open_desk):
    """A number that says another format is damage where the tables say otherwise."""
    content = older.read_bytes()
    for bit in [*range(0, 800, 151), *range(480, 512, 7)]:
        for path in older.parent.iterdir():
            path.unlink()
        older.write_bytes(content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :])
        desk = open_desk()
        assert is_whole(desk), bit
        desk.close()
