from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from agent.clock import SystemClock
from agent.history.file import HistoryFile
from agent.history.store import MOST_WAITING, History
from agent.metrics import Metrics
from agent.telemetry import Telemetry

ROOT = Path(__file__).parents[3]
SECOND = 10**9
NOW = 1_800_000_000 * SECOND
DAY = 86_400.0


class Observed(Telemetry):
    """Keeps the events."""

    def __init__(self):
        super().__init__(Metrics({}, SystemClock()), SystemClock())
        self.events = []

    def emit(self, event):
        self.events.append(event)

    @property
    def lost(self):
        return [(event.reason, event.count) for event in self.events]


@pytest.fixture
def telemetry():
    """Where the store reports."""
    return Observed()


@pytest.fixture
async def history(tmp_path, telemetry):
    """A store in a state directory, with a clock that stands still."""
    made = History(tmp_path, telemetry, wall_ns=lambda: NOW)
    yield made
    await made.close()


def samples(history, *, age=DAY, most_bytes=4 << 20):
    """A series."""
    return history.series("sample", age=age, most_bytes=most_bytes)


async def test_what_was_added_is_found_by_time_and_key(history):
    """Entries come back oldest first, within a time and of a key, written or not; the newest ones where there are too many."""
    cpu, runs = samples(history), history.series("test", age=DAY, most_bytes=1 << 20)
    for second in range(10):
        cpu.add(NOW + second * SECOND, "cpu" if second % 2 else "memory", {"value": second})
    runs.add(NOW, "test_a", ["passed", 1.5])
    assert [entry.value["value"] for entry in await cpu.query()] == list(range(10))
    cpu.add(NOW + 10 * SECOND, "cpu", {"value": 10})
    assert [entry.value["value"] for entry in await cpu.query(key="memory", since_ns=NOW + 2 * SECOND, until_ns=NOW + 6 * SECOND)] == [
        2,
        4,
        6,
    ]
    assert [entry.value["value"] for entry in await cpu.query(limit=3)] == [8, 9, 10]
    assert [tuple(entry) for entry in await runs.query()] == [(NOW, "test_a", ["passed", 1.5])]


async def test_an_entry_is_replaced_by_one_of_the_same_time_and_key(history):
    """An entry that is imported twice is there once."""
    runs = samples(history)
    for outcome in ("failed", "passed", "passed"):
        runs.add(NOW, "test_a", outcome)
        await history.flush()
    assert [entry.value for entry in await runs.query()] == ["passed"]


async def test_entries_survive_the_end(tmp_path, history, telemetry):
    """`close` writes what waits; the next agent finds it."""
    samples(history).add(NOW, "k\udcff", "é\udcff")
    await history.close()
    again = History(tmp_path, telemetry, wall_ns=lambda: NOW)
    assert [(entry.key, entry.value) for entry in await samples(again).query(key="k\udcff")] == [("k?", "é\udcff")]
    await again.close()
    assert telemetry.events == []


async def test_while_nothing_uses_it_there_is_nothing(tmp_path, history):
    """Neither a file nor a thread, also after a flush of nothing and a close."""
    before = set(threading.enumerate())
    samples(history)
    await history.flush()
    await history.close()
    assert (list(tmp_path.iterdir()), set(threading.enumerate()) - before) == ([], set())


async def test_only_the_owner_can_read_it(tmp_path, history):
    """File and log are 0600."""
    samples(history).add(NOW, "k", 1)
    await history.flush()
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"history.db": 0o600, "history.db-wal": 0o600}


async def test_old_entries_go(history):
    """Entries older than the age of their series are deleted, those of another series are not."""
    short, long = history.series("short", age=60, most_bytes=1 << 20), history.series("long", age=DAY, most_bytes=1 << 20)
    for series in (short, long):
        for ago in (3600, 61, 59):
            series.add(NOW - ago * SECOND, "k", ago)
    await history.flush()
    assert [entry.value for entry in await short.query()] == [59]
    assert [entry.value for entry in await long.query()] == [3600, 61, 59]


