"""Faults: how they are written, and what the harmless ones do."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import MutableMapping
from math import inf

import pytest

from strategy_agent import faults as module
from strategy_agent.faults import DEADLY, KINDS, Fault, InjectedCrashError, Target, parse_fault, run_faults
from strategy_agent.gate import Gate


class FakeBroker:
    """Notes how long it was asked to be away."""

    def __init__(self) -> None:
        self.outages: list[float] = []

    async def outage(self, seconds: float) -> None:
        """Take note."""
        self.outages.append(seconds)


@pytest.fixture
def target() -> Target:
    """Return something to break."""
    return Target(FakeBroker(), Gate(), oom_limit_mb=32)


@pytest.mark.parametrize(
    ("text", "name", "start", "argument"),
    [
        ("hang", "hang", 5.0, inf),
        ("hang@1s:3s", "hang", 1.0, 3.0),
        ("crash@250ms", "crash", 0.25, 0.0),
        ("crash:SIGSEGV", "crash", 5.0, "SIGSEGV"),
        ("oom@2m", "oom", 120.0, 0.0),
        ("stall@0", "stall", 0.0, inf),
        ("error-burst@30s", "error-burst", 30.0, 10.0),
        ("error-burst@30s:3", "error-burst", 30.0, 3.0),
        ("broker-down@20s:10s", "broker-down", 20.0, 10.0),
    ],
)
def test_faults_are_read(text: str, name: str, start: float, argument: float | str) -> None:
    """Name, start and argument, each with its default."""
    assert parse_fault(text) == Fault(name, start, argument, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no fault ''; there are hang, crash, oom, stall, error-burst, broker-down"),
        ("explode", "no fault 'explode'"),
        ("hang@soon", "'soon' is not a duration"),
        ("stall:x", "'x' is not a duration"),
        ("crash:KILL", "'KILL' is not one of SIGSEGV, SIGABRT, "),
        ("crash:SIGCHLD", "'SIGCHLD' is not one of SIGSEGV, "),
        ("oom:5", "this fault takes no argument, got '5'"),
        ("error-burst:0", "'0' is not a number from 1 to 10000"),
        ("error-burst:many", "'many' is not a number from 1 to 10000"),
    ],
)
def test_wrong_faults_are_refused_with_the_reason(text: str, message: str) -> None:
    """The message names the part that is wrong."""
    with pytest.raises(ValueError, match=message):
        parse_fault(text)


def test_every_fault_is_documented() -> None:
    """The table at the top of the module has a row per fault."""
    assert module.__doc__ is not None
    for name in KINDS:
        assert f"\n| {name} |" in module.__doc__


async def test_a_crash_is_an_exception_nobody_catches(target: Target) -> None:
    """The crash leaves the schedule as what it is."""
    with pytest.raises(BaseExceptionGroup) as caught:
        await run_faults((parse_fault("crash@0"),), target)
    assert caught.group_contains(InjectedCrashError, match="crash on demand")


@pytest.mark.parametrize("name", DEADLY)
def test_every_signal_that_is_offered_exists(name: str) -> None:
    """What the crash fault accepts is a signal of this system."""
    assert parse_fault(f"crash:{name}").argument == signal.Signals[name].name


async def test_memory_grows_up_to_the_cap(target: Target) -> None:
    """Without a kernel limit the fault ends itself at the cap."""
    with pytest.raises(BaseExceptionGroup) as caught:
        await run_faults((parse_fault("oom@0"),), target)
    assert caught.group_contains(MemoryError, match="gave up at 32 MB")


async def test_a_hang_blocks_the_loop_for_its_time(target: Target) -> None:
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
    await module._hang(0.1, target)
    assert (time.monotonic() - started, turns) >= (0.1, 1)
    assert turns == 1
    counting.cancel()


async def test_a_stall_closes_the_gate_for_its_time(target: Target) -> None:
    """Nobody passes while it lasts, and the loop goes on turning."""
    stall = asyncio.create_task(run_faults((parse_fault("stall@0:100ms"),), target))
    await asyncio.sleep(0.05)
    passing = asyncio.create_task(target.gate.passage())
    await asyncio.sleep(0)
    assert not passing.done()
    await asyncio.wait_for(asyncio.gather(passing, stall), 5)


async def test_a_short_stall_does_not_end_a_long_one(target: Target) -> None:
    """Nobody passes until the last of several stalls is over."""
    long = asyncio.create_task(run_faults((parse_fault("stall@0"),), target))
    await run_faults((parse_fault("stall@0:0"),), target)
    passing = asyncio.create_task(target.gate.passage())
    await asyncio.sleep(0)
    assert not passing.done()
    target.gate.open()
    await asyncio.wait_for(passing, 5)
    long.cancel()
    await asyncio.gather(long, return_exceptions=True)


async def test_a_burst_is_caught_and_logged(target: Target, logs: list[MutableMapping[str, object]]) -> None:
    """The asked number of exceptions is logged with their tracebacks, and none escapes."""
    await run_faults((parse_fault("error-burst@0:3"),), target)
    burst = [line for line in logs if line["event"] == "reconciliation_failed"]
    assert [(line["number"], line["exc_info"]) for line in burst] == [(1, True), (2, True), (3, True)]


async def test_a_broker_is_sent_away_for_its_time(target: Target) -> None:
    """The first broker is asked to be gone as long as written."""
    await run_faults((parse_fault("broker-down@0:7s"),), target)
    assert isinstance(target.broker, FakeBroker)
    assert target.broker.outages == [7.0]


async def test_faults_come_at_their_times(target: Target) -> None:
    """Several faults run side by side, each from its own start."""
    await run_faults((parse_fault("broker-down@40ms:2s"), parse_fault("broker-down@0:1s")), target)
    assert isinstance(target.broker, FakeBroker)
    assert target.broker.outages == [1.0, 2.0]
