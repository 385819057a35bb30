"""The command of `exec`, as the host sees it."""

from __future__ import annotations

import asyncio
import signal
import sys
from unittest.mock import AsyncMock, Mock

import pytest

from agent.config import load
from agent.exec import unobserved
from agent.exec.child import ChildConfig, Exit
from agent.host import wrapped as module
from agent.host.builder import Builder
from agent.host.wrapped import LINGER, LONGEST_LINGER, Wrapped
from agent.record import Batch
from agent.telemetry import AgentImpaired, OutputLost
from agent.testing.context import make_context
from agent.testing.sink import hang


@pytest.fixture(autouse=True)
def _signals_not_ignored():
    """A shell starts what runs in the background with SIGINT and SIGQUIT ignored, `nohup` with SIGHUP: these tests are about others."""
    former = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGQUIT)}
    former[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def config(*command):
    """The options of a wrapped command."""
    return ChildConfig(command=command, buffer=1 << 20, patience=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM])
async def test_a_signal_before_the_start_calls_the_command_off(number):
    """It is not swallowed: the command is never started, and the code is a shell's."""
    causes = []
    wrapped = Wrapped(config("/no/such/program"), Mock(), causes.append)

    wrapped.forward(number)
    async with asyncio.TaskGroup() as life:
        assert wrapped.attach(Mock(), life) == ""

    assert causes == [number.name]
    assert wrapped.code == 128 + number


async def test_a_mistake_in_collecting_neither_ends_the_agent_nor_the_commands_output(capfd):
    """The child is the host's to supervise: what it says after the failure is collected, and its code comes back."""
    kept, mistakes, ended = [], [RuntimeError("a bug")], asyncio.Event()
    script = "import time; print('first', flush=True); time.sleep(1); print('second')"
    context = make_context("child")
    wrapped = Wrapped(config(sys.executable, "-c", script), context, lambda _cause: ended.set())

    async def emit(batch):
        if mistakes:
            raise mistakes.pop()
        kept.extend(record.body for record in batch.records)

    builder = Mock(context=Mock(return_value=context), settling=Mock(return_value=0.0))
    builder.intake.return_value.emit = emit
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, wrapped.reap)
    async with asyncio.TaskGroup() as life:
        assert wrapped.attach(builder, life) is not None
        await ended.wait()
    loop.remove_signal_handler(signal.SIGCHLD)
    await wrapped.child.close()

    assert kept == ["second", "process exited with code 0"]
    assert wrapped.code == 0
    assert {"first", "second"} <= set(capfd.readouterr().out.splitlines())


def test_a_signal_that_ends_nothing_is_forgotten_before_the_start():
    """SIGUSR1 has nobody to mean anything to yet."""
    causes = []
    wrapped = Wrapped(config("true"), Mock(), causes.append)

    wrapped.forward(signal.SIGUSR1)

    assert (causes, wrapped.code) == ([], 0)


class Running:
    """A command that runs, and what it was sent."""

    def __init__(self, *, same_group=True, exited=False):
        self.sent, self.shares_our_terminal = [], same_group
        self.exited = Mock(done=Mock(return_value=exited))

    def send_signal(self, number):
        """Note it."""
        self.sent.append(number)


@pytest.mark.parametrize(("by_terminal", "same_group", "sent"), [(True, True, 0), (False, True, 1), (True, False, 1), (False, False, 1)])
def test_a_signal_is_handed_on_unless_the_terminal_has_done_so(by_terminal, same_group, sent):
    """The kernel sends Ctrl-C to the whole foreground process group; a `kill` is for us alone."""
    wrapped = Wrapped(config("app"), Mock(), Mock())
    wrapped.child = child = Running(same_group=same_group)

    wrapped.forward(signal.SIGINT, by_terminal)

    assert len(child.sent) == sent


def test_a_command_that_runs_as_another_user_is_told_of(monkeypatch):
    """`sudo` takes no signal of ours: that is said, and nothing breaks."""
    host, told = make_context("child"), []
    monkeypatch.setattr(type(host.telemetry), "emit", lambda _self, event: told.append(event))
    wrapped = Wrapped(config("app"), host, Mock())
    wrapped.child = Running()
    wrapped.child.send_signal = Mock(side_effect=PermissionError)

    wrapped.forward(signal.SIGTERM)

    assert [(type(event), "another user" in str(event)) for event in told] == [(AgentImpaired, True)]


def test_without_the_agent_the_exit_code_comes_back_whatever_was_inherited():
    """Whoever starts us may ignore SIGCHLD, and we with it; then nothing could be waited for."""
    former = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert unobserved.see_to_its_end(None, ["sh", "-c", "exit 3"], Mock()) == 3
    finally:
        signal.signal(signal.SIGCHLD, former)


@pytest.mark.parametrize("error", [PermissionError, ProcessLookupError])
def test_without_the_agent_a_signal_that_finds_nobody_is_not_the_last(monkeypatch, error):
    """The thread that hands signals on lives on."""
    monkeypatch.setattr(unobserved.os, "kill", Mock(side_effect=error))

    unobserved._hand_on(1, signal.SIGTERM, False)

    assert unobserved.os.kill.called


