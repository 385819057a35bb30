"""The bytes that are passed on, those that are kept, and those that are given up."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import itertools
import os
import threading

import pytest

from agent.exec import relay as module
from agent.exec.backlog import Backlog, Piece, Torn
from agent.exec.relay import CHUNK, Relay, write_all


def lines(first, last, size=10):
    """Numbered lines of `size` bytes each, with their end."""
    return b"".join(b"%0*d\n" % (size - 1, number) for number in range(first, last))


def test_what_is_put_is_taken_in_order():
    """Nothing is changed as long as there is room, and pieces are no longer than asked for, unless one chunk is."""
    backlog = Backlog(100)
    for chunk in (b"one\n", b"two", b"\nthree"):
        backlog.put(chunk)

    assert backlog.take(8) == (b"one\ntwo", 0, 0, 0)
    assert backlog.take(1) == (b"\nthree", 0, 0, 0)
    assert not backlog


def test_the_oldest_lines_make_room_for_the_newest():
    """Only whole lines go, they are counted exactly, and what is left begins with a line."""
    backlog = Backlog(100)
    text = lines(0, 30)
    for at in range(0, len(text), 7):
        backlog.put(text[at : at + 7])

    data, lost, skipped, _ = backlog.take(1000)

    assert data == text[skipped:]
    assert (skipped % 10, lost) == (0, skipped // 10)
    assert len(data) > 80


def test_a_line_longer_than_all_room_is_one_line():
    """However many pieces it comes in, and although its end comes late."""
    backlog = Backlog(50)
    for _ in range(20):
        backlog.put(b"x" * 20)
    backlog.put(b"end\nnext\n")

    assert backlog.take(1000) == (b"next\n", 1, 404, 0)


def test_a_line_without_an_end_counts_at_the_end():
    """The given up part of it is a line that is not whole, though no line end ever comes."""
    backlog = Backlog(50)
    for _ in range(4):
        backlog.put(b"x" * 20)
    backlog.end()
    backlog.end()

    assert backlog.take(1000) == (b"", 1, 80, 0)


def test_a_line_whose_beginning_was_taken_counts_as_well():
    """Its rest is given up: who took the beginning has no whole line."""
    backlog = Backlog(30)
    backlog.put(b"begin")
    assert backlog.take(1000).data == b"begin"
    backlog.put(b"ning\n" + lines(0, 2))
    backlog.put(lines(2, 4))

    assert backlog.take(1000) == (lines(2, 4), 3, 25, 0)


@pytest.mark.parametrize("text", [b"a\nb\ncd", b"\n\nab\n"])
def test_a_line_of_which_any_byte_went_is_counted_once(text):
    """Whichever bytes those are, however many pieces they come in."""
    for fate in itertools.product([True, False], repeat=len(text)):
        torn = Torn()
        for byte, gone in zip(text, fate, strict=True):
            (torn.went if gone else torn.came)(bytes([byte]))
        torn.end()
        ends = list(itertools.accumulate((byte == 10 for byte in text), initial=0))

        assert torn.take() == len({number for number, gone in zip(ends, fate, strict=False) if gone})
        assert not torn


class Pipes:
    """A relay between two pipes, in both of which the test has the other end."""

    def __init__(self, **options):
        source, self.write = os.pipe()
        self.read, self.sink = os.pipe()
        self.relay = Relay(source, self.sink, **{"room": 1 << 20, "patience": 5.0, **options})
        self.relay.start()

    async def passed(self, size):
        """So many bytes of what was passed on."""
        data = b""
        while len(data) < size:
            data += await asyncio.to_thread(os.read, self.read, size - len(data))
        return data

    def close(self):
        self.relay.close()
        for fd in (self.write, self.read, self.sink):
            with contextlib.suppress(OSError):
                os.close(fd)
        self.relay.join(5)


@pytest.fixture
def pipes():
    """Makes relays; all are closed at the end."""
    made = []

    def make(**options):
        made.append(Pipes(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()


async def pieces(relay):
    """Everything to the end, as one piece."""
    every = Piece(b"")
    while (piece := await relay.take()) is not None:
        every = Piece(*(one + more for one, more in zip(every, piece, strict=True)))
    return every


async def collect(relay):
    """Everything to the end: bytes, lost lines."""
    return (await pieces(relay))[:2]


async def test_bytes_are_passed_on_and_kept(pipes):
    """Both get the same, to the pipe's end."""
    one = pipes()
    os.write(one.write, b"a\xff\0\n no end")
    os.close(one.write)

    assert await collect(one.relay) == (b"a\xff\0\n no end", 0)
    assert await one.passed(11) == b"a\xff\0\n no end"
    assert one.relay.ended.is_set()


