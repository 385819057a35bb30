from __future__ import annotations

import asyncio
import errno
import threading

import apsw
import pytest

from agent.errors import SpoolError, SpoolFullError
from agent.record import Payload, Signal
from agent.retry import Backoff
from agent.spool import database, room, rows
from agent.spool import file as file_module
from agent.spool.ballast import Ballast
from agent.spool.checksum import pack
from agent.spool.database import Database, Trouble
from agent.spool.file import NotOpenError
from agent.spool.spool import Spool
from agent.spool.stat import stat as figures
from agent.spool.tables import Tables
from agent.spool.values import Cursor, State, StateChanged


@pytest.fixture
def failing(monkeypatch):
    """Make commits fail: `failing(error, before, times)` raises before or after the commit really happened."""
    real = Database.commit

    def arrange(error, *, before, times=1):
        left = [times]

        def commit(self, last_seq):
            if left[0] and before:
                left[0] -= 1
                raise error
            real(self, last_seq)
            if left[0]:
                left[0] -= 1
                raise error

        monkeypatch.setattr(Database, "commit", commit)

    return arrange


def count(desk):
    """Count the stored rows."""
    return desk.connection.execute("SELECT count(*) FROM rows").get


@pytest.mark.parametrize("before", [True, False])
def test_failed_commit_is_decided_by_the_file(desk, failing, before):
    """A commit that failed is stored exactly once, whether it had really happened or not: the file is asked."""
    failing(apsw.IOError("disk I/O error"), before=before)
    assert desk.put() == 1
    assert count(desk) == 1
    assert desk.put() == 2


def test_sender_is_woken_for_a_commit_that_turned_out_to_be_there(desk, failing):
    """Rows of a commit that was found stored after its failure are announced like any other."""
    failing(apsw.IOError("disk I/O error"), before=False)
    desk.put()
    assert desk.tables.session.arrivals["logs"] == 1


def test_lasting_failure_says_not_stored(desk, failing):
    """When no other try helps, the caller gets an error, and nothing is stored."""
    failing(apsw.IOError("disk I/O error"), before=True, times=10)
    with pytest.raises(SpoolError, match="can't be written"):
        desk.put()
    assert count(desk) == 0


def test_full_disk_gives_up_the_ballast_before_it_refuses(desk, failing):
    """On a full disk the ballast goes first, and the write is tried again."""
    assert desk.file.home.ballast.size > 0
    failing(apsw.FullError("database or disk is full"), before=True, times=2)
    assert desk.put() == 1
    assert desk.file.home.ballast.size == 0


def test_full_disk_refuses_and_recovers(desk, failing):
    """A disk that stays full refuses appends; the state is reported, and the next stored row clears it."""
    failing(apsw.FullError("database or disk is full"), before=True, times=3)
    with pytest.raises(SpoolFullError, match="the disk is full"):
        desk.put()
    assert desk.file.condition.full
    assert StateChanged(State.DEGRADED, "the disk is full") in desk.file.take_events()
    desk.file.condition.lift_at = desk.file.condition._try_at = 0.0
    desk.maintenance.look()
    assert not desk.file.condition.full
    desk.put()
    assert desk.file.condition.state is State.OK
    assert desk.file.home.ballast.size > 0


def test_group_is_taken_apart_when_it_fails(desk, failing):
    """Jobs whose common transaction failed are each tried alone, and each is stored once."""
    failing(apsw.FullError("full"), before=True)
    packed = [pack(Payload(Signal.LOGS, 1, b"x"))]
    jobs = [lambda tables, key=key: tables.append("f", packed, {key: b"1"}, {}, replayable=True) for key in "abc"]
    assert desk.file.write(jobs) == [1, 2, 3]
    assert count(desk) == 3


