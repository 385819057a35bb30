"""A spool file damaged at random: it always opens, nothing invented or changed is ever exported, and what was not hit is saved."""

from __future__ import annotations

import random
import shutil
import threading
import time

import pytest

from agent.record import Payload, Signal
from agent.spool import ledger, rows
from agent.spool.checksum import pack
from agent.spool.file import SpoolFile
from agent.spool.values import Quarantined, SalvageReport

pytestmark = [pytest.mark.property, pytest.mark.slow]

PAGE = 4096
QUOTA = 64 << 20
KINDS = ("bit", "bits", "page", "zero", "header", "noise", "truncate")


def write(file, job):
    """Run a job in a transaction and return its result, or raise its refusal."""
    (result,) = file.write([job])
    if isinstance(result, Exception):
        raise result
    return result


def build(directory, rng, count=40):
    """Make a spool of rows of all sizes, partly delivered to one of two destinations."""
    file = SpoolFile.open(directory, QUOTA, threading.Event())
    for name in "ab":
        write(file, lambda tables, name=name: tables.register(name, ["logs"]))
    for number in range(count):
        packed = [pack(Payload(Signal.LOGS, number + 1, rng.randbytes(rng.choice([100, 3000, 30_000]))))]
        write(file, lambda tables, packed=packed, number=number: tables.append("f", packed, {"k": b"%d" % number}, {}, replayable=True))
    for _ in range(count // 4):
        row = file.tables.next_row("a", "logs")
        write(file, lambda tables, row=row: tables.settle("a", row, row.records, 0, []))
    return file


def damage(raw: bytearray, kind: str, rng: random.Random) -> set[int]:
    """Damage a file's bytes; return the pages (from 1) that were hit."""
    size = len(raw)
    if kind in {"bit", "bits"}:
        offsets = [rng.randrange(size) for _ in range(1 if kind == "bit" else 20)]
        for offset in offsets:
            raw[offset] ^= 1 << rng.randrange(8)
        return {offset // PAGE + 1 for offset in offsets}
    if kind == "truncate":
        cut = rng.randrange(size)
        del raw[cut:]
        return set(range(cut // PAGE + 1, size // PAGE + 2))
    start = {"header": 0, "noise": rng.randrange(size)}.get(kind, rng.randrange(size // PAGE) * PAGE)
    length = min({"header": 100, "noise": 2 * PAGE}.get(kind, PAGE), size - start)
    raw[start : start + length] = rng.randbytes(length) if kind in {"page", "noise"} else bytes(length)
    return set(range(start // PAGE + 1, (start + length - 1) // PAGE + 2))


def pages_of(file) -> dict[int, set[int]]:
    """Find the pages that each row lies on, by following every cell of the rows' tree."""
    connection = file.tables.connection
    found: dict[int, set[int]] = {}
    leaves = connection.execute("SELECT path, pageno FROM dbstat WHERE name = 'rows' AND pagetype = 'leaf' ORDER BY path").fetchall()
    cells = dict(connection.execute("SELECT pageno, ncell FROM dbstat WHERE name = 'rows' AND pagetype = 'leaf'"))
    seqs = [seq for (seq,) in connection.execute("SELECT seq FROM rows ORDER BY seq")]
    at = 0
    for path, page in leaves:
        for cell in range(cells[page]):
            like = f"{path}{cell:03x}+%"
            overflow = {
                number for (number,) in connection.execute("SELECT pageno FROM dbstat WHERE name = 'rows' AND path LIKE ?", (like,))
            }
            found[seqs[at]] = {page, *overflow}
            at += 1
    assert at == len(seqs)
    return found


def drain(file, destination, before) -> set[int]:
    """Deliver everything, each row byte for byte as it was stored; return the numbers."""
    got = set()
    while (row := file.read(lambda tables: tables.next_row(destination, "logs"))) is not None:
        original = before[row.seq]
        assert (row.body, row.records, row.source) == (original.body, original.records, original.source)
        write(file, lambda tables, row=row: tables.settle(destination, row, row.records, 0, []))
        got.add(row.seq)
    return got


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(15))
def test_damaged_file_is_survived(tmp_path, kind, seed):
    """However the file is damaged: it opens at once, exports only stored rows, keeps the account balanced, and takes new rows.

    Rows none of whose pages was hit are all saved.
    """
    rng = random.Random(f"{kind} {seed}")
    file = build(tmp_path, rng)
    connection = file.tables.connection
    before = {seq: rows.fetch(connection, seq) for (seq,) in list(connection.execute("SELECT seq FROM rows"))}
    checkpointed = seed % 3 != 0
    if checkpointed:
        file.tables.db.checkpoint(truncate=True)
        pages = pages_of(file)
        file.close()
    else:
        shutil.copytree(tmp_path, tmp_path.parent / "killed")
        file.close()
        shutil.rmtree(tmp_path)
        shutil.move(tmp_path.parent / "killed", tmp_path)
        pages = {}
    file = tmp_path / "spool.db"
    raw = bytearray(file.read_bytes())
    hit = damage(raw, kind, rng) if raw else set()
    file.write_bytes(raw)

    began = time.monotonic()
    file = SpoolFile.open(tmp_path, QUOTA, threading.Event())
    for name in "ab":
        write(file, lambda tables, name=name: tables.register(name, ["logs"]))
    got = drain(file, "b", before)
    drain(file, "a", before)
    assert time.monotonic() - began < 10
    assert file.read(lambda tables: ledger.read(tables.connection)).violations() == ()
    untouched = {seq for seq, lies in pages.items() if not lies & hit}
    assert untouched <= got
    if got != set(before):
        assert any(isinstance(event, (SalvageReport, Quarantined)) for event in file.take_events())
    fresh = [pack(Payload(Signal.LOGS, 3, b"fresh"))]
    seq = write(file, lambda tables: tables.append("f", fresh, {}, {}, replayable=True))
    assert file.read(lambda tables: tables.next_row("a", "logs")).seq == seq
    file.close()
