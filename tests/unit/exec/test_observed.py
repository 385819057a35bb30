"""The command of `exec` with an agent around it."""

from __future__ import annotations

import asyncio
import errno
import functools
import signal
import sys
from unittest.mock import AsyncMock, Mock

import pytest

from agent.exec import observed as module
from agent.exec import unobserved
from agent.exec.child import ChildOptions
from agent.exec.command import Exit
from agent.exec.observed import ObservedCommand, OutputLost
from agent.failures import AgentDegraded
from agent.host.supervise import supervise
from agent.record import Batch
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


def observed(*command, context=None, stop=lambda _cause: None):
    """A command that is not started yet."""
    lent = context or make_context("child")
    supervised = functools.partial(supervise, "source child", clock=lent.clock, telemetry=lent.telemetry)
    return ObservedCommand(ChildOptions(command, 1 << 20, 1.0), clock=lent.clock, telemetry=lent.telemetry, supervise=supervised, stop=stop)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM])
async def test_a_signal_before_the_start_calls_the_command_off(number):
    """It is not swallowed: the command is never started, and the code is a shell's."""
    causes = []
    command = observed("/no/such/program", stop=causes.append)

    command.forward(number)
    async with asyncio.TaskGroup() as life:
        assert command.attach(Mock(), life) is None

    assert causes == [number.name]
    assert command.code == 128 + number


async def test_a_mistake_in_collecting_neither_ends_the_agent_nor_the_commands_output(capfd):
    """The child is the host's to supervise: what it says after the failure is collected, and its code comes back."""
    kept, mistakes, ended = [], [RuntimeError("a bug")], asyncio.Event()
    script = "import time; print('first', flush=True); time.sleep(1); print('second')"
    command = observed(sys.executable, "-c", script, stop=lambda _cause: ended.set())

    async def emit(batch):
        if mistakes:
            raise mistakes.pop()
        kept.extend(record.body for record in batch.records)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, command.reap)
    async with asyncio.TaskGroup() as life:
        assert command.attach(emit, life) is not None
        await ended.wait()
    loop.remove_signal_handler(signal.SIGCHLD)
    for output in command.child._outputs:
        output.relay.close()

    assert kept == ["second", "process exited with code 0"]
    assert command.code == 0
    assert {"first", "second"} <= set(capfd.readouterr().out.splitlines())


def test_a_signal_that_ends_nothing_is_forgotten_before_the_start():
    """SIGUSR1 has no meaning before the command runs."""
    causes = []
    command = observed("true", stop=causes.append)

    command.forward(signal.SIGUSR1)

    assert (causes, command.code) == ([], 0)


class Running:
    """A command that runs, and what it was sent."""

    def __init__(self, *, same_group=True, exited=False):
        self.sent, self.shares_our_terminal = [], same_group
        self.exit = Exit(0) if exited else None

    def send_signal(self, number):
        """Note it."""
        self.sent.append(number)


@pytest.mark.parametrize(("by_terminal", "same_group", "sent"), [(True, True, 0), (False, True, 1), (True, False, 1), (False, False, 1)])
def test_a_signal_is_handed_on_unless_the_terminal_has_done_so(by_terminal, same_group, sent):
    """The kernel sends Ctrl-C to the whole foreground process group; a `kill` is for us alone."""
    command = observed("app")
    command.child = child = Running(same_group=same_group)

    command.forward(signal.SIGINT, by_terminal)

    assert len(child.sent) == sent


def test_a_command_that_runs_as_another_user_is_reported(monkeypatch):
    """`sudo` accepts no signal from us: that is reported, and nothing breaks."""
    host, seen = make_context("child"), []
    monkeypatch.setattr(type(host.telemetry), "emit", lambda _self, event: seen.append(event))
    command = observed("app", context=host)
    command.child = Running()
    command.child.send_signal = Mock(side_effect=PermissionError)

    command.forward(signal.SIGTERM)

    assert [(type(event), "another user" in str(event)) for event in seen] == [(AgentDegraded, True)]


def test_without_the_agent_the_exit_code_comes_back_whatever_was_inherited():
    """A launcher may ignore SIGCHLD, and we with it; then wait(2) would return no status."""
    former = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert unobserved.see_to_its_end(None, ["sh", "-c", "exit 3"], Mock()) == 3
    finally:
        signal.signal(signal.SIGCHLD, former)


