"""Faults: how they are written, and what the harmless ones do."""

from __future__ import annotations

import asyncio
import time
from argparse import ArgumentTypeError
from collections.abc import MutableMapping
from math import inf

import pytest

from strategy_agent import faults as module
from strategy_agent.config import Fault
from strategy_agent.faults import KINDS, InjectedCrashError, Target, parse_fault, run_fault


class Broken:
    """A target that notes for how long what was asked to be away or to stall."""

    def __init__(self) -> None:
        self.outages: list[float] = []
        self.stalls: list[float] = []
        self.target = Target(self._outage, self.stalls.append)

    async def _outage(self, seconds: float) -> None:
        self.outages.append(seconds)

    async def suffer(self, text: str) -> None:
        """Make a fault happen, as it is written."""
        await run_fault(parse_fault(text), self.target)


@pytest.fixture
def broken() -> Broken:
    """Return something to break."""
    return Broken()


@pytest.mark.parametrize(
    ("text", "name", "start", "argument"),
    [
        ("hang", "hang", 5.0, inf),
        ("hang@1s:3s", "hang", 1.0, 3.0),
        ("crash@250ms", "crash", 0.25, 0.0),
        ("oom@2m", "oom", 120.0, 512.0),
        ("oom@2m:64", "oom", 120.0, 64.0),
        ("stall@0", "stall", 0.0, inf),
        ("error-burst@30s", "error-burst", 30.0, 10.0),
        ("error-burst@30s:3", "error-burst", 30.0, 3.0),
        ("broker-down@20s:10s", "broker-down", 20.0, 10.0),
    ],
)
def test_faults_are_read(text: str, name: str, start: float, argument: float) -> None:
    """Name, start and argument, each with its default."""
    assert parse_fault(text) == Fault(name, start, argument, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no fault ''; there are hang, crash, oom, stall, error-burst, broker-down"),
        ("explode", "no fault 'explode'"),
        ("hang@soon", "'soon' is not a duration"),
        ("stall:x", "'x' is not a duration"),
        ("crash:SIGSEGV", "this fault takes no argument, got 'SIGSEGV'"),
        ("oom:5", "5 is not within 16 and 65536 MB"),
        ("error-burst:0", "0 is not within 1 and 10000 exceptions"),
        ("error-burst:many", "invalid literal for int"),
    ],
)
def test_wrong_faults_are_refused_with_the_reason(text: str, message: str) -> None:
    """The message names the part that is wrong."""
    with pytest.raises(ArgumentTypeError, match=message):
        parse_fault(text)


def test_every_fault_is_documented() -> None:
    """The table at the top of the module has a row per fault."""
    assert module.__doc__ is not None
    for name in KINDS:
        assert f"\n| {name} |" in module.__doc__


async def test_a_crash_is_an_exception_nobody_catches(broken: Broken) -> None:
    """The crash leaves the schedule as what it is."""
    with pytest.raises(InjectedCrashError, match="crash on demand"):
        await broken.suffer("crash@0")


async def test_memory_grows_up_to_the_cap(broken: Broken) -> None:
    """Without a kernel limit the fault ends itself at the cap."""
    with pytest.raises(MemoryError, match="gave up at 32 MB"):
        await broken.suffer("oom@0:32")


async def test_a_hang_blocks_the_loop_for_its_time(broken: Broken) -> None:
    """While it hangs nothing else runs, afterwards everything does."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    started = time.monotonic()
    await module._hang(0.1, broken.target)
    assert (time.monotonic() - started, turns) >= (0.1, 1)
    assert turns == 1
    counting.cancel()


async def test_a_stall_is_asked_for_with_its_time(broken: Broken) -> None:
    """The agent is told how long; the fault is over when the stall is."""
    started = time.monotonic()
    await broken.suffer("stall@0:50ms")
    assert broken.stalls == [0.05]
    assert time.monotonic() - started >= 0.05


async def test_a_burst_is_caught_and_logged(broken: Broken, logs: list[MutableMapping[str, object]]) -> None:
    """The asked number of exceptions is logged with their tracebacks, and none escapes."""
    await broken.suffer("error-burst@0:3")
    burst = [line for line in logs if line["event"] == "reconciliation_failed"]
    assert [(line["number"], line["exc_info"]) for line in burst] == [(1, True), (2, True), (3, True)]


async def test_a_broker_is_sent_away_for_its_time(broken: Broken) -> None:
    """The first broker is asked to be gone as long as written."""
    await broken.suffer("broker-down@0:7s")
    assert broken.outages == [7.0]


async def test_faults_come_at_their_times(broken: Broken) -> None:
    """Several faults run side by side, each from its own start."""
    await asyncio.gather(broken.suffer("broker-down@40ms:2s"), broken.suffer("broker-down@0:1s"))
    assert broken.outages == [1.0, 2.0]
