from __future__ import annotations

import os

import pytest

from agent.errors import ConfigError, SpoolFullError, SpoolOversizeError
from agent.record import Signal
from agent.spool import quota
from agent.spool.ledger import evicted

MIB = 1 << 20


@pytest.mark.parametrize("size", [quota.SMALLEST, 8 * MIB, 64 * MIB, 1 << 30, 5 << 30])
def test_limits_nest(size):
    """Whatever the quota: low < room < file < quota, and file and ballast fill it."""
    limit = quota.limits(size)
    assert 0 < limit.low < limit.room < limit.file < limit.quota == limit.file + limit.ballast
    assert limit.keep + limit.letters < limit.low


def test_absurd_quota_is_refused():
    """A quota that holds nothing is a configuration error that names a better one."""
    with pytest.raises(ConfigError, match="64 MiB"):
        quota.limits(1000)


def test_ballast_gives_room_for_the_log():
    """The space of the ballast holds the whole log twice."""
    for size in (64 * MIB, 1 << 30):
        limit = quota.limits(size)
        assert 2 * limit.log_pages * 4096 <= limit.ballast


@pytest.mark.parametrize(
    ("asked", "disk", "file_size", "granted"),
    [
        (100 * MIB, 1000 * MIB, -1, 100 * MIB),
        (100 * MIB, 50 * MIB, -1, 45 * MIB),
        (100 * MIB, 1000 * MIB, 40 * MIB, 30 * MIB),
        (9 * MIB, 0, -1, MIB),
    ],
)
def test_quota_lies_below_the_disk(asked, disk, file_size, granted):
    """A quota that disk or file size limit can't bear is lowered."""
    assert quota.affordable(asked, disk, file_size) == granted


def test_full_clears_with_hysteresis():
    """A spool that refused goes on refusing until a tenth is free and the refused bytes fit."""
    limit = quota.limits(64 * MIB)
    assert not quota.stays_full(limit, limit.room, 0)
    assert quota.stays_full(limit, limit.low + 1, 1)
    assert not quota.stays_full(limit, limit.low, 1)
    assert quota.stays_full(limit, limit.low, limit.room // 2)


def test_need_covers_what_rows_take(desk):
    """The estimate of a batch's pages is never below what it really takes."""
    for size in (0, 1, 500, 4000, 5000, 100_000, 1_000_000):
        before = desk.tables.db.used()
        desk.put(os.urandom(size))
        assert desk.tables.db.used() - before <= quota.need([size + 100])


def fill(desk, **options):
    """Append until the quota refuses; return how many rows fitted."""
    for count in range(10_000):
        try:
            desk.put(os.urandom(20_000), **options)
        except SpoolFullError:
            return count
    raise AssertionError("it never refused")


def test_replayable_rows_wait_and_are_never_evicted(open_desk):
    """Over the quota rows that can be read again are refused; nothing stored is touched; there is room again after delivery."""
    desk = open_desk(quota=2 * MIB)
    desk.register("a")
    count = fill(desk)
    assert desk.file.condition.full
    assert desk.file.home.file.stat().st_size <= 2 * MIB
    row = desk.next("a")
    desk.settle("a", row)
    with pytest.raises(SpoolFullError):
        desk.put(b"still above the low-water mark")
    assert len(desk.drain("a")) == count - 1
    desk.maintenance.look_after(idle=False)
    assert not desk.file.condition.full
    desk.put(b"room again")
    assert desk.ledger().violations() == ()
    assert desk.line("a").evicted == 0


def test_oldest_rows_that_cannot_be_read_again_are_evicted_and_counted(open_desk):
    """Over the quota a row that can't be read again evicts the oldest row of that kind, counted for each destination that still needed it."""
    desk = open_desk(quota=2 * MIB)
    desk.register("a", "b")
    first = desk.put(b"replayable")
    for _ in range(200):
        desk.put(os.urandom(20_000), records=3, replayable=False, source="child")
    ledger = desk.ledger()
    assert ledger.violations() == ()
    assert desk.line("a", "child").evicted == desk.line("b", "child").evicted == desk.line("", "child").evicted > 0
    assert desk.next("a").seq == first
    assert {(loss.kind, loss.reason) for loss in ledger.losses} == {("evicted", "quota")}
    lost = desk.do(lambda tables: evicted(tables.connection, "a"))
    assert lost == {"logs": desk.line("a", "child").evicted}
    assert desk.do(lambda tables: evicted(tables.connection, "c")) == {}


def test_rows_nobody_takes_make_room(open_desk):
    """Rows of a signal without a destination never block an append: the oldest go, counted."""
    desk = open_desk(quota=2 * MIB)
    for _ in range(200):
        desk.put(os.urandom(20_000), signal=Signal.TRACES)
    assert desk.line("").evicted > 0
    assert desk.ledger().violations() == ()


def test_batch_that_never_fits_says_so(open_desk):
    """A batch larger than half of the spool is refused as oversize: waiting would be for ever."""
    desk = open_desk(quota=2 * MIB)
    with pytest.raises(SpoolOversizeError, match="never fits"):
        desk.put(os.urandom(3 * MIB))
    assert not desk.file.condition.full


def test_delivered_rows_are_kept_to_be_looked_at_but_go_first(open_desk):
    """The newest delivered log rows stay within their share, count as let go only when they go, and never cost a new row its room."""
    desk = open_desk(quota=2 * MIB)
    desk.register("a")
    for _ in range(100):
        desk.put(os.urandom(20_000))
        desk.drain("a")
    kept = desk.connection.execute("SELECT sum(size) FROM rows").get
    assert 0 < kept <= quota.limits(2 * MIB).keep
    assert desk.ledger().violations() == ()


def test_file_shrinks_after_a_drained_backlog(desk):
    """After a backlog was drained the file goes back to little more than its live data, and the log to nothing."""
    desk.register("a")
    for _ in range(400):
        desk.put(os.urandom(50_000))
    desk.drain("a")
    desk.maintenance.untidy = True
    for _ in range(100):
        desk.maintenance.look_after(idle=True)
    assert desk.file.home.file.stat().st_size <= 1.1 * desk.tables.db.used() + 64 * 4096
    assert desk.file.home.file.with_name("spool.db-wal").stat().st_size == 0


def test_file_shrinks_although_jobs_never_stop(desk):
    """Where the thread is never idle, the maintenance shortens the file a little, once a second."""
    desk.register("a", signals=["metrics"])
    for _ in range(200):
        desk.put(os.urandom(20_000), signal=Signal.METRICS)
    desk.drain("a", "metrics")
    used = desk.tables.db.used()
    before = desk.connection.pragma("page_count") * 4096
    for _ in range(6):
        desk.maintenance.look_after(idle=False)
        assert desk.connection.pragma("page_count") * 4096 == before
    for _ in range(6):
        desk.maintenance._looked = 0
        desk.maintenance.look_after(idle=False)
    assert desk.connection.pragma("page_count") * 4096 < before / 2
    assert desk.connection.pragma("page_count") * 4096 < used * 1.2
