"""The power fails: any part of the writes since the last fsync may be on the disk. The spool still opens, and keeps its promise.

Its promise: a batch that was stored `durable` is there. Other batches of the last moments may be gone, but a batch's rows and its position only together:
a source that can read again reads those records again. Writes are recorded below SQLite, and disks are made of them as a cut may leave them.
"""

from __future__ import annotations

import contextlib
import random
import threading
import zlib

import apsw
import pytest

from agent.record import Owner, Payload, Signal
from agent.spool import ledger, positions
from agent.spool.checksum import pack
from agent.spool.file import SpoolFile
from agent.spool.maintenance import Maintenance
from agent.spool.values import LogRemoved

pytestmark = [pytest.mark.property, pytest.mark.slow, pytest.mark.timeout(600)]

QUOTA = 4 << 20
ROWS = 160
CUTS = 2000
SECTOR = 512
"""Bytes that a disk writes whole."""
FILES = ("spool.db", "spool.db-wal", "spool.db-journal")
"""The last one only while the file is made."""


class Recorder(apsw.VFS):
    """Notes every change of the spool's files, in order."""

    def __init__(self):
        super().__init__("recorder", "unix")
        self.changes = []

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's names
        return Recorded(self.changes, name, flags)

    def xDelete(self, filename, syncdir):  # noqa: N802
        self.changes.append(("delete", filename.rpartition("/")[2], 0, b""))
        super().xDelete(filename, syncdir)


class Recorded(apsw.VFSFile):
    """One file."""

    def __init__(self, changes, name, flags):
        self.changes = changes
        self.name = (name.filename() if isinstance(name, apsw.URIFilename) else name or "").rpartition("/")[2]
        super().__init__("unix", name, flags)

    def xWrite(self, data, offset):  # noqa: N802
        self.changes.append(("write", self.name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize):  # noqa: N802
        self.changes.append(("truncate", self.name, newsize, b""))
        super().xTruncate(newsize)

    def xSync(self, flags):  # noqa: N802
        super().xSync(flags)
        self.changes.append(("sync", self.name, 0, b""))


@contextlib.contextmanager
def recorded():
    """SQLite's files go through a recorder."""
    before, recorder = apsw.vfs_names()[0], Recorder()
    apsw.set_default_vfs("recorder")
    try:
        yield recorder.changes
    finally:
        apsw.set_default_vfs(before)
        recorder.unregister()


def body(number):
    """Make the content of a row from its number alone."""
    return b"%d " % number + random.Random(number).randbytes(200 * (number % 40))


def stored(number):
    """The job that stores a row and the position behind it."""
    packed = [pack(Payload(Signal.LOGS, 1, body(number)))]
    return lambda tables: tables.append("f", packed, {"next": b"%d" % (number + 1)}, {}, replayable=True)


def work(file, changes):
    """Store rows with the position behind each, every seventh durably, and deliver most; note in between what was promised."""
    file.write([lambda tables: tables.register("sink", ["logs"])], durable=True)
    for number in range(ROWS):
        durable = number % 7 == 6
        file.write([stored(number)], durable=durable)
        changes.append(("promise" if durable else "stored", "", number + 1, b""))
        if number % 3:
            row = file.tables.next_row("sink", "logs")
            file.write([lambda tables, row=row: tables.settle("sink", row, row.records, 0, [])])
        Maintenance(file).look_after(idle=number % 25 == 24)


class Disk:
    """The content of a disk: the certain part, and the part that a power cut may lose."""

    def __init__(self):
        self.files = {name: bytearray() for name in FILES}
        self.loose = {name: [] for name in FILES}
        """Changes since the last fsync."""

    def take(self, kind, name, at, data):
        """One more change happened. File systems with a journal keep the order of names: an fsync of any file has earlier removals done."""
        if kind == "sync":
            for other, loose in self.loose.items():
                done = [one for one in loose if other == name or one[0] == "delete"]
                for one in done:
                    apply(self.files[other], one)
                self.loose[other] = [one for one in loose if one not in done]
        else:
            self.loose[name].append((kind, at, data))

    def cut(self, chance):
        """The files as a power cut may leave them: of the loose changes all, none, the first ones, or any sectors of any."""
        how = chance.choice(["all", "none", "first", "any", "any"])
        return {name: self._left(name, how, chance) for name in self.files}

    def _left(self, name, how, chance):
        content, loose = bytearray(self.files[name]), self.loose[name]
        kept = {"all": len(loose), "none": 0}.get(how, chance.randint(0, len(loose)))
        for one in loose if how == "any" else loose[:kept]:
            for part in sectors(one) if how == "any" else [one]:
                if how != "any" or chance.random() < 0.5:
                    apply(content, part)
        return content


def sectors(change):
    """A write, sector by sector; other changes happen or don't."""
    kind, at, data = change
    if kind != "write":
        return [change]
    return [(kind, at + begin, data[begin : begin + SECTOR]) for begin in range(0, len(data), SECTOR)]


def apply(content, change):
    """Change a file's content."""
    kind, at, data = change
    if kind == "write":
        content.extend(bytes(max(0, at - len(content))))
        content[at : at + len(data)] = data
    else:
        del content[at if kind == "truncate" else 0 :]


def check(directory, promised, stored):
    """Open what is left, as the next start does: the word was kept."""
    (directory / "spool.lock").unlink(missing_ok=True)  # it names the boot, and that is another one now
    file = SpoolFile.open(directory, QUOTA, threading.Event())
    try:
        assert not [event for event in file.take_events() if not isinstance(event, LogRemoved)]
        number = int(positions.read(file.tables.connection, Owner.SOURCE, "f").get("next", b"0"))
        assert promised <= number <= stored
        waiting = []
        file.write([lambda tables: tables.register("sink", ["logs"])])
        while (row := file.tables.next_row("sink", "logs")) is not None:
            waiting.append(zlib.decompress(row.body, 31))
            file.write([lambda tables, row=row: tables.settle("sink", row, row.records, 0, [])])
        assert waiting == [body(one) for one in range(number - len(waiting), number)]
        assert not ledger.read(file.tables.connection).violations()
    finally:
        file.close()


def test_a_power_cut_at_any_moment_loses_nothing_that_was_promised(tmp_path):
    """The spool opens after each of two thousand cuts, with all that was durable, rows and position together, nothing twice, no row torn."""
    with recorded() as changes:
        file = SpoolFile.open(tmp_path / "recorded", QUOTA, threading.Event())
        work(file, changes)
        file.close()
    assert sum(kind == "sync" for kind, *_ in changes) > 50
    chance, disk, promised, stored = random.Random(3), Disk(), 0, 0
    share = CUTS / len(changes)
    cuts = 0
    for number, (kind, name, at, data) in enumerate(changes):
        if kind in {"promise", "stored"}:
            promised, stored = at if kind == "promise" else promised, at
            continue
        disk.take(kind, name, at, data)
        while cuts < (number + 1) * share:
            cuts += 1
            directory = tmp_path / "cut"
            directory.mkdir(exist_ok=True)
            for file, content in disk.cut(chance).items():
                (directory / file).write_bytes(content)
            check(directory, promised, stored + 1)
    assert cuts > CUTS * 0.9
