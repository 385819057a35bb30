"""A command's output and its end, without a command: relays are fed by hand. Real ones: tests/integration/test_child.py."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from unittest.mock import Mock

import pytest

from agent.clock import SystemClock
from agent.exec import child as module
from agent.exec import output as output_module
from agent.exec.backlog import Piece
from agent.exec.child import Child, ChildOptions
from agent.exec.command import UNKNOWN, Exit, StartError
from agent.exec.output import TRIES, Output
from agent.issues.reading.exits import read_exit_status
from agent.record import Origin
from agent.target.process_records import Observed, described, ended_record
from agent.testing.clock import FakeClock
from agent.testing.sink import Sink, hang

TRACEBACK = b'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\nValueError: x\n'


class Fed:
    """A relay whose pieces are given; it ends after the last, unless it is left open."""

    def __init__(self, *pieces, end=True):
        self.pieces = [piece if isinstance(piece, Piece) else Piece(piece) for piece in pieces]
        self.end = end

    async def ready(self):
        if not self.pieces and not self.end:
            await asyncio.Event().wait()

    def abandon(self):
        """So many lines were waiting."""
        return 5 if self.end else 0

    async def take(self, linger=0.0):  # noqa: ARG002 - nothing comes meanwhile
        return self.pieces.pop(0) if self.pieces else None


def output(*pieces, **options):
    """The output that brings these pieces."""
    return Output(Fed(*pieces, **options), Origin("child:1:stdout", {"log.iostream": "stdout"}), "auto", SystemClock())


async def well():
    """The end of a command without an error."""
    return Exit(0)


async def collect(*pieces):
    """All that is emitted of them."""
    sink = Sink()
    await output(*pieces).collect(sink.emit, well)
    return sink


def told(sink):
    """Bodies and offsets."""
    return [(record.body, record.offset) for record in sink.records]


async def test_lines_are_records_however_they_come():
    """Pieces are cut anywhere; the last line needs no end, and offsets are those in the stream."""
    assert told(await collect(b"one\ntw", b"o\n", b"three")) == [("one", 0), ("two", 4), ("three", 8)]


async def test_a_line_without_an_end_is_cut_and_counted(monkeypatch):
    """However much a child writes without a newline, no more than one piece is held, nothing of it is lost, and offsets run on."""
    monkeypatch.setattr(output_module, "LONGEST", 1000)

    sink = await collect(b"x" * 1500, b"y" * 700, b"z\nend\n")

    assert [(len(body), offset) for body, offset in told(sink)] == [(1000, 0), (1000, 1000), (201, 2000), (3, 2202)]
    assert sink.drops == {"oversized": 2}


async def test_a_gap_is_counted_and_nothing_is_joined_over_it():
    """The line before the gap is a record as far as it goes; the one behind it begins at its own offset."""
    sink = await collect(b"one\nhalf of", Piece(b"five\n", lost=3, skipped=20), b"six\n")

    assert told(sink) == [("one", 0), ("half of", 4), ("five", 31), ("six", 36)]
    assert sink.drops == {"buffer_full": 3}


async def test_what_was_not_passed_on_is_a_record_and_is_counted():
    """The last count comes without a line."""
    sink = await collect(Piece(b"one\ntwo\nthr", unwritten=2), b"ee", Piece(b"", unwritten=1))

    assert told(sink) == [("one", 0), ("two", 4), ("three", 8)]
    assert sink.drops == {"not_passed_on": 3}


async def test_a_gap_ends_a_traceback():
    """Lines behind a gap do not belong to a traceback before it."""
    sink = await collect(TRACEBACK[:60], Piece(b"    later()\n", lost=1, skipped=9))

    assert [body.strip() for body, _ in told(sink)] == ["Traceback (most recent call last):", 'File "a.py", line 1, in', "later()"]


async def test_a_traceback_is_complete_when_nothing_follows(monkeypatch):
    """It is one record, given out after a quiet moment though the command runs on."""
    monkeypatch.setattr(output_module, "QUIET", 0.01)
    sink = Sink()
    task = asyncio.get_running_loop().create_task(output(TRACEBACK, end=False).collect(sink.emit, well))
    async with asyncio.timeout(5):
        await sink.arrived.wait()
    task.cancel()

    assert [record.attributes["exception.type"] for record in sink.records] == ["ValueError"]


async def test_a_batch_is_tried_again_and_then_given_up_and_counted():
    """A spool that fails neither ends the agent nor blocks the command for ever, and what is lost is known: records, and counts of before."""
    clock, refusals = FakeClock(), iter([True] * (TRIES + 2))
    sink = Sink(lambda: next(refusals, False))
    one = Output(Fed(Piece(b'{"event": "given up"}\n', unwritten=1), b'{"event": "stored in the end"}\n'), Origin("child"), "auto", clock)
    task = asyncio.ensure_future(one.collect(sink.emit, well))
    while not task.done():
        await clock.advance(2.0)

    assert [record.body for record in sink.records] == ["stored in the end"]
    assert sink.drops == {"spool_failed": 1, "not_passed_on": 1}
    assert one.give_up() == {"spool_failed": 5}


async def test_a_batch_that_is_cut_off_is_counted_with_the_lines_that_wait():
    """The end does not wait for the store for ever: records, an open one whose last line has no end, and the relay's lines are all counted."""
    one = output(Piece(b'{"event": "one"}\n{"event": "two"}\n' + TRACEBACK[:-1], lost=3, skipped=9))
    task = asyncio.ensure_future(one.collect(hang, well))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])

    assert one.give_up() == {"spool_failed": 3 + 5, "buffer_full": 3}


