"""The command of `exec`, as the host sees it."""

from __future__ import annotations

import asyncio
import signal
from unittest.mock import Mock

import pytest

from agent.wrapped import Wrapped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
async def test_a_signal_before_the_start_calls_the_command_off(number):
    """It is not swallowed: the command is never started, and the code is a shell's."""
    causes = []
    wrapped = Wrapped(("/no/such/program",), Mock(), causes.append)

    wrapped.forward(number)
    async with asyncio.TaskGroup() as life:
        assert wrapped.attach(Mock(), life) is None

    assert causes == [number.name]
    assert wrapped.code == 128 + number


def test_a_signal_that_ends_nothing_is_forgotten_before_the_start():
    """SIGUSR1 has nobody to mean anything to yet."""
    causes = []
    wrapped = Wrapped(("true",), Mock(), causes.append)

    wrapped.forward(signal.SIGUSR1)

    assert (causes, wrapped.code) == ([], 0)