@pytest.mark.parametrize(
    ("error", "system_errno", "meaning"),
    [
        (apsw.FullError(), 0, Trouble.FULL),
        (apsw.IOError(), errno.EFBIG, Trouble.FULL),
        (apsw.IOError(), errno.ENOSPC, Trouble.FULL),
        (apsw.IOError(), errno.EIO, Trouble.IO),
        (apsw.CorruptError(), 0, Trouble.DAMAGED),
        (apsw.NotADBError(), 0, Trouble.DAMAGED),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), 0, Trouble.DAMAGED),
        (apsw.BusyError(), 0, Trouble.LOCKED),
        (apsw.CantOpenError(), 0, Trouble.IO),
    ],
)
def test_errors_are_understood(error, system_errno, meaning):
    """Each error of SQLite has one meaning for us; a size limit shows only in the errno."""
    assert database.trouble(error, system_errno) is meaning


@pytest.mark.parametrize(("code", "known"), [(apsw.SQLITE_IOERR_WRITE, errno.EFBIG), (apsw.SQLITE_IOERR_READ, 0)])
def test_errno_of_a_failed_write_is_its_own(code, known):
    """SQLite sets the errno of a failed write; that of a failed read may be of an earlier call."""
    error = apsw.IOError("disk I/O error")
    error.extendedresult, error.system_errno = code, errno.EFBIG
    assert database.reason(error) == known


def test_sqlite_is_one_without_the_wal_bug():
    """The SQLite in use is newer than those that can corrupt a WAL (3.7.0 to 3.51.2)."""
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51, 3)


def test_row_for_one_destination_is_evicted_for_that_one_only(desk):
    """A row put back for one destination counts as evicted for that one only."""
    from agent.spool.values import DeadLetter

    desk.register("a", "b")
    desk.put(records=2)
    desk.settle("a", desk.next("a"), [DeadLetter("no", 2)])
    seq = desk.ask("dead-letters/requeue", id="1")
    desk.do(lambda tables: room.evict(tables, rows.head(tables.connection, seq), "test"))
    assert (desk.line("a").evicted, desk.line("b").evicted) == (2, 0)
    assert desk.ledger().violations() == ()


def test_stat_says_how_it_is(desk):
    """The figures of the spool: sizes, rows, cursors with what is pending, orphans, versions."""
    desk.register("a")
    desk.put(b"x" * 100, records=3)
    stat = figures(desk.file)
    assert (stat.state, stat.rows, stat.records, stat.dead_letters, stat.orphans) == (State.OK, 1, 3, 0, ())
    assert stat.cursors == (Cursor("a", "logs", 0, 3),)
    assert stat.used <= stat.quota == 64 << 20
    assert stat.oldest_ns > 1_700_000_000 * 10**9
    assert stat.ballast_size == desk.tables.session.granted.ballast


def test_ballast_is_given_up_and_taken_again(tmp_path):
    """The ballast really takes its bytes, is gone when dropped, and comes back."""
    ballast = Ballast(tmp_path / "ballast", 1 << 20)
    assert ballast.take()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= 1 << 20
    assert ballast.drop()
    assert not ballast.drop()
    assert ballast.size == 0
    assert ballast.take()


def test_row_that_was_evicted_while_it_was_being_sent_is_accounted_once(desk):
    """Settling it moves the cursor and leaves the account as it is: accepted = sent + … + pending holds."""
    desk.register("a")
    seq = desk.put(records=2, replayable=False)
    row = desk.next("a")
    desk.do(lambda tables: room.evict(tables, rows.head(tables.connection, seq), "quota"))

    desk.settle("a", row)

    assert desk.ledger().violations() == ()
    assert (desk.line("a").evicted, desk.line("a").sent, desk.line("a").balance) == (2, 0, 0)
    assert desk.put() > seq
    assert desk.next("a").seq > seq


@pytest.fixture
def closed(monkeypatch):
    """While it is set, the file can't be opened."""
    gate = threading.Event()
    real = Tables.open

    def open_(path, session, **options):
        if gate.is_set():
            raise apsw.CantOpenError("unable to open database file")
        return real(path, session, **options)

    monkeypatch.setattr(Tables, "open", open_)
    monkeypatch.setattr(file_module, "BACKOFF", Backoff(first=0.0001, longest=0.0002))
    return gate