async def test_a_series_takes_no_more_than_its_bytes(tmp_path, history):
    """The oldest entries go; file and log stay near the limit, however many come, and another series keeps all of its own."""
    small, other = samples(history, most_bytes=1 << 20), history.series("test", age=DAY, most_bytes=1 << 20)
    other.add(NOW - 3600 * SECOND, "kept", 1)
    for minute in range(30):
        for number in range(1000):
            small.add(NOW + (minute * 1000 + number) * 1_000_000, f"process.{number % 20}.cpu", {"value": number * 0.37})
        await history.flush()
    kept = await small.query(limit=10**6)
    assert kept[-1].time_ns == NOW + 29_999 * 1_000_000
    assert len(kept) > 5000
    assert kept[0].time_ns > NOW
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 << 20
    assert [entry.key for entry in await other.query()] == ["kept"]


@pytest.mark.parametrize("damage", [b"", b"no database" * 900, bytes(100)], ids=["empty", "foreign", "header"])
async def test_a_damaged_file_is_begun_anew_and_counted(tmp_path, history, telemetry, damage):
    """Waiting entries are written to the new file."""
    series = samples(history)
    for number in range(200):
        series.add(NOW + number, "k", "x" * 200)
    await history.close()
    content = (tmp_path / "history.db").read_bytes()
    (tmp_path / "history.db").write_bytes(damage + content[len(damage) :] if len(damage) == 100 else damage)
    again = History(tmp_path, telemetry, wall_ns=lambda: NOW)
    samples(again).add(NOW + 999, "k", "new")
    assert [entry.value for entry in await samples(again).query()] == ["new"]
    await again.close()
    assert telemetry.lost == ([("damaged", 1)] if damage else [])