@pytest.mark.parametrize(
    ("returncode", "words", "code"), [(-11, "killed by SIGSEGV", 139), (-35, "killed by SIG35", 163), (3, "exited with code 3", 3)]
)
def test_every_way_to_end_has_a_name_and_a_code(returncode, words, code):
    """So do signals that have no name in the standard library."""
    assert (described(returncode).words, Exit(returncode).code) == (words, code)


@pytest.mark.parametrize(("command", "code"), [(("/no/such/program",), 127), (("/etc/passwd",), 126), (("a\0b",), 126)])
async def test_a_command_that_cannot_start_leaves_nothing_open(command, code):
    """It is reported with the code of a shell, and no pipe stays open."""
    before = os.listdir("/proc/self/fd")

    with pytest.raises(StartError, match=command[0][:2]) as raised:
        Child.start(ChildOptions(command, 1 << 16, 0.0), SystemClock())

    assert (raised.value.code, os.listdir("/proc/self/fd")) == (code, before)


@pytest.mark.parametrize("missing", ["relay-1", "relay-2"])
async def test_without_a_thread_for_its_output_the_command_is_not_started(monkeypatch, missing):
    """A caller that then runs it without the agent would start it a second time; nothing stays open."""
    real = threading.Thread.start

    def start(thread):
        if thread.name == missing:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(module, "popen", lambda *_: pytest.fail("it was started"))
    before = os.listdir("/proc/self/fd")

    with pytest.raises(RuntimeError, match="thread"):
        Child.start(ChildOptions(("app",), 1 << 16, 0.0), SystemClock())

    assert os.listdir("/proc/self/fd") == before


class Process:
    """A process that has ended."""

    pid, returncode = 1, None


def started():
    """A child that was started, as far as it knows."""
    return Child(Process(), ChildOptions(("app",), 1 << 16, 0.0), {1: Fed()}, 0, SystemClock())


async def ended(returncode, *asked):
    """The record of such an end, after these signals were handed on."""
    child, sink = started(), Sink()
    for number in asked:
        child.send_signal(number)
    child._end(returncode)
    await child.run(sink.emit)
    [record] = sink.records
    return record


async def test_the_last_record_says_how_it_ended_and_whether_it_was_asked_to(monkeypatch):
    """A signal that was handed on is a request, and nothing is handed on after the end."""
    child, sink, sent = started(), Sink(), []
    monkeypatch.setattr(os, "kill", lambda *asked: sent.append(asked))

    child.send_signal(signal.SIGUSR2)
    child._end(-signal.SIGUSR2)
    child.send_signal(signal.SIGUSR1)
    await child.run(sink.emit)

    [record] = sink.records
    assert sent == [(1, signal.SIGUSR2)]
    assert record.body == "process killed by SIGUSR2"
    assert (record.attributes["process.exit.signal"], record.attributes["process.exit.requested"]) == ("SIGUSR2", True)


@pytest.mark.parametrize(
    ("returncode", "severity", "requested"),
    [
        *[(0, "INFO", None), (-15, "INFO", True), (-2, "INFO", True), (143, "INFO", True), (130, "INFO", True)],
        *[(3, "ERROR", None), (-9, "FATAL", None), (-11, "FATAL", None), (137, "ERROR", None)],
    ],
)
async def test_a_planned_end_is_no_error_whoever_planned_it(returncode, severity, requested):
    """SIGTERM and SIGINT that others send end a process as its supervisor has planned."""
    record = await ended(returncode)

    assert (record.severity_text, record.attributes.get("process.exit.requested")) == (severity, requested)


@pytest.mark.parametrize("returncode", [0, 1, 2, 127, 130, 137, 143, -1, -2, -6, -9, -11, -15, -35])
async def test_an_end_means_the_same_under_exec_and_run(returncode):
    """Whether it is an issue, what its session says, and how severe it is does not depend on whose child it was."""
    status = returncode << 8 if returncode >= 0 else -returncode
    ours, others = await ended(returncode), ended_record(Observed("boot", 1, 2, 3, "app"), status, 0, 4, emptied=True)

    judged = [
        (read_exit_status(one).good, read_exit_status(one).bad, read_exit_status(one).session_status, one.severity)
        for one in (ours, others)
    ]
    assert judged[0] == judged[1]


async def test_an_end_that_somebody_else_waited_for_is_unknown_and_no_success():
    """There is nothing left to wait for: the end is known, and how is not."""
    child, sink = started(), Sink()

    child.reap()
    await child.run(sink.emit)

    [record] = sink.records
    assert (child.exit, child.exit.code) == (Exit(None), UNKNOWN)
    assert (record.severity_text, record.attributes["process.exit.unknown"]) == ("WARN", True)
    assert "process.exit.code" not in record.attributes


async def test_the_end_of_its_output_is_not_the_end_of_it():
    """A command may close its outputs and continue; it is silent when it has ended as well, in either order."""
    for steps in (("out", "out", "end"), ("end", "out", "out"), ("out", "end", "out")):
        child, heard = started(), []
        child._outputs = [Mock(relay=Mock(ended=asyncio.Event())) for _ in range(2)]
        waiting = iter([one.relay.ended for one in child._outputs])
        silent = asyncio.ensure_future(child.silent())
        for step in steps:
            next(waiting).set() if step == "out" else child._end(0)
            await asyncio.sleep(0.001)
            heard.append(silent.done())

        assert heard == [False, False, True]
