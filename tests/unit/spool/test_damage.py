from __future__ import annotations

import json
import os
import shutil

import pytest

from agent.record import Owner
from agent.spool import dead_letters, positions
from agent.spool.repair.carve import varint
from agent.spool.values import LogRemoved, Mended, Quarantined, Restored, SalvageReport

PAGE = 4096


def filled(desk, rows=20):
    """Store rows and positions, deliver some, write the log back."""
    desk.register("a", "b")
    for number in range(rows):
        desk.put(os.urandom(6000), records=2, positions={"file": b"%d" % number})
    for _ in range(4):
        desk.settle("a", desk.next("a"))
    desk.tables.db.checkpoint(truncate=True)


def overwrite(desk, offset, content):
    """Close, change bytes of the file, open again."""
    desk.close()
    with desk.file.home.file.open("r+b") as file:
        file.seek(offset)
        file.write(content)
    desk.open()


def reports(desk, kind=SalvageReport):
    """List events of a kind since opening."""
    return [event for event in (*desk.events, *desk.file.take_events()) if isinstance(event, kind)]


def body_offset(desk, seq):
    """Find where a row's body lies in the file."""
    body = desk.connection.execute("SELECT body FROM rows WHERE seq = ?", (seq,)).get
    return desk.file.home.file.read_bytes().index(body[-1000:])


def test_flipped_bit_in_a_body_is_quarantined(desk):
    """A row whose bytes changed is never exported: it becomes a dead letter of reason `corrupt`, other rows are delivered, the account balances."""
    filled(desk)
    offset = body_offset(desk, 6)
    original = desk.file.home.file.read_bytes()[offset]
    overwrite(desk, offset, bytes([original ^ 0x10]))
    assert desk.drain("a") == [5, *range(7, 21)]
    assert desk.drain("b") == [*range(1, 6), *range(7, 21)]
    assert [event.seq for event in reports(desk, Quarantined)] == [6]
    assert desk.ledger().violations() == ()
    assert desk.line("a").dead_lettered == desk.line("b").dead_lettered == 2
    (letter,) = dead_letters.listed(desk.connection)
    assert (letter.reason, letter.destination) == ("corrupt", "")


def test_damaged_letter_is_not_sent_again(desk):
    """A quarantined row can't be put back."""
    filled(desk)
    overwrite(desk, body_offset(desk, 6), b"\0\0\0")
    desk.drain("a")
    with pytest.raises(Exception, match="damaged"):
        desk.ask("dead-letters/requeue", id="1")


@pytest.mark.parametrize("damage", [bytes(100), b"not a database" * 10, os.urandom(PAGE)])
def test_destroyed_header_costs_nothing(desk, damage):
    """With the first page gone every row, position and cursor is saved; the damaged file is kept aside."""
    filled(desk)
    overwrite(desk, 0, damage)
    (report,) = reports(desk)
    assert (report.rows, report.rows_damaged, report.records_lost, report.positions_lost) == (20, 0, 0, False)
    assert report.moved_to.exists()
    assert positions.read(desk.connection, Owner.SOURCE, "files") == {"file": b"19"}
    assert desk.drain("a") == list(range(5, 21))
    assert desk.ledger().violations() == ()


def test_rows_are_found_without_the_tree(desk):
    """With the root of the rows' tree destroyed the rows are found on their pages; what had been delivered is not sent again."""
    filled(desk, rows=40)
    root = desk.connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'rows'").get
    overwrite(desk, (root - 1) * PAGE, bytes(PAGE))
    sent = desk.drain("a")
    assert sent == list(range(5, 41))
    assert desk.drain("b") == list(range(1, 41))
    assert reports(desk)
    assert desk.ledger().violations() == ()


