from __future__ import annotations

import asyncio
import zlib

import pytest

from agent.errors import SpoolError, SpoolLockedError
from agent.record import Owner, Payload, Signal
from agent.spool.spool import Spool
from agent.spool.values import DeadLetter


def logs(text: bytes = b"body", records: int = 3) -> Payload:
    """Make a payload of log records."""
    return Payload(Signal.LOGS, records, text)


@pytest.fixture
async def spool(tmp_path):
    """Open a spool in a fresh state directory."""
    made = await Spool.open(tmp_path / "state")
    yield made
    await made.close()


async def put(spool: Spool, *payloads: Payload, source: str = "files", **options) -> int:
    """Append payloads without positions."""
    return await spool.append(source, payloads, {}, {}, replayable=True, **options)


async def test_row_comes_back_as_it_was_stored(spool):
    """A stored payload is the next row of every destination, gzip'd, with its figures."""
    await spool.register("otlp", [Signal.LOGS])
    seq = await put(spool, logs(b"hello" * 100, 7))
    row = await spool.next_row("otlp", Signal.LOGS)
    assert (row.seq, row.signal, row.source, row.records, row.raw_size) == (seq, Signal.LOGS, "files", 7, 500)
    assert zlib.decompress(row.body, 31) == b"hello" * 100


async def test_row_bytes_never_change(spool):
    """Asked again, a row is byte-identical; and the same payload gives the same bytes."""
    await spool.register("otlp", [Signal.LOGS])
    await put(spool, logs())
    await put(spool, logs())
    first = await spool.next_row("otlp", Signal.LOGS)
    assert await spool.next_row("otlp", Signal.LOGS) == first
    await spool.settle("otlp", first, sent=3)
    assert (await spool.next_row("otlp", Signal.LOGS)).body == first.body


async def test_positions_survive_with_their_rows(tmp_path):
    """All of a commit is there after reopening: rows, positions (also of names that are not UTF-8), counts."""
    spool = await Spool.open(tmp_path)
    await spool.append("files", [logs()], {"a": b"1", "b\udcff": b"2"}, {"oversized": 2}, replayable=True)
    await spool.append("files", [], {"a": b"3", "gone": b""}, {}, replayable=True)
    await spool.append("files", [], {"gone": None}, {"oversized": 1}, replayable=True)
    await spool.close()
    spool = await Spool.open(tmp_path)
    assert await spool.positions("files") == {"a": b"3", "b\udcff": b"2"}
    assert await spool.positions("other") == {}
    assert [tuple(drop) for drop in (await spool.ledger()).drops] == [("files", "oversized", 3)]
    await spool.close()


async def test_each_destination_has_its_own_cursor_per_signal(spool):
    """Settling moves one cursor only: neither other destinations nor other signals notice."""
    await spool.register("a", [Signal.LOGS, Signal.METRICS])
    await spool.register("b", [Signal.LOGS])
    await put(spool, logs(), Payload(Signal.METRICS, 1, b"m"))
    row = await spool.next_row("a", Signal.LOGS)
    await spool.settle("a", row, sent=3)
    assert await spool.next_row("a", Signal.LOGS) is None
    assert (await spool.next_row("b", Signal.LOGS)).seq == row.seq
    assert (await spool.next_row("a", Signal.METRICS)).body


async def test_ledger_balances_through_every_fate(spool):
    """The law holds with every fate in use: accepted = sent + rejected + dead-lettered + evicted + pending."""
    await spool.register("a", [Signal.LOGS])
    for _ in range(3):
        await put(spool, logs(records=5))
    first = await spool.next_row("a", Signal.LOGS)
    await spool.settle("a", first, sent=2, rejected=1, dead=[DeadLetter("too large", 2, b"part")])
    line = (await spool.ledger()).lines[0]
    assert (line.accepted, line.sent, line.rejected, line.dead_lettered, line.pending) == (15, 2, 1, 2, 10)
    assert (await spool.ledger()).violations() == ()


async def test_settling_twice_counts_once(spool):
    """A repeated settle, as after an unclear answer, changes nothing."""
    await spool.register("a", [Signal.LOGS])
    await put(spool, logs())
    row = await spool.next_row("a", Signal.LOGS)
    await spool.settle("a", row, sent=3)
    await spool.settle("a", row, sent=3)
    assert (await spool.ledger()).lines[0].sent == 3


@pytest.mark.parametrize(("sent", "rejected"), [(2, 0), (3, 1), (4, -1)])
async def test_settle_must_add_up(spool, sent, rejected):
    """A settle that does not account for every record of the row is refused as the mistake it is."""
    await spool.register("a", [Signal.LOGS])
    await put(spool, logs())
    row = await spool.next_row("a", Signal.LOGS)
    with pytest.raises(ValueError, match="3 records"):
        await spool.settle("a", row, sent=sent, rejected=rejected)


async def test_unregistered_destination_is_refused(spool):
    """Without a cursor there is nothing to read from."""
    with pytest.raises(SpoolError, match="not registered"):
        await spool.next_row("nobody", Signal.LOGS)