async def test_with_nobody_collecting_output_goes_on(pipes):
    """A stuck collector costs `patience` once; then bytes are passed on at full speed, the oldest lines are given up and counted."""
    one = pipes(room=1 << 16, patience=0.05)
    text = lines(0, 50_000, 100)
    writer = threading.Thread(target=lambda: (write_all(one.write, text), os.close(one.write)))
    writer.start()

    async with asyncio.timeout(10):
        assert await one.passed(len(text)) == text
        data, lost = await collect(one.relay)
    writer.join()

    assert text.endswith(data)
    assert len(data) + lost * 100 == len(text)
    assert 0 < len(data) <= 1 << 16


async def test_a_collector_that_goes_on_is_waited_for(pipes):
    """Slower than the writer by far, it gets every byte: the writer is held up as by a full pipe."""
    one = pipes(room=1 << 16)
    text = lines(0, 10_000, 100)
    writer = threading.Thread(target=lambda: (write_all(one.write, text), os.close(one.write)))
    writer.start()

    async def slowly():
        await asyncio.sleep(0.1)
        return await collect(one.relay)

    passed, (data, lost) = await asyncio.gather(one.passed(len(text)), slowly())
    writer.join()

    assert (passed, data, lost) == (text, text, 0)


async def test_finish_takes_what_the_pipe_holds_although_it_stays_open(pipes):
    """The last bytes are collected; later output of other processes is passed on only."""
    one = pipes()
    os.write(one.write, b"last")
    one.relay.finish()
    collected = await collect(one.relay)
    os.write(one.write, b"other")

    assert collected == (b"last", 0)
    assert await one.passed(9) == b"lastother"


async def test_finish_waits_for_a_reader_that_is_slow(pipes, monkeypatch):
    """All output before the end is passed on, however long our own reader takes."""
    one = pipes()
    fcntl.fcntl(one.sink, fcntl.F_SETPIPE_SZ, 4096)
    data = os.urandom(30_000)
    os.write(one.write, data)
    one.relay.finish()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await one.relay.ended.wait()

    assert await one.passed(len(data)) == data
    await one.relay.ended.wait()


async def test_what_a_full_disk_or_a_gone_reader_does_not_take_is_kept_and_counted(pipes, monkeypatch):
    """The writer continues; lines that are missing or not whole are counted once each, also the last one without an end."""
    room = iter([3, errno.ENOSPC, 100, errno.EPIPE])
    one = pipes()

    def take_some(fd, data, real=os.write):
        if fd != one.sink:
            return real(fd, data)
        if (size := next(room)) in {errno.ENOSPC, errno.EPIPE}:
            raise OSError(size, os.strerror(size))
        return real(fd, data[:size])

    monkeypatch.setattr(os, "write", take_some)
    got = []
    for text in (b"1\n2\n3\n4", b"4\n5\n", b"6\n7"):
        os.write(one.write, text)
        got.append(await one.relay.take())
    os.close(one.write)
    last = await pieces(one.relay)

    assert got == [(b"1\n2\n3\n4", 0, 0, 2), (b"4\n5\n", 0, 0, 1), (b"6\n7", 0, 0, 1)]
    assert last == (b"", 0, 0, 1)
    assert await one.passed(7) == b"1\n24\n5\n"


async def test_abandoned_it_passes_on_and_keeps_nothing(pipes):
    """So many lines were waiting; `take` is at its end."""
    one = pipes()
    os.write(one.write, b"one\ntwo\nthr")
    assert await one.passed(11) == b"one\ntwo\nthr"
    while not one.relay._backlog:  # noqa: ASYNC110 - the thread has no event for it
        await asyncio.sleep(0.001)
    waiting = one.relay.abandon()
    os.write(one.write, b"ee\n")

    assert (waiting, await one.passed(3), await one.relay.take()) == (3, b"ee\n", None)