@pytest.mark.parametrize("error", [PermissionError, ProcessLookupError])
def test_without_the_agent_a_signal_that_finds_no_process_is_not_the_last(monkeypatch, error):
    """The thread that hands signals on lives on."""
    monkeypatch.setattr(unobserved.os, "kill", Mock(side_effect=error))

    unobserved._hand_on(1, signal.SIGTERM, False)

    assert unobserved.os.kill.called


@pytest.mark.parametrize(("number", "hurried"), [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGUSR1, False)])
def test_after_its_end_a_signal_that_ends_ends_the_waiting(number, hurried):
    """The command would have ended by it, had it still been writing."""
    command = observed("app")
    command.child, command._living = Running(exited=True), Mock()

    command.forward(number)

    assert (command._living.cancel.called, command.child.sent) == (hurried, [])


class Ended:
    """A command whose output was all passed on, and cannot be stored."""

    exit = Exit(-9)

    async def silent(self):
        """At once."""

    async def run(self, emit):
        """Emit one batch, for ever."""
        await emit(Batch(records=[None, None]))

    def give_up(self):
        """So many lines were waiting, or are in a batch that was cut off."""
        return {"spool_failed": 7}


async def test_a_store_that_is_stuck_does_not_hold_the_end_up(monkeypatch):
    """After a while the rest is given up, reported and counted; the command's code comes back."""
    monkeypatch.setattr(module, "STORING", 0.02)
    monkeypatch.setattr(module, "COUNTING", 0.02)
    host, causes = make_context("child"), []
    command = observed("app", context=host, stop=causes.append)
    command._emit = hang
    monkeypatch.setattr(type(host.telemetry), "emit", lambda _self, event: causes.append(event))

    async with asyncio.timeout(5):
        await command._live(Ended())

    assert command.code == 128 + 9
    assert causes == [OutputLost(7), "the command has ended"]


async def test_each_batch_that_is_stored_begins_the_bound_again():
    """It is for a disk that does not answer, not for a busy machine."""
    command, bounds = observed("app"), []

    class Talkative(Ended):
        async def run(self, emit):
            for _ in range(3):
                await emit(Batch())
                bounds.append(command._limit.when())

        def give_up(self):
            return {}

    command._emit = AsyncMock()
    await command._live(Talkative())

    assert bounds == sorted(set(bounds))
    assert (len(bounds), command.is_over) == (3, True)


async def test_a_second_signal_ends_the_counting_as_well(monkeypatch):
    """It comes while the store is asked to take a count that it does not take: the agent's end is not forgotten over it."""
    monkeypatch.setattr(module, "COUNTING", 30)
    counting, causes = asyncio.Event(), []
    command = observed("app", stop=causes.append)

    async def emit(batch):
        if batch.drops:
            counting.set()
        await hang(batch)

    command._emit = emit
    command.child = child = Ended()
    command._living = asyncio.create_task(command._live(child))
    await asyncio.sleep(0)
    command.forward(signal.SIGTERM)
    async with asyncio.timeout(5):
        await counting.wait()
        command.forward(signal.SIGTERM)
        await asyncio.wait([command._living])

    assert (causes, command.code) == (["the command has ended"], 128 + 9)


async def test_what_was_given_up_at_the_end_is_counted_in_the_ledger():
    """If the store takes a count by then."""
    command, counted = observed("app"), []

    async def emit(batch):
        counted.append(dict(batch.drops))

    command._emit = emit
    await command._account(Ended())
    await command._account(Mock(give_up=dict))

    assert counted == [{"spool_failed": 7}]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; raise the limit of open files (ulimit -n)"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory"),
        (RuntimeError("can't start new thread"), "can't start new thread; raise the limit of processes (ulimit -u, pids.max)"),
    ],
)
def test_too_little_room_for_the_agent_is_one_line(monkeypatch, capfd, error, line):
    """Where the system has no room for the agent, one line says so, also of an error within a group; the command runs."""
    monkeypatch.setattr(unobserved, "see_to_its_end", lambda *_: 3)
    assert unobserved.go_on(ExceptionGroup("unhandled errors", [error]), None, ["true"], Mock()) == 3
    assert capfd.readouterr().err == f"outrider: the agent can't run: {line}\noutrider: the command goes on without being observed\n"


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch, capfd):
    """Any other error is printed with its traceback."""
    monkeypatch.setattr(unobserved, "see_to_its_end", lambda *_: 0)
    unobserved.go_on(OSError(errno.EINVAL, "Invalid argument"), None, ["true"], Mock())
    assert "outrider: OSError: [Errno 22] Invalid argument" in capfd.readouterr().err