def test_truncated_file_keeps_what_is_left(desk):
    """A file cut in half opens with its intact rows, counts the lost records, and takes new rows."""
    filled(desk, rows=60)
    desk.close()
    os.truncate(desk.file.home.file, desk.file.home.file.stat().st_size // 2)
    desk.open()
    sent = desk.drain("b")
    assert 20 <= len(sent) < 60
    desk.put(b"fresh")
    assert len(desk.drain("b")) == 1
    assert desk.ledger().violations() == ()
    assert desk.line("b").dead_lettered == 2 * (60 - len(sent))


def test_lost_positions_are_told(desk):
    """Both copies of the positions destroyed: the report says that they may be missing."""
    filled(desk)
    for name in ("positions", "positions_mirror"):
        root = desk.connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).get
        desk.close()
        with desk.file.home.file.open("r+b") as file:
            file.seek((root - 1) * PAGE)
            file.write(os.urandom(PAGE))
        if name == "positions":
            desk.open()
            assert positions.read(desk.connection, Owner.SOURCE, "files") == {"file": b"19"}
            assert not reports(desk)[0].positions_lost
            desk.tables.db.checkpoint(truncate=True)
    second = (root - 1) * PAGE
    first_root = (5) * PAGE
    with desk.file.home.file.open("r+b") as file:
        for offset in (first_root, second):
            file.seek(offset)
            file.write(os.urandom(PAGE))
    desk.open()
    assert reports(desk)[0].positions_lost


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("UPDATE positions SET value = x'00'", "positions"),
        ("DELETE FROM positions_mirror", "positions"),
        ("UPDATE cursors SET seq = 1000000 WHERE destination = 'a'", "cursors"),
        ("UPDATE ledger SET sent = sent + 64 WHERE destination = 'a'", "ledger"),
        ("UPDATE ledger SET source = 'fules' WHERE destination = 'b'", "ledger"),
    ],
)
def test_wrong_checksum_in_a_small_table_is_mended(desk, sql, table):
    """A changed position, cursor or counter is noticed at the start: positions come from their copy, no row is passed over, the account balances."""
    filled(desk)
    desk.connection.execute(sql)
    desk.close()
    desk.open()
    assert [event.tables for event in reports(desk, Mended)] == [(table,)]
    assert positions.read(desk.connection, Owner.SOURCE, "files") == {"file": b"19"}
    assert desk.drain("a")[-1] == desk.drain("b")[-1] == 20
    assert desk.ledger().violations() == ()
    desk.close()
    desk.open()
    assert desk.events == []


@pytest.mark.parametrize("intruder", [None, b"somebody else's file"])
def test_file_that_vanishes_is_written_anew(desk, intruder):
    """A spool file deleted or replaced while in use is restored from the open one, with everything in it, and the intruder kept."""
    filled(desk)
    desk.put(b"in the log only", positions={"file": b"20"})
    desk.file.home.file.unlink()
    if intruder is not None:
        desk.file.home.file.write_bytes(intruder)
    desk.maintenance._looked = 0
    desk.maintenance.look_after(idle=False)
    (event,) = reports(desk, Restored)
    assert event.reason == ("deleted" if intruder is None else "replaced")
    assert (event.moved_to is None) == (intruder is None)
    desk.put(b"afterwards")
    desk.close()
    desk.open()
    assert positions.read(desk.connection, Owner.SOURCE, "files") == {"file": b"20"}
    assert len(desk.drain("a")) == 18
    assert desk.ledger().violations() == ()


def test_directory_that_vanishes_is_made_anew(desk):
    """The whole state directory deleted while in use: it is made again, with everything in it."""
    filled(desk)
    shutil.rmtree(desk.directory)
    desk.maintenance._looked = 0
    desk.maintenance.look_after(idle=False)
    desk.put(b"afterwards", positions={"file": b"20"})
    assert [event.reason for event in reports(desk, Restored)] == ["deleted"]
    desk.close()
    desk.open()
    assert positions.read(desk.connection, Owner.SOURCE, "files") == {"file": b"20"}
    assert len(desk.drain("b")) == 21


def test_removed_log_is_noticed(desk):
    """A log that was removed after a kill is reported: its commits are undone, rows and positions together."""
    filled(desk)
    desk.put(b"in the log only", positions={"file": b"20"})
    state = json.loads((desk.directory / "spool.lock").read_text())
    desk.kill()
    (desk.directory / "spool.lock").write_text(json.dumps(state))
    (desk.directory / "spool.db-wal").unlink()
    desk.open()
    assert reports(desk, LogRemoved)
    assert positions.read(desk.connection, Owner.SOURCE, "files") == {"file": b"19"}
    assert desk.drain("b") == list(range(1, 21))


def test_clean_start_tells_nothing(desk):
    """Neither a clean stop nor a kill leaves anything to report."""
    filled(desk)
    desk.close()
    desk.open()
    assert desk.events == []
    desk.put(b"x")
    desk.kill()
    desk.open()
    assert desk.events == []


def test_only_two_damaged_files_are_kept(desk):
    """Damaged files don't pile up: the newest two stay."""
    filled(desk)
    for _ in range(4):
        desk.tables.db.checkpoint(truncate=True)
        overwrite(desk, 0, bytes(100))
    assert len(list(desk.directory.glob("spool.corrupt-*.db"))) == 2


@pytest.mark.parametrize(
    ("data", "value", "size"), [(b"\x00", 0, 1), (b"\x7f", 127, 1), (b"\x81\x00", 128, 2), (b"\xff" * 9, 2**64 - 1, 9)]
)
def test_varint_is_sqlites(data, value, size):
    """The variable-length integer of the file format: seven bits a byte, the ninth byte whole."""
    assert varint(data, 0) == (value, size)
