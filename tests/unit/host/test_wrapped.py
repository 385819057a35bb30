"""The command of `exec`, as the host sees it."""

from __future__ import annotations

import asyncio
import signal
import sys
from unittest.mock import Mock

import pytest

from agent.host.wrapped import Wrapped
from agent.sources.child import ChildConfig
from agent.testing.context import make_context


def config(*command):
    """The options of a wrapped command."""
    return ChildConfig(command=command, buffer=1 << 20, patience=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
async def test_a_signal_before_the_start_calls_the_command_off(number):
    """It is not swallowed: the command is never started, and the code is a shell's."""
    causes = []
    wrapped = Wrapped(config("/no/such/program"), Mock(), causes.append)

    wrapped.forward(number)
    async with asyncio.TaskGroup() as life:
        assert wrapped.attach(Mock(), life) is None

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

    builder = Mock(context=Mock(return_value=context))
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
