"""The conformance suite is itself held to account: each of these broken components must be caught by it, with the sentence it breaks."""
# ruff: noqa: ARG002 - the components below have the contract's parameters, whatever they do with them

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from agent.component import Accepted, ComponentConfig
from agent.record import Batch, LogRecord, Origin, Payload, Signal
from agent.testing import conformance
from agent.testing.conformance import ExporterCase, SamplerCase, SourceCase
from agent.testing.exporters import make_row

BODIES = ["a", "b", "c", "d", "e", "f"]


class Good:
    """A source that is right: reads a list by position."""

    Config = ComponentConfig
    replayable = True

    def __init__(self, context):
        self.context = context

    async def run(self, emit):
        """Emit what lies behind the position, then wait."""
        at = int((await self.context.positions()).get("at", b"0"))
        for number in range(at, len(BODIES)):
            await emit(Batch(records=[record(number)], positions={"at": b"%d" % (number + 1)}))
        await asyncio.Event().wait()

    async def close(self):
        """Nothing."""


def record(number: int) -> LogRecord:
    """The record of a number."""
    return LogRecord(0, 1, 9, "", BODIES[number], {}, Origin("o"), number)


class ForgetsPosition(Good):
    async def run(self, emit):
        at = int((await self.context.positions()).get("at", b"0"))
        for number in range(at, len(BODIES)):
            await emit(Batch(records=[record(number)]))
        await asyncio.Event().wait()


class PositionBeforeData(Good):
    async def run(self, emit):
        at = int((await self.context.positions()).get("at", b"0"))
        for number in range(at, len(BODIES)):
            await emit(Batch(positions={"at": b"%d" % (number + 1)}))
            await emit(Batch(records=[record(number)]))
        await asyncio.Event().wait()


class IgnoresPositions(Good):
    async def run(self, emit):
        for number in range(len(BODIES)):
            await emit(Batch(records=[record(number)], positions={"at": b"%d" % (number + 1)}))
        await asyncio.Event().wait()


class SwallowsRefusal(Good):
    async def run(self, emit):
        for number in range(len(BODIES)):
            try:
                await emit(Batch(records=[record(number)]))
            except Exception:  # noqa: BLE001 - the mistake
                continue
        await asyncio.Event().wait()


class SwallowsCancellation(Good):
    async def run(self, emit):
        while True:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                await asyncio.sleep(conformance.PROMPT * 1.2)
                return


class RaisesWhenCancelled(Good):
    async def run(self, emit):
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("closing failed")


class LeaksDescriptor(Good):
    async def run(self, emit):
        os.open("/dev/null", os.O_RDONLY)
        await asyncio.Event().wait()


class LeaksTask(Good):
    async def run(self, emit):
        self.kept = asyncio.get_running_loop().create_task(asyncio.sleep(30))
        await asyncio.Event().wait()


class LeaksThread(Good):
    async def run(self, emit):
        threading.Thread(target=lambda: threading.Event().wait(5), daemon=True).start()
        await asyncio.Event().wait()


class OpensWhenMade(Good):
    def __init__(self, context):
        super().__init__(context)
        self.fd = os.open("/dev/null", os.O_RDONLY)

    async def close(self):
        if self.fd is not None:
            os.close(self.fd)
        self.fd = None


class ClosesOnce(Good):
    closed = False

    async def close(self):
        assert not self.closed, "closed twice"
        self.closed = True


class EmitsUnreadable(Good):
    async def run(self, emit):
        await emit(Batch(payloads=[Payload(Signal.SENTRY_ERROR, 1, b"{}")]))
        await asyncio.Event().wait()


class SaysNothing(EmitsUnreadable):
    verbatim = ""


def source_case(make) -> SourceCase:
    """A case around a source; what it reads is always there."""
    return SourceCase(make, lambda: None, BODIES)


async def caught(check, case) -> str:
    """The suite's verdict on a component, empty if it passes; cleans up after it."""
    before = asyncio.all_tasks()
    try:
        await conformance.run(check, case)
    except (AssertionError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    else:
        return ""
    finally:
        left = asyncio.all_tasks() - before
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@pytest.mark.parametrize("check", conformance.SOURCE_CHECKS, ids=lambda check: check.__name__)
async def test_a_good_source_passes(check):
    """The suite is content with a source that keeps the contract."""
    assert await caught(check, source_case(Good)) == ""


@pytest.mark.parametrize(
    ("make", "check", "sentence"),
    [
        (ForgetsPosition, conformance.source_survives_refusals, "each record once"),
        (PositionBeforeData, conformance.source_survives_refusals, ""),
        (IgnoresPositions, conformance.source_survives_restarts, "each record once"),
        (SwallowsRefusal, conformance.source_survives_refusals, ""),
        (SwallowsCancellation, conformance.source_starts_and_stops, "of being cancelled"),
        (RaisesWhenCancelled, conformance.source_starts_and_stops, "without an error when cancelled"),
        (LeaksDescriptor, conformance.source_starts_and_stops, "nothing behind: descriptor of /dev/null"),
        (LeaksTask, conformance.source_starts_and_stops, "nothing behind: <Task pending"),
        (LeaksThread, conformance.source_starts_and_stops, "nothing behind: <Thread"),
        (OpensWhenMade, conformance.closes_unstarted, "making it opens nothing"),
        (ClosesOnce, conformance.closes_unstarted, "closed twice"),
        (EmitsUnreadable, conformance.source_can_be_searched, "is an OTLP request"),
        (SaysNothing, conformance.source_can_be_searched, "in a sentence why"),
    ],
    ids=lambda part: getattr(part, "__name__", None) or "",
)
async def test_a_broken_source_is_caught(make, check, sentence, monkeypatch):
    """Each mistake makes the check fail that is there for it."""
    monkeypatch.setattr(conformance, "PATIENCE", 0.5)
    monkeypatch.setattr(conformance, "PROMPT", 0.2)
    monkeypatch.setattr(conformance, "GRACE", 0.1)
    before = conformance.descriptors()
    found = await caught(check, source_case(make))
    close_leaked_descriptors(before)
    assert found
    assert sentence in found


def close_leaked_descriptors(before: dict[int, str]) -> None:
    """Close what the broken components left open, all of it on /dev/null; pytest may have one of its own there."""
    for number, target in conformance.descriptors().items():
        if target == "/dev/null" and number not in before:
            os.close(number)


class Impatient:
    """An exporter that says yes before the destination has answered."""

    Config = ComponentConfig
    signals = frozenset({Signal.LOGS})

    def __init__(self, context):
        pass

    async def export(self, row):
        """Say yes."""
        return Accepted()

    async def close(self):
        """Nothing."""


class Choosy(Impatient):
    async def export(self, row):
        return Accepted(rejected=1)


async def test_a_broken_exporter_is_caught():
    """An exporter that does not wait for the answer, refuses a good row or denies its kind is caught."""
    row = make_row(b"")
    assert "it waits for the answer" in await caught(conformance.exporter_stops_while_hanging, ExporterCase(Impatient, row, Impatient))
    assert "accepted whole" in await caught(conformance.exporter_delivers, ExporterCase(Choosy, row))
    assert "which kinds" in await caught(conformance.exporter_delivers, ExporterCase(Impatient, row._replace(signal=Signal.METRICS)))


class Silent:
    """A sampler without figures."""

    def __init__(self, context):
        pass

    def sample(self):
        """Nothing."""
        return []

    async def close(self):
        """Nothing."""


async def test_a_silent_sampler_is_caught():
    """A sampler that returns nothing for an existing target is caught."""
    assert "figures at once" in await caught(conformance.sampler_samples, SamplerCase(Silent))