async def test_no_damaged_page_makes_it_raise(tmp_path, history, telemetry):
    """Whichever page is overwritten, the store returns sound entries only, or replaces the file; it never raises."""
    series = samples(history)
    for number in range(2000):
        series.add(NOW + number, f"key {number % 7}", number)
    await history.close()
    content = (tmp_path / "history.db").read_bytes()
    for page in range(0, len(content) // 4096, 5):
        (tmp_path / "history.db").write_bytes(content[: page * 4096] + b"\xa5" * 4096 + content[(page + 1) * 4096 :])
        again = History(tmp_path, telemetry, wall_ns=lambda: NOW)
        found = await samples(again).query()
        assert {(entry.time_ns - NOW) for entry in found} <= set(range(2000))
        assert all(entry.value == entry.time_ns - NOW for entry in found)
        await again.close()
    assert ("damaged", 1) in telemetry.lost


@pytest.mark.parametrize("column", ["value = x'7b7b'", "value = 'a text'", "value = x'ff'", "key = x'61'"])
async def test_a_damaged_entry_does_not_reach_the_reader(tmp_path, history, telemetry, column):
    """An entry whose bytes are not what was stored is damage of the file, not an error of the query."""
    samples(history).add(NOW, "k", 1)
    await history.close()
    connection = apsw.Connection(str(tmp_path / "history.db"))
    connection.execute(f"UPDATE entries SET {column}")
    connection.close()
    assert await samples(history).query() == []
    assert [event.reason for event in telemetry.events] == ["damaged"]


async def test_a_time_that_cant_be_stored_is_refused_alone(history):
    """A time beyond 64 bits is the caller's error at once; the entries beside it are written, and a query may ask beyond it."""
    series = samples(history)
    series.add(NOW, "k", 1)
    with pytest.raises(ValueError, match="is not a time"):
        series.add(1 << 63, "k", 2)
    await history.flush()
    assert [entry.value for entry in await series.query(since_ns=-(1 << 70), until_ns=1 << 70)] == [1]


async def test_a_flush_that_is_cancelled_loses_nothing(history, monkeypatch):
    """Entries of a flush that was cancelled before they were written wait for the next one."""
    series = samples(history)
    series.add(NOW, "k", 1)
    with monkeypatch.context() as failing:
        failing.setattr(HistoryFile, "write", lambda *_: False)
        task = asyncio.ensure_future(history.flush())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await history.flush()
    assert [entry.value for entry in await series.query()] == [1]


async def test_a_file_of_a_later_version_is_begun_anew(tmp_path, history, telemetry):
    """It can be rebuilt: an older agent does not stop for it."""
    samples(history).add(NOW, "k", 1)
    await history.close()
    connection = apsw.Connection(str(tmp_path / "history.db"))
    connection.pragma("user_version", 7)
    connection.close()
    again = History(tmp_path, telemetry, wall_ns=lambda: NOW)
    assert await samples(again).query() == []
    await again.close()
    assert telemetry.lost == [("damaged", 1)]


async def test_a_file_that_was_deleted_is_made_again(tmp_path, history):
    """Later entries are not written into a file without a name."""
    series = samples(history)
    series.add(NOW, "k", 1)
    await history.flush()
    (tmp_path / "history.db").unlink()
    series.add(NOW + 1, "k", 2)
    await history.flush()
    assert (tmp_path / "history.db").exists()
    assert [entry.value for entry in await series.query()] == [2]


async def test_what_cant_be_written_waits_within_bounds(history, telemetry, monkeypatch):
    """On a full disk entries stay in memory and are found; beyond a MiB the oldest go, counted; once there is room the rest is stored."""
    series = samples(history)
    real = HistoryFile.write

    def full(*_arguments):
        error = apsw.FullError("database or disk is full")
        error.system_errno = errno.ENOSPC
        raise error

    monkeypatch.setattr(HistoryFile, "write", full)
    for number in range(100):
        series.add(NOW + number, "k", number)
    await history.flush()
    assert [entry.value for entry in await series.query()] == list(range(100))
    assert set(telemetry.lost) == {("not_written", 0)}
    for number in range(100, 200):
        series.add(NOW + number, "k", "x" * 15_000)
    assert sum(count for _, count in telemetry.lost) > 100
    monkeypatch.setattr(HistoryFile, "write", real)
    await history.flush()
    kept = await series.query()
    assert kept[-1].time_ns == NOW + 199
    assert len(kept) == 200 - sum(count for _, count in telemetry.lost)
    assert sum(len(entry.value) for entry in kept) <= MOST_WAITING


async def test_flushes_at_the_same_time_write_each_entry_once(history):
    """They follow one another."""
    series = samples(history)
    for number in range(50):
        series.add(NOW + number, "k", number)
    await asyncio.gather(*(history.flush() for _ in range(5)), series.query())
    assert len(await series.query()) == 50


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from agent.clock import SystemClock
from agent.history.store import History
from agent.metrics import Metrics
from agent.telemetry import Telemetry

async def main():
    history = History(Path(sys.argv[1]), Telemetry(Metrics({}, SystemClock()), SystemClock()), wall_ns=lambda: 10**18)
    series = history.series("sample", age=1e6, most_bytes=1 << 20)
    for number in range(3000):
        series.add(10**18 + number, "k", "x" * 100)
        if number % 100 == 99:
            await history.flush()
            print(number, flush=True)

asyncio.run(main())
"""


def killed_after(directory, lines):
    """Kill the program after so many flushes; return the number of the last entry that it had flushed."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(directory)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as program:
        flushed = [int(program.stdout.readline()) for _ in range(lines)][-1]
        program.kill()
    return flushed


async def test_a_kill_loses_only_what_was_not_flushed(tmp_path, telemetry):
    """Killed at any moment, the file is sound and holds all that was flushed."""
    for lines in (1, 4, 9):
        flushed = await asyncio.to_thread(killed_after, tmp_path, lines)
        history = History(tmp_path, telemetry, wall_ns=lambda: 10**18)
        found = await history.series("sample", age=1e6, most_bytes=1 << 20).query()
        assert [entry.time_ns - 10**18 for entry in found][: flushed + 1] == list(range(flushed + 1))
        await history.close()
    assert telemetry.events == []
