"""A durable batch is on the disk when its append returns: the write-ahead log was synced after its commit. Seen below SQLite."""

from __future__ import annotations

import asyncio

import apsw
import pytest

from agent.errors import SpoolError
from agent.record import Payload, Signal
from agent.spool.spool import Spool


class Disk(apsw.VFS):
    """Notes what is written and synced, by the last part of the file's name; syncs fail while `broken`."""

    def __init__(self):
        super().__init__("watched", "unix")
        self.seen, self.broken = [], False

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's names
        return Watched(self, name, flags)


class Watched(apsw.VFSFile):
    """One file."""

    def __init__(self, disk, name, flags):
        self.disk = disk
        self.name = (name.filename() if isinstance(name, apsw.URIFilename) else name or "").rpartition("/")[2]
        super().__init__("unix", name, flags)

    def xWrite(self, data, offset):  # noqa: N802 - SQLite's names
        self.disk.seen.append(("write", self.name))
        super().xWrite(data, offset)

    def xSync(self, flags):  # noqa: N802 - SQLite's names
        if self.disk.broken:
            raise apsw.IOError("the disk does not take it")
        self.disk.seen.append(("sync", self.name))
        super().xSync(flags)


@pytest.fixture
def disk():
    """The disk that SQLite uses."""
    before, made = apsw.vfs_names()[0], Disk()
    apsw.set_default_vfs("watched")
    yield made
    apsw.set_default_vfs(before)
    made.unregister()


@pytest.fixture
async def spool(disk, tmp_path):
    """A spool on that disk, with one batch in it."""
    made = await Spool.open(tmp_path)
    await store(made, durable=False)
    yield made
    disk.broken = False
    await made.close()


async def store(spool, *, durable):
    """Append one record."""
    return await spool.append("push", [Payload(Signal.LOGS, 1, b"record")], {"k": b"1"}, {}, replayable=True, durable=durable)


async def test_a_durable_append_returns_behind_the_sync_of_its_commit(spool, disk):
    """The last thing that happens to the log is an fsync, behind every frame of the batch."""
    disk.seen.clear()
    await store(spool, durable=True)
    log = [what for what, name in disk.seen if name == "spool.db-wal"]
    assert log.count("write") >= 2
    assert (log[-1], log.count("sync")) == ("sync", 1)


async def test_other_appends_cost_no_sync(spool, disk):
    """Before and after a durable one: a power cut may undo them, rows and positions together."""
    await store(spool, durable=True)
    disk.seen.clear()
    for _ in range(5):
        await store(spool, durable=False)
    assert ("sync", "spool.db-wal") not in disk.seen
    assert ("write", "spool.db-wal") in disk.seen


async def test_a_sync_that_fails_is_no_success(disk, tmp_path):
    """While the disk refuses it, the append does not return; it is stored once, with its sync, as soon as the disk takes it."""
    trouble = asyncio.Event()
    spool = await Spool.open(tmp_path, on_event=lambda _event: trouble.set())
    disk.broken = True
    append = asyncio.ensure_future(store(spool, durable=True))
    await asyncio.wait_for(trouble.wait(), 10)
    assert not append.done()
    disk.seen.clear()
    disk.broken = False
    try:
        assert await asyncio.wait_for(append, 10) == 1
    except SpoolError:  # the disk came too late for this one: then it is certainly not stored
        assert await store(spool, durable=True) == 1
    assert ("sync", "spool.db-wal") in disk.seen
    assert [line.accepted for line in (await spool.ledger()).stored] == [1]
    await spool.close()
