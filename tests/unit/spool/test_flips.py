"""A spool in which a value has another meaning than the rest of the file allows: it opens, with all that is undamaged, and says so."""

from __future__ import annotations

import contextlib
import os
import random
import shutil

import apsw
import pytest

from agent.record import Owner
from agent.spool import positions
from agent.spool.database import log_of
from agent.spool.repair.wal import committed
from agent.spool.values import SalvageReport, SpoolRemoved

ROWS = 6


def fill(desk, *, log):
    """Store rows of two records each with their positions; with `log`, some of them stand in the log alone, as after a kill."""
    desk.register("a", "b")
    for number in range(ROWS):
        desk.put(random.Random(number).randbytes(2500), records=2, positions={"file": b"%d" % number})
        if log and number == 2:
            desk.tables.db.checkpoint(truncate=True)
    desk.settle("a", desk.next("a"))
    if log:
        desk.kill()
    else:
        desk.close()


@pytest.fixture
def lay(desk):
    """Closes the spool and puts the files of another in its place, as a clean end or a kill has left them."""
    pristine = {}

    def put(*, log=False):
        if log not in pristine:
            if pristine:
                shutil.rmtree(desk.directory)
                desk.open()
            fill(desk, log=log)
            pristine[log] = {path.name: path.read_bytes() for path in desk.directory.iterdir() if path.name != "spool.ballast"}
        shutil.rmtree(desk.directory)
        desk.directory.mkdir()
        for file, content in pristine[log].items():
            (desk.directory / file).write_bytes(content)

    return put


