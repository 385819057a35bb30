from __future__ import annotations

import threading

import pytest

from agent.record import Payload, Signal
from agent.spool.checksum import pack
from agent.spool.file import SpoolFile
from agent.spool.maintenance import Maintenance
from agent.spool.operations import OPERATIONS

MIB = 1 << 20


class Desk:
    """A spool to be handled by hand: one file, with short words for what tests do all the time."""

    def __init__(self, directory, quota=64 * MIB):
        self.directory = directory
        self.quota = quota
        self.open()

    def open(self):
        self.file = SpoolFile.open(self.directory, self.quota, threading.Event())
        self.maintenance = Maintenance(self.file)
        self.events = self.file.take_events()

    @property
    def tables(self):
        return self.file.tables

    @property
    def connection(self):
        return self.tables.connection

    def do(self, job):
        """Run a job in a transaction and return its result, or raise its refusal."""
        (result,) = self.file.write([job])
        if isinstance(result, Exception):
            raise result
        return result

    def register(self, *destinations, signals=("logs",)):
        for destination in destinations:
            self.do(lambda tables, name=destination: tables.register(name, signals))

    def ask(self, name, **arguments):
        """Do one of the operations that a person asks for."""
        return self.do(OPERATIONS[name].job(arguments))

    def put(self, body=b"body", records=1, *, signal=Signal.LOGS, source="files", replayable=True, positions=None):
        packed = [pack(Payload(signal, records, body))]
        return self.do(lambda tables: tables.append(source, packed, positions or {}, {}, replayable=replayable))

    def next(self, destination, signal="logs"):
        return self.file.read(lambda tables: tables.next_row(destination, signal))

    def settle(self, destination, row, dead=()):
        sent = row.records - sum(one.records for one in dead)
        self.do(lambda tables: tables.settle(destination, row, sent, 0, dead))

    def drain(self, destination, signal="logs"):
        """Deliver everything; return the numbers of the rows."""
        seqs = []
        while (row := self.next(destination, signal)) is not None:
            self.settle(destination, row)
            seqs.append(row.seq)
        return seqs

    def ledger(self):
        from agent.spool import ledger

        return self.file.read(lambda tables: ledger.read(tables.connection))

    def line(self, destination, source="files"):
        lines = (*self.ledger().lines, *self.ledger().stored)
        return next(line for line in lines if (line.destination, line.source) == (destination, source))

    def close(self):
        self.file.close()

    def kill(self):
        """End as SIGKILL would: copy the files away while open, close, and put the copies back."""
        held = {path: path.read_bytes() for path in self.directory.iterdir() if path.name != "spool.lock"}
        self.close()
        for path in self.directory.iterdir():
            if path.name != "spool.lock":
                path.unlink()
        for path, content in held.items():
            path.write_bytes(content)


@pytest.fixture
def desk(tmp_path):
    """Open a spool to be handled by hand."""
    made = Desk(tmp_path / "state")
    yield made
    made.close()


@pytest.fixture
def open_desk(tmp_path):
    """Open spools with options of the test's own."""
    made = []

    def make(**options):
        made.append(Desk(tmp_path / "state", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