async def test_abandoned_it_counts_a_line_of_which_the_beginning_is_gone(pipes):
    """A line whose beginning was given up, and whose end has not come, is a lost line, too."""
    one = pipes(room=8, patience=0.0)
    os.write(one.write, b"one\n" + b"x" * 20)
    assert await one.passed(24) == b"one\n" + b"x" * 20
    while not one.relay._backlog._gone.is_open:  # noqa: ASYNC110 - the thread has no event for it
        await asyncio.sleep(0.001)

    assert one.relay.abandon() == 2


async def test_relays_into_one_file_write_into_no_line_of_the_other(pipes, monkeypatch):
    """However their reads are cut: one that has begun a line has its turn to the line's end, if that is there."""
    monkeypatch.setattr(module, "CHUNK", 50)
    monkeypatch.setattr(module, "write_all", lambda fd, chunk: (os.sched_yield(), write_all(fd, chunk))[1])
    turn = threading.Lock()
    turn.acquire()
    one, other = pipes(turn=turn), pipes(turn=turn)
    other.relay._sink = one.sink
    first, second = lines(0, 400, 83), lines(1000, 1400, 97)
    for pipe, text in ((one, first), (other, second)):
        os.write(pipe.write, text)
    turn.release()
    os.close(one.write)
    os.close(other.write)

    both = (await one.passed(len(first) + len(second))).splitlines(keepends=True)
    assert [line for line in both if int(line) < 1000] == first.splitlines(keepends=True)
    assert [line for line in both if int(line) >= 1000] == second.splitlines(keepends=True)


async def test_a_line_without_an_end_keeps_no_other_waiting(pipes):
    """A prompt is passed on at once, and the turn ends."""
    turn = threading.Lock()
    one = pipes(turn=turn)
    os.write(one.write, b"password: ")

    assert await one.passed(10) == b"password: "
    assert await asyncio.to_thread(turn.acquire, True, 5)
    turn.release()


async def test_closed_it_leaves_nothing(pipes):
    """The thread ends although the pipe stays open, and orders that come later go nowhere."""
    one = pipes()
    one.relay.close()
    one.relay.join(5)
    one.relay.finish()

    assert not one.relay._thread.is_alive()
    with pytest.raises(OSError):
        os.fstat(one.relay._source)


def test_a_non_blocking_output_gets_every_byte():
    """When another process that shares our stdout has made it non-blocking, bytes are waited for, not dropped."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETFL, os.O_NONBLOCK)
    data, got = os.urandom(1 << 20), []

    def drain():
        while chunk := os.read(read, 4096):
            got.append(chunk)

    reader = threading.Thread(target=drain)
    reader.start()
    rest = module.write_all(write, data)
    os.close(write)
    reader.join(timeout=10)
    os.close(read)

    assert b"".join(got) == data
    assert rest == b""


async def test_a_trickle_is_taken_together():
    """A collector that lingers gets later bytes in the same piece, and at the end waits for nothing more."""
    source, writer = os.pipe()
    relay = Relay(source, os.open(os.devnull, os.O_WRONLY), room=1 << 20, patience=1.0)
    relay.start()
    os.write(writer, b"one\n")
    taken = asyncio.ensure_future(relay.take(linger=60.0))
    await relay.ready()
    os.write(writer, b"two\n")
    os.close(writer)
    assert (await taken).data == b"one\ntwo\n"
    assert await relay.take(linger=60.0) is None
    relay.join(5.0)


async def test_much_output_is_not_waited_for():
    """More than a pipe holds is taken at once, however long one would linger."""
    source, writer = os.pipe()
    relay = Relay(source, os.open(os.devnull, os.O_WRONLY), room=1 << 20, patience=1.0)
    relay.start()
    async with asyncio.timeout(30.0):
        await asyncio.to_thread(os.write, writer, b"x" * (CHUNK + 1))
        assert len((await relay.take(linger=60.0)).data) >= CHUNK
    os.close(writer)
    relay.join(5.0)