@pytest.fixture
def damaged(desk, lay):
    """Opens such a spool with one bit of one file flipped; returns what is reported."""

    def flip(bit, *, name="spool.db", log=False):
        lay(log=log)
        with (desk.directory / name).open("r+b") as file:
            file.seek(bit // 8)
            byte = file.read(1)[0]
            file.seek(bit // 8)
            file.write(bytes([byte ^ 1 << bit % 8]))
        desk.open()
        return salvages(desk)

    return flip


def salvages(desk):
    """The reports of salvages since it was opened."""
    return [event for event in desk.events if isinstance(event, SalvageReport)]


def is_whole(desk):
    """Whether every row, cursor and position is there, the account balances, and another row can be stored."""
    return (
        positions.read(desk.connection, Owner.SOURCE, "files") == {"file": b"%d" % (ROWS - 1)}
        and desk.drain("a") == list(range(2, ROWS + 1))
        and desk.drain("b") == list(range(1, ROWS + 1))
        and desk.ledger().violations() == ()
        and desk.put() == ROWS + 1
    )


@pytest.mark.parametrize("byte", [0, 17, 18, 19, 21, 31, 36, 47, 55, 59, 60, 62, 63, 67, 71, 80])
def test_a_wrong_byte_of_the_header_costs_nothing(desk, damaged, byte):
    """A header that SQLite takes for that of a newer, a read-only or an empty file is damage where the rest contradicts it; the file is kept."""
    [report] = damaged(8 * byte + 2)
    assert report.moved_to.exists()
    assert is_whole(desk)


@pytest.mark.parametrize("byte", [24, 40, 51, 99])
def test_counters_and_caches_may_be_wrong(desk, damaged, byte):
    """A flipped bit in a field that does not concern the data is not damage."""
    assert damaged(8 * byte + 2) == []
    assert is_whole(desk)


@pytest.mark.parametrize("byte", [0, 3, 7, 9, 13, 16, 24, 31, 40, 48])
def test_a_wrong_byte_of_the_log_undoes_nothing_that_it_holds(desk, damaged, byte):
    """A log that SQLite ignores, from its header on, is still read, and kept."""
    [report] = damaged(8 * byte, name="spool.db-wal", log=True)
    assert log_of(report.moved_to).exists()
    assert is_whole(desk)


@pytest.mark.parametrize("byte", [0, 18, 47, 62])
def test_the_header_may_be_wrong_while_there_is_a_log(desk, damaged, byte):
    """The log is laid over the damaged file, or replaces what is wrong in it."""
    damaged(8 * byte + 1, log=True)
    assert is_whole(desk)


def test_a_bit_in_the_middle_of_the_log_costs_the_row_that_it_hits(desk, damaged):
    """Frames behind a damaged one are saved; the row that is hit is counted, and its copy in the damaged log is kept."""
    for offset in (20_000, 30_000, 33_000):
        [report] = damaged(8 * offset, name="spool.db-wal", log=True)
        assert positions.read(desk.connection, Owner.SOURCE, "files") == {"file": b"5"}
        sent = desk.drain("b")
        assert ROWS - 1 <= len(sent) <= ROWS
        assert desk.line("b").dead_lettered == 2 * (ROWS - len(sent))
        assert report.records_lost >= 0
        assert desk.ledger().violations() == ()
        desk.close()


def test_after_a_power_cut_the_log_ends_where_it_is_torn(desk, lay):
    """After a restart of the machine, frames that did not reach the disk are not damage: rows and positions end together there."""
    lay(log=True)
    (desk.directory / "spool.lock").write_text('{"pid": 1, "host": "h", "started": "", "wal": true, "spool": true, "boot": "another"}')
    with log_of(desk.file.home.file).open("r+b") as file:
        file.seek(20_000)
        file.write(b"\xff" * 512)
    desk.open()
    assert desk.events == []
    rows = len(desk.drain("b"))
    assert rows < ROWS
    assert positions.read(desk.connection, Owner.SOURCE, "files") == {"file": b"%d" % (rows - 1)}


@pytest.mark.parametrize("size", [1, 50, 99, 100, 511, 4095, 4096, 20_000])
def test_a_file_that_was_cut_off_is_kept_and_the_agent_starts(desk, lay, size):
    """However little is left of the file, the agent starts, reports it and stores."""
    lay()
    os.truncate(desk.file.home.file, size)
    desk.open()
    [report] = salvages(desk)
    assert report.moved_to.stat().st_size == size
    desk.register("a")
    assert desk.put()


@pytest.mark.parametrize("gone", [True, False])
def test_an_emptied_file_is_read_from_its_log(desk, lay, gone):
    """Without the file, what the log holds is saved."""
    lay(log=True)
    desk.file.home.file.unlink()
    if not gone:
        desk.file.home.file.touch()
    desk.open()
    assert salvages(desk)
    assert positions.read(desk.connection, Owner.SOURCE, "files") == {"file": b"5"}


@pytest.mark.parametrize("gone", [True, False])
def test_a_spool_that_somebody_removed_is_reported(desk, lay, gone):
    """An empty file, or none, where a spool was: what was pending is gone, and that is reported once."""
    lay()
    desk.file.home.file.unlink()
    if not gone:
        desk.file.home.file.touch()
    desk.open()
    assert [event.path for event in desk.events if isinstance(event, SpoolRemoved)] == [desk.file.home.file]
    desk.close()
    desk.open()
    assert desk.events == []


@pytest.mark.parametrize("version", [0, 1, 7])
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_somebody_else_s_database_is_kept_as_it_is(desk, lay, version, journal):
    """Another program's SQLite file in the place of the spool is moved aside, unchanged, and never taken for a newer agent's."""
    lay()
    desk.file.home.file.unlink()
    other = apsw.Connection(str(desk.file.home.file))
    other.pragma("journal_mode", journal)
    other.execute("CREATE TABLE rows(name, address); INSERT INTO rows VALUES ('Ada', 'London')")
    other.pragma("user_version", version)
    other.close()
    content = desk.file.home.file.read_bytes()
    desk.open()
    [report] = salvages(desk)
    assert report.moved_to.read_bytes() == content
    assert desk.put() == 1


def test_a_text_file_in_the_place_of_the_spool(desk, lay):
    """Any other file is moved aside, unchanged."""
    lay()
    desk.file.home.file.write_text("notes\n" * 2000)
    desk.open()
    [report] = salvages(desk)
    assert report.moved_to.read_text() == "notes\n" * 2000
    assert desk.put() == 1


@pytest.mark.parametrize("said", [b"", b"../../elsewhere", b"\xff\xfe", b"x" * 5000, b"spool.corrupt-20260101T000000Z.db"])
@pytest.mark.parametrize("log", [True, False])
def test_a_damaged_note_of_a_salvage_does_not_stop_it(desk, lay, said, log):
    """The note for the next start may be damaged too: the salvage is still done, within the directory."""
    lay(log=log)
    (desk.directory / "spool.salvage").write_bytes(said)
    desk.open()
    assert is_whole(desk)
    assert sorted(path.name for path in desk.directory.parent.iterdir()) == ["state"]


def test_more_free_pages_than_pages_are_damage(desk, damaged):
    """A number of free pages that can't be so is not believed: the spool would take itself for full, or for empty."""
    assert damaged(8 * 36 + 5)
    assert is_whole(desk)


def test_a_sound_log_is_counted_as_sqlite_does(desk):
    """The number of frames is the one that SQLite finds, and pages that were written twice have their newest bytes."""
    fill(desk, log=True)
    with contextlib.closing(apsw.Connection(str(desk.file.home.file))) as connection:
        connection.pragma("user_version")
        frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        found = committed(log_of(desk.file.home.file))
        assert (found.frames, len(found.pages) < frames) == (frames, True)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        file, log = desk.file.home.file.read_bytes(), log_of(desk.file.home.file).read_bytes()
        assert all(file[(page - 1) * 4096 : page * 4096] == log[at : at + 4096] for page, at in found.pages.items())
