"""Every bit of the first bytes of the spool's file and of its log, flipped: the spool opens with everything in it."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from agent.record import Owner, Payload, Signal
from agent.spool import ledger, positions
from agent.spool.checksum import pack
from agent.spool.file import SpoolFile
from agent.spool.values import SalvageReport

pytestmark = [pytest.mark.property, pytest.mark.slow]

ROWS = 5
CASES = {
    "header": ("spool.db", False, range(800)),
    "header beside a log": ("spool.db", True, range(800)),
    "header of the log and of its first frame": ("spool.db-wal", True, [*range(256), *range(288, 448)]),
    "tables": ("spool.db", False, range(800, 8 * 4096, 89)),
}


def build(directory, *, log):
    """Make a spool; with its rows in the log, as a kill leaves it, or in the file."""
    file = SpoolFile.open(directory, 16 << 20, threading.Event())
    file.write([lambda tables: tables.register("a", ["logs"])])
    file.tables.db.checkpoint(truncate=True)
    for number in range(ROWS):
        packed = [pack(Payload(Signal.LOGS, 2, random.Random(number).randbytes(1500)))]
        file.write([lambda tables, p=packed, n=number: tables.append("f", p, {"next": b"%d" % n}, {}, replayable=True)])
    killed = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "spool.ballast"}
    file.close()
    return killed if log else {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "spool.ballast"}


def check(directory):
    """Open it and use it."""
    file = SpoolFile.open(directory, 16 << 20, threading.Event())
    try:
        assert positions.read(file.tables.connection, Owner.SOURCE, "f") == {"next": b"%d" % (ROWS - 1)}
        for number in range(1, ROWS + 1):
            row = file.read(lambda tables: tables.next_row("a", "logs"))
            assert row.seq == number
            file.write([lambda tables, row=row: tables.settle("a", row, row.records, 0, [])])
        assert ledger.read(file.tables.connection).violations() == ()
        return [event for event in file.take_events() if isinstance(event, SalvageReport)]
    finally:
        file.close()


@pytest.fixture
def in_memory(tmp_path):
    """A directory where it takes no time to make a file durable."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as directory:
        yield Path(directory)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES)
def test_no_bit_stops_the_agent_or_costs_a_row(in_memory, case):
    """Whichever bit is flipped, all rows, positions and counts are there; a file that is damaged by it is kept."""
    name, log, bits = CASES[case]
    pristine = build(in_memory / "made", log=log)
    directory, salvaged = in_memory / "state", 0
    for bit in bits:
        directory.mkdir()
        for file, content in pristine.items():
            raw = bytearray(content)
            raw[bit // 8 if file == name else 0] ^= 1 << bit % 8 if file == name else 0
            (directory / file).write_bytes(raw)
        salvaged += len(check(directory))
        shutil.rmtree(directory)
    assert salvaged > len(bits) // 3