@pytest.mark.parametrize(("number", "hurried"), [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGUSR1, False)])
def test_after_its_end_a_signal_that_ends_ends_the_waiting(number, hurried):
    """The command would have ended by it, had it still been writing."""
    wrapped = Wrapped(config("app"), Mock(), Mock())
    wrapped.child, wrapped._living = Running(exited=True), Mock()

    wrapped.forward(number)

    assert (wrapped._living.cancel.called, wrapped.child.sent) == (hurried, [])


class Ended:
    """A command whose output was all passed on, and cannot be stored."""

    def __init__(self):
        loop = asyncio.get_running_loop()
        self.exited, self.silent = loop.create_future(), loop.create_future()
        self.exited.set_result(Exit(-9))
        self.silent.set_result(None)

    async def run(self, emit):
        """Emit one batch, for ever."""
        await emit(Batch(records=[None, None]))

    def give_up(self):
        """So many lines more were waiting."""
        return 5


async def test_a_store_that_is_stuck_does_not_hold_the_end_up(monkeypatch):
    """After a while what is left is given up, told and counted; the command's code comes back."""
    monkeypatch.setattr(module, "STORING", 0.02)
    monkeypatch.setattr(module, "COUNTING", 0.02)
    monkeypatch.setattr(module, "LINGER", 0)
    host, causes, lost = make_context("child"), [], []
    wrapped = Wrapped(config("app"), host, causes.append)
    wrapped._intake = Mock(emit=hang, lose=lambda batch, reason: lost.append((len(batch.records), str(reason))))
    monkeypatch.setattr(type(host.telemetry), "emit", lambda _self, event: causes.append(event))

    async with asyncio.timeout(5):
        await wrapped._live(Ended())

    assert (lost, wrapped.code) == ([(2, "spool_failed")], 128 + 9)
    assert causes == [OutputLost(7), "the command has ended"]


async def test_a_second_signal_ends_the_counting_as_well(monkeypatch):
    """It comes while the store is asked to take a count that it does not take: the agent's end is not forgotten over it."""
    monkeypatch.setattr(module, "COUNTING", 30)
    counting, causes = asyncio.Event(), []
    wrapped = Wrapped(config("app"), make_context("child"), causes.append)

    async def emit(batch):
        if batch.drops:
            counting.set()
        await hang(batch)

    wrapped._intake = Mock(emit=emit)
    wrapped.child = child = Ended()
    wrapped._living = asyncio.create_task(wrapped._live(child))
    await asyncio.sleep(0)
    wrapped.forward(signal.SIGTERM)
    async with asyncio.timeout(5):
        await counting.wait()
        wrapped.forward(signal.SIGTERM)
        await asyncio.wait([wrapped._living])

    assert (causes, wrapped.code) == (["the command has ended"], 128 + 9)


async def test_what_was_given_up_at_the_end_is_counted_in_the_ledger():
    """If the store takes a count by then."""
    wrapped, counted = Wrapped(config("app"), make_context("child"), Mock()), []

    async def emit(batch):
        counted.append(dict(batch.drops))

    wrapped._intake = Mock(emit=emit)
    await wrapped._account(5)
    await wrapped._account(0)

    assert counted == [{"spool_failed": 5}]


@pytest.mark.parametrize(
    ("told", "settling", "wanted"), [(False, 0.0, LINGER), (False, 1.6, 1.6), (False, 60.0, LONGEST_LINGER), (True, 60.0, LINGER)]
)
async def test_files_settle_after_the_command_unless_somebody_waits_for_the_end(told, settling, wanted):
    """What a file said last is waited for as long as its record may have more lines, but not for ever, nor after a SIGTERM."""
    host = make_context("child")
    slept = []
    host.clock.sleep = AsyncMock(side_effect=slept.append)
    wrapped = Wrapped(config("app"), host, Mock())
    wrapped.child, wrapped.told_to_end = Mock(pid=7), told
    wrapped.attach(Mock(detector=None, settling=Mock(return_value=settling)), Mock())
    child = Ended()
    child.run, child.give_up = AsyncMock(), Mock(return_value=0)
    await wrapped._live(child)
    assert slept == [wanted]


def built_settling(settings):
    """What the sources of a configuration need."""
    builder = Builder(settings, Mock())
    builder.build()
    return builder.settling()


def test_how_long_files_take_to_settle(tmp_path):
    """As long as an open record waits for more, and three looks; without files there is nothing to wait for."""
    file = tmp_path / "f.yaml"
    for text, wanted in (
        ("{}", 0.0),
        ("sources: [{type: log_files, include: [a], record_idle: 2s, poll_interval: 100ms}, {type: stdin}]", 2.3),
    ):
        file.write_text(text)
        assert built_settling(load(file, {})) == pytest.approx(wanted)
