"""The host's one broad except."""

from __future__ import annotations

import asyncio

import pytest

from agent.errors import describe
from agent.failures import ComponentFailed, ComponentRecovered
from agent.host.supervise import WELL_AFTER, supervise
from agent.metrics import Metrics
from agent.telemetry import Telemetry
from agent.testing.clock import FakeClock


class Listener(Telemetry):
    """Keeps the events."""

    def __init__(self, clock):
        super().__init__(Metrics({}, clock), clock)
        self.events = []

    def emit(self, event):
        self.events.append(event)


def failing(times, error):
    """A component that raises so often, and then returns."""
    left = iter(range(times))

    async def run():
        if next(left, None) is not None:
            raise error

    return run


async def supervised(clock, run):
    """Supervise, letting the clock run through every wait; return the events."""
    listener = Listener(clock)
    task = asyncio.create_task(supervise("tailer", run, clock=clock, telemetry=listener))
    while not task.done():
        await asyncio.sleep(0)
        await clock.advance(40.0)
    await task
    return listener.events


async def test_a_component_that_raises_is_started_again():
    """Each failure is reported with its cause, and the component runs again until it returns; then its recovery is reported."""
    events = await supervised(FakeClock(), failing(2, OSError("disk on fire")))

    assert [type(event) for event in events] == [ComponentFailed, ComponentFailed, ComponentRecovered]
    assert events[0].component == "tailer"
    assert events[0].error == "OSError: disk on fire"


async def test_the_wait_grows_with_each_failure_in_a_row():
    """The back-off's ceiling doubles, so a component that fails at once cannot spin."""
    events = await supervised(FakeClock(), failing(6, ValueError("no")))

    waits = [event.retry_in for event in events if isinstance(event, ComponentFailed)]
    assert all(0 < wait <= 0.5 * 2**number for number, wait in enumerate(waits))


async def test_a_long_run_makes_the_next_failure_a_first_one():
    """A component that ran well for a minute starts again with the shortest wait."""
    clock = FakeClock()
    runs = iter(range(4))

    async def run():
        if next(runs, None) is None:
            return
        await clock.sleep(WELL_AFTER + 1)
        raise OSError

    events = await supervised(clock, run)

    assert all(event.retry_in <= 0.5 for event in events if isinstance(event, ComponentFailed))


async def test_cancellation_passes():
    """A cancelled component is not started again."""
    clock = FakeClock()
    task = asyncio.create_task(supervise("x", asyncio.Event().wait, clock=clock, telemetry=Listener(clock)))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_of_another_task_is_a_failure():
    """A component that awaits a task which was cancelled has failed, and runs again: it was not asked to end."""
    events = await supervised(FakeClock(), failing(1, asyncio.CancelledError()))

    assert [type(event) for event in events] == [ComponentFailed, ComponentRecovered]
    assert events[0].error == "RuntimeError: it awaited a task that was cancelled"


def test_a_group_is_described_by_its_first_leaf():
    """Task groups wrap what happened; the line says what happened."""
    group = ExceptionGroup("unhandled", [ExceptionGroup("inner", [KeyError("position")])])

    assert describe(group) == "KeyError: 'position'"