async def test_one_refused_job_leaves_its_group_alone(spool):
    """Jobs committed as one group fail one by one."""
    await spool.register("a", [Signal.LOGS])
    await put(spool, logs())
    row = await spool.next_row("a", Signal.LOGS)
    results = await asyncio.gather(put(spool, logs()), spool.settle("b", row, sent=3), put(spool, logs()), return_exceptions=True)
    assert [type(result) for result in results] == [int, SpoolError, int]
    assert (await spool.ledger()).lines[0].pending == 9


async def test_sender_wakes_when_its_signal_has_rows(spool):
    """`wait_for_rows` returns for rows of the signal stored since the last `next_row`, and only then."""
    await spool.register("a", [Signal.LOGS])
    assert await spool.next_row("a", Signal.LOGS) is None
    waiting = asyncio.create_task(spool.wait_for_rows("a", Signal.LOGS))
    await put(spool, Payload(Signal.METRICS, 1, b"m"))
    assert not waiting.done()
    await put(spool, logs())
    await asyncio.wait_for(waiting, 5)


async def test_rows_stored_before_the_wait_are_not_missed(spool):
    """A row stored between an empty look and the wait ends the wait at once."""
    await spool.register("a", [Signal.LOGS])
    assert await spool.next_row("a", Signal.LOGS) is None
    await put(spool, logs())
    await asyncio.wait_for(spool.wait_for_rows("a", Signal.LOGS), 5)


async def test_second_agent_is_refused_by_name(spool, tmp_path):
    """A second agent on a state directory gets an error that names the first, and the first continues."""
    with pytest.raises(SpoolLockedError, match=r"in use by process \d+ on .* since 20"):
        await Spool.open(tmp_path / "state")
    await put(spool, logs())


async def test_close_is_safe_twice_and_final(tmp_path):
    """Closing twice is safe; afterwards everything is refused with a clear error."""
    spool = await Spool.open(tmp_path)
    await spool.close()
    await spool.close()
    with pytest.raises(SpoolError, match="closed"):
        await put(spool, logs())


async def test_only_the_owner_can_read(tmp_path):
    """The directory is 0700, every file in it 0600."""
    spool = await Spool.open(tmp_path / "state")
    await put(spool, logs(), durable=True)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "state").iterdir()} == {0o600}
    await spool.close()


@pytest.mark.parametrize(("holds", "mode"), [((), 0o700), (("other",), 0o777)])
async def test_a_directory_of_others_is_left_as_it_is(tmp_path, holds, mode):
    """An empty directory becomes ours; one that holds something, as `/tmp` does, keeps its mode. Our files are 0600 in either."""
    tmp_path.chmod(0o777)
    for name in holds:
        (tmp_path / name).touch(0o644)
    spool = await Spool.open(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == mode
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir() if file.name not in holds} == {0o600}
    await spool.close()


async def test_a_directory_that_is_not_ours_serves(tmp_path, monkeypatch):
    """The root of a volume may belong to another user: a mode that can't be changed is not a reason to refuse."""

    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(type(tmp_path), "chmod", refuse)
    spool = await Spool.open(tmp_path)
    await put(spool, logs(), durable=True)
    await spool.close()


async def test_what_an_exporter_remembers_moves_with_its_cursor(spool):
    """Positions of a destination are stored when a row is settled, not when it is settled again; no source of that name sees them."""
    await spool.register("otlp", [Signal.LOGS])
    await put(spool, logs())
    row = await spool.next_row("otlp", Signal.LOGS)
    await spool.settle("otlp", row, sent=3, positions={"told": b"1"})
    await spool.settle("otlp", row, sent=3, positions={"told": b"2"})
    assert await spool.positions("otlp", Owner.EXPORTER) == {"told": b"1"}
    assert await spool.positions("otlp") == {}


async def test_a_thread_that_ends_unasked_is_told_and_nobody_waits_for_it(tmp_path):
    """Each waiting caller gets an error, and so does `watch`: neither hangs."""
    spool = await Spool.open(tmp_path)

    def end(_store):
        raise SystemExit("a mistake")

    waiting = [spool._thread.do(work, writes=True) for work in (lambda tables: tables.last_seq, end, lambda tables: tables.last_seq)]
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert all(isinstance(one, SpoolError) for one in results[1:])
    with pytest.raises(SpoolError, match="thread has ended: SystemExit: a mistake"):
        await asyncio.wait_for(spool.watch(), 5)
    with pytest.raises(SpoolError, match="closed"):
        await put(spool, logs())
    await asyncio.wait_for(spool.close(), 5)
    again = await Spool.open(tmp_path)
    await again.close()


async def test_whoever_watches_over_a_spool_hears_of_its_end(tmp_path):
    """A requested end is not a failure."""
    spool = await Spool.open(tmp_path)
    watch = asyncio.create_task(spool.watch())
    await spool.close()
    await asyncio.wait_for(watch, 5)
