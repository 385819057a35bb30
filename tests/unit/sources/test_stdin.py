"""Standard input as a source, over a pipe and over a file."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from agent.errors import SpoolError
from agent.sources.stdin import Stdin, StdinConfig
from agent.testing.context import make_context
from agent.testing.sink import Sink


def make(fd: int, **options) -> Stdin:
    """The source on a descriptor of the test's."""
    return Stdin(StdinConfig(**options), make_context(), fd)


@pytest.fixture
def pipe():
    """A pipe's two ends; whatever the test leaves open is closed."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        with contextlib.suppress(OSError):
            os.close(fd)


async def test_reads_to_the_end(pipe):
    """Every line becomes a record, the last one also without a line end; then the source is done."""
    read, write = pipe
    os.write(write, b'{"event": "one", "n": 1}\n{"event": "two"}\nthree')
    os.close(write)
    sink = Sink()
    await make(read).run(sink.emit)
    assert [record.body for record in sink.records] == ["one", "two", "three"]
    assert sink.records[0].attributes == {"n": 1}
    assert {record.origin.attributes["log.iostream"] for record in sink.records} == {"stdin"}


async def test_a_line_in_two_reads_is_one_record(pipe):
    """A line that arrives in pieces is one record, with its offset in the stream."""
    read, write = pipe
    sink = Sink()
    task = asyncio.get_running_loop().create_task(make(read).run(sink.emit))
    for piece in (b"one\nt", b"w", b"o\n"):
        os.write(write, piece)
        await asyncio.sleep(0.01)
    os.close(write)
    await task
    assert [(record.body, record.offset) for record in sink.records] == [("one", 0), ("two", 4)]


async def test_a_traceback_is_complete_when_nothing_follows(pipe):
    """A traceback is joined, and closed after a quiet moment though the pipe stays open."""
    read, write = pipe
    os.write(write, b'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\nValueError: x\n')
    sink = Sink()
    task = asyncio.get_running_loop().create_task(make(read, quiet=0.02).run(sink.emit))
    async with asyncio.timeout(5):
        await sink.arrived.wait()
    os.close(write)
    await task
    assert len(sink.records) == 1


async def test_a_regular_file(tmp_path):
    """Input redirected from a file is read as well, although it can't be waited for."""
    file = tmp_path / "input"
    file.write_bytes(b"".join(b"line %d\n" % number for number in range(20_000)))
    fd = os.open(file, os.O_RDONLY)
    sink = Sink()
    await make(fd).run(sink.emit)
    os.close(fd)
    assert [record.body for record in sink.records] == [f"line {number}" for number in range(20_000)]


async def test_nothing_is_lost_by_a_refusal(pipe):
    """A batch that was refused is the first of the next run."""
    read, write = pipe
    os.write(write, b"one\ntwo\n")
    os.close(write)
    answers = iter([True, True, False])
    sink = Sink(lambda: next(answers, False))
    source = make(read)
    for _ in range(2):
        with pytest.raises(SpoolError):
            await source.run(sink.emit)
    await source.run(sink.emit)
    assert [record.body for record in sink.records] == ["one", "two"]


async def test_a_long_line_is_cut_and_counted(pipe):
    """A line beyond the limit is cut into pieces, none of which is lost, and every cut is counted."""
    read, write = pipe
    os.write(write, b"x" * 2500 + b"\nend\n")
    os.close(write)
    sink = Sink()
    await make(read, max_line_size=1024).run(sink.emit)
    assert [len(record.body) for record in sink.records] == [1024, 1024, 452, 3]
    assert sink.drops == {"oversized": 2}


TRACEBACK = b'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\nZeroDivisionError: division by zero\n'


async def stopped(source, sink):
    """Run it until it waits for input, then cancel it, as the host does at the end of a configuration."""
    task = asyncio.get_running_loop().create_task(source.run(sink.emit))
    await asyncio.sleep(0.02)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_what_is_held_at_the_end_is_stored(pipe):
    """Half a line and an open traceback are records, and so is the unread content of the pipe."""
    read, write = pipe
    source, sink = make(read, quiet=60), Sink()
    os.write(write, TRACEBACK)
    await stopped(source, sink)
    assert sink.records == []
    os.write(write, b"unread\nhalf a li")
    await source.finish(sink.emit)
    await source.finish(sink.emit)

    assert [record.attributes.get("exception.type") for record in sink.records] == ["ZeroDivisionError", None, None]
    assert [record.body for record in sink.records][1:] == ["unread", "half a li"]


async def test_a_reload_goes_on_within_the_line_and_the_traceback(pipe):
    """The line and the record of the configuration before are neither lost nor cut: the next one has the rest."""
    read, write = pipe
    sink, first, second, third = Sink(), make(read, quiet=60), make(read, quiet=60), make(read, quiet=60)
    os.write(write, b"one\n" + TRACEBACK[:70])
    await stopped(first, sink)
    second.take_over(first)
    os.write(write, TRACEBACK[70:] + b"tw")
    await stopped(second, sink)
    third.take_over(second)
    os.write(write, b"o\n")
    os.close(write)
    await third.run(sink.emit)

    assert [record.attributes.get("exception.type") for record in sink.records] == [None, "ZeroDivisionError", None]
    assert [(record.body, record.offset) for record in sink.records][::2] == [("one", 0), ("two", 4 + len(TRACEBACK))]


async def test_a_reload_with_another_format_closes_what_the_old_one_had_open(pipe):
    """The open record is the old format's last; the line continues."""
    read, write = pipe
    sink, first, second = Sink(), make(read, quiet=60), make(read, format="logfmt")
    os.write(write, TRACEBACK + b"msg=")
    await stopped(first, sink)
    second.take_over(first)
    os.write(write, b"hello\n")
    os.close(write)
    await second.run(sink.emit)

    assert sink.records[0].attributes["exception.type"] == "ZeroDivisionError"
    assert sink.records[1].body == "hello"


async def test_a_batch_that_was_committed_while_it_was_cut_off_is_not_repeated(pipe):
    """Whether it was is asked of the committed position, never guessed."""
    read, write = pipe
    sink = Sink()
    source = Stdin(StdinConfig(), make_context(positions=sink.positions), read)

    async def commits_and_is_cancelled(batch):
        await sink.emit(batch)
        raise asyncio.CancelledError

    os.write(write, b"one\n")
    with pytest.raises(asyncio.CancelledError):
        await source.run(commits_and_is_cancelled)
    os.write(write, b"two\n")
    os.close(write)
    await source.run(sink.emit)

    assert [record.body for record in sink.records] == ["one", "two"]