@pytest.mark.parametrize("before", [True, False])
def test_a_commit_is_decided_when_the_file_can_be_opened_again(desk, failing, closed, before):
    """Meanwhile the job is neither stored nor not; asked again, it is stored once, whether its commit had happened or not."""
    failing(apsw.IOError("disk I/O error"), before=before)
    closed.set()
    packed = [pack(Payload(Signal.LOGS, 1, b"x"))]
    jobs = [lambda tables: tables.append("f", packed, {"k": b"1"}, {}, replayable=True)]
    for _ in range(3):
        with pytest.raises(NotOpenError, match="unable to open"):
            desk.file.write_together(jobs)
    assert desk.file.condition.state is State.DEGRADED
    closed.clear()
    desk.file._again_at = 0.0
    assert desk.file.write_together(jobs) == [1]
    assert count(desk) == 1


async def test_while_the_file_can_t_be_opened_the_last_figures_are_known(tmp_path, monkeypatch, closed):
    """Figures and account are answered at once, with the present state; appends wait, and each is stored once."""
    changed = asyncio.Event()
    spool = await Spool.open(tmp_path, on_event=lambda event: changed.set() if isinstance(event, StateChanged) else None)
    await spool.register("sink", [Signal.LOGS])
    await spool.append("f", [Payload(Signal.LOGS, 2, b"one")], {}, {}, replayable=True)
    await spool.stat()
    await spool.ledger()
    real, left = Database.commit, [1]

    def commit(self, last_seq, number=None):
        if left[0]:
            left[0] = 0
            closed.set()
            raise apsw.IOError("disk I/O error")
        real(self, last_seq, number)

    monkeypatch.setattr(Database, "commit", commit)
    waiting = asyncio.ensure_future(spool.append("f", [Payload(Signal.LOGS, 3, b"two")], {}, {}, replayable=True))
    async with asyncio.timeout(5):
        await changed.wait()
    assert not spool.takes_rows
    stat, ledger = await spool.stat(), await spool.ledger()
    assert (stat.state, stat.reason, stat.rows) == (State.DEGRADED, "unable to open database file", 1)
    assert ledger.lines[0].accepted == 2
    assert not waiting.done()
    closed.clear()
    assert await asyncio.wait_for(waiting, 10) == 2
    assert (await spool.stat()).state == State.OK
    assert (await spool.ledger()).lines[0].accepted == 5
    await spool.close()


async def test_an_end_while_the_file_can_t_be_opened_waits_for_nothing(tmp_path, monkeypatch, closed):
    """Waiting jobs are refused, and the thread ends."""
    changed = asyncio.Event()
    spool = await Spool.open(tmp_path, on_event=lambda event: changed.set() if isinstance(event, StateChanged) else None)
    monkeypatch.setattr(Database, "commit", lambda *_: (_ for _ in ()).throw(apsw.IOError("disk I/O error")))
    closed.set()
    waiting = asyncio.ensure_future(spool.append("f", [Payload(Signal.LOGS, 1, b"one")], {}, {}, replayable=True))
    async with asyncio.timeout(5):
        await changed.wait()
        await spool.close()
    with pytest.raises(SpoolError):
        await waiting


def test_the_ballast_goes_when_no_other_log_can_be_made(desk, closed, failing, monkeypatch):
    """No inode left is a full disk: the ballast's is given up, and the state says so."""
    error = apsw.CantOpenError("unable to open database file")
    error.system_errno = errno.ENOSPC
    monkeypatch.setattr(Tables, "open", lambda *_args, **_options: (_ for _ in ()).throw(error))
    failing(apsw.IOError("disk I/O error"), before=True)
    with pytest.raises(NotOpenError):
        desk.file.write_together([lambda tables: tables.register("a", ["logs"])])
    assert (desk.file.condition.reason, desk.file.home.ballast.size) == ("the disk is full", 0)
