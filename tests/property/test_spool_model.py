"""The spool against a model of a few dictionaries: whatever is done in whatever order, killed or not, both say the same."""

from __future__ import annotations

import shutil
import tempfile
import threading
import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.record import Payload, Signal
from agent.spool import dead_letters, destinations, ledger, positions, room, rows
from agent.spool.checksum import pack
from agent.spool.file import SpoolFile
from agent.spool.maintenance import Maintenance
from agent.spool.operations import OPERATIONS
from agent.spool.values import DeadLetter

pytestmark = [pytest.mark.property, pytest.mark.slow]

DESTINATIONS = ("a", "b", "c")
SIGNALS = (Signal.LOGS, Signal.METRICS)
FIGURES = ("accepted", "sent", "rejected", "dead_lettered", "evicted")


class Row:
    """A row of the model."""

    def __init__(self, seq, signal, source, records, body, only=None):  # noqa: PLR0917 a plain record
        self.seq, self.signal, self.source, self.records, self.body, self.only = seq, signal, source, records, body, only


class SpoolMachine(RuleBasedStateMachine):
    """Does things to a spool and to its model."""

    @initialize()
    def begin(self):
        self.directory = Path(tempfile.mkdtemp(prefix="spool-model-"))
        self.rows: dict[int, Row] = {}
        self.cursors: dict[tuple[str, str], int] = {}
        self.account = Counter()
        self.positions: dict[str, dict[str, bytes]] = {"f": {}, "g": {}}
        self.letters: dict[int, tuple] = {}
        self.last = 0
        self.open()

    def open(self):
        self.file = SpoolFile.open(self.directory, 64 << 20, threading.Event())
        assert self.file.take_events() == []

    def teardown(self):
        self.file.close()
        shutil.rmtree(self.directory)

    def do(self, job):
        (result,) = self.file.write([job])
        if isinstance(result, Exception):
            raise result
        return result

    def waiting(self, row):
        return [name for (name, signal), seq in self.cursors.items() if signal == row.signal and seq < row.seq and row.only in (None, name)]

    def done(self, signal):
        return min((seq for (_, one), seq in self.cursors.items() if one == signal), default=None)

    def retire(self, signal):
        done = self.done(signal)
        if signal == Signal.LOGS or done is None:
            return  # what the model stores of logs is less than what is kept to be looked at
        self.rows = {seq: row for seq, row in self.rows.items() if row.signal != signal or seq > done}

    @rule(
        source=st.sampled_from("fg"),
        signal=st.sampled_from(SIGNALS),
        sizes=st.lists(st.integers(0, 20_000), max_size=3),
        records=st.integers(1, 5),
        key=st.sampled_from(["x", "y\udcff"]),
        value=st.none() | st.binary(max_size=8),
        durable=st.booleans(),
    )
    def append(self, source, signal, sizes, records, key, value, durable):  # noqa: PLR0917 hypothesis passes them by name
        bodies = [bytes([records]) * size for size in sizes]
        packed = [pack(Payload(signal, records, body)) for body in bodies]
        (last,) = self.file.write([lambda tables: tables.append(source, packed, {key: value}, {}, replayable=True)], durable=durable)
        for body in bodies:
            self.last += 1
            self.rows[self.last] = Row(self.last, signal, source, records, body)
            for name in ["", *(name for name, one in self.cursors if one == signal)]:
                self.account[source, name, signal, "accepted"] += records
        assert last == self.last
        if value is None:
            self.positions[source].pop(key, None)
        else:
            self.positions[source][key] = value

    @rule(destination=st.sampled_from(DESTINATIONS), signal=st.sampled_from(SIGNALS))
    def register(self, destination, signal):
        self.do(lambda tables: tables.register(destination, [signal.value]))
        if (destination, signal) in self.cursors:
            return
        stored = [row for row in self.rows.values() if row.signal == signal]
        self.cursors[destination, signal] = stored[0].seq - 1 if stored else self.last
        for row in stored:
            if row.only is None:
                self.account[row.source, destination, signal, "accepted"] += row.records

    @precondition(lambda self: self.cursors)
    @rule(data=st.data())
    def settle(self, data):
        destination, signal = data.draw(st.sampled_from(sorted(self.cursors)))
        cursor = self.cursors[destination, signal]
        mine = [row for row in self.rows.values() if row.signal == signal and row.seq > cursor and row.only in (None, destination)]
        found = self.file.read(lambda tables: tables.next_row(destination, signal))
        assert (found and found.seq) == (mine[0].seq if mine else None)
        if not mine:
            return
        row = mine[0]
        assert (zlib.decompress(found.body, 31), found.records, found.source) == (row.body, row.records, row.source)
        rejected = data.draw(st.integers(0, row.records))
        dead = data.draw(st.integers(0, row.records - rejected))
        letters = [DeadLetter("no", dead)] if dead else []
        self.do(lambda tables: tables.settle(destination, found, row.records - rejected - dead, rejected, letters))
        self.do(lambda tables: tables.settle(destination, found, row.records - rejected - dead, rejected, letters))
        self.cursors[destination, signal] = row.seq
        for figure, amount in (("sent", row.records - rejected - dead), ("rejected", rejected), ("dead_lettered", dead)):
            self.account[row.source, destination, signal, figure] += amount
        if dead:
            number = max(one.id for one in dead_letters.listed(self.file.tables.connection))
            self.letters[number] = (destination, signal, row.source, dead, row.body)
        if row.only == destination:
            del self.rows[row.seq]
        self.retire(signal)

    @precondition(lambda self: self.rows)
    @rule()
    def evict(self):
        row = self.rows.pop(min(self.rows))
        self.do(lambda tables: room.evict(tables, rows.head(tables.connection, row.seq), "test"))
        waiting = self.waiting(row)
        for name in waiting:
            self.account[row.source, name, row.signal, "evicted"] += row.records

    @precondition(lambda self: self.letters)
    @rule(data=st.data())
    def requeue(self, data):
        number = data.draw(st.sampled_from(sorted(self.letters)))
        destination, signal, source, records, body = self.letters[number]
        if (destination, signal) not in self.cursors:
            return
        self.do(OPERATIONS["dead-letters/requeue"].job({"id": str(number)}))
        del self.letters[number]
        self.last += 1
        self.rows[self.last] = Row(self.last, signal, source, records, body, destination)
        self.account[source, destination, signal, "dead_lettered"] -= records
        self.account[source, "", signal, "accepted"] += records

    @precondition(lambda self: destinations.orphans(self.file.tables))
    @rule()
    def collect(self):
        gone = destinations.orphans(self.file.tables)[0]
        registered = self.file.tables.session.registered
        signals = [signal for name, signal in self.cursors if name == gone and (name, signal) not in registered]
        self.do(lambda tables: destinations.forget(tables, gone, force=True))
        self.do(destinations.sweep)
        for signal in signals:
            for row in list(self.rows.values()):
                if row.signal == signal and row.seq > self.cursors[gone, signal] and row.only in (None, gone):
                    self.account[row.source, gone, signal, "evicted"] += row.records
                if row.signal == signal and row.only == gone:
                    del self.rows[row.seq]
            del self.cursors[gone, signal]
        for signal in SIGNALS:
            self.retire(signal)

    @rule()
    def stop_and_start(self):
        self.file.close()
        self.open()

    @rule()
    def kill_and_start(self):
        files = [path for path in self.directory.iterdir() if path.name in {"spool.db", "spool.db-wal"}]
        held = {path: path.read_bytes() for path in files}
        self.file.close()
        for path, content in held.items():
            path.write_bytes(content)
        self.open()

    @rule(idle=st.booleans())
    def look_after(self, idle):
        maintenance = Maintenance(self.file)
        maintenance.untidy = True
        maintenance.look_after(idle=idle)

    @invariant()
    def same_account(self):
        if not hasattr(self, "keeper"):
            return
        connection = self.file.tables.connection
        found = ledger.read(connection)
        assert found.violations() == ()
        stored = [seq for (seq,) in connection.execute("SELECT seq FROM rows ORDER BY seq")]
        assert stored == list(self.rows)
        figures = Counter(
            {(line.source, line.destination, line.signal, name): getattr(line, name) for line in found.lines for name in FIGURES}
        )
        expected = Counter({key: value for key, value in self.account.items() if key[1]})
        assert +figures == +expected
        assert sum(line.accepted for line in found.stored) == sum(value for key, value in self.account.items() if not key[1])
        assert {source: positions.read(connection, source) for source in "fg"} == self.positions


SpoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSpoolModel = SpoolMachine.TestCase
