"""Input that sources hold between configurations, and at the end."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agent.errors import SpoolError
from agent.host import handover as module
from agent.host.handover import Handover
from agent.testing.sink import hang


class Pouch:
    """A source that holds a text."""

    def __init__(self, held=""):
        self.held = held

    async def run(self, emit):
        """Nothing."""

    async def close(self):
        """Nothing."""

    def take_over(self, before):
        self.held = before.held

    async def finish(self, emit):
        await emit(self.held)


class Other(Pouch):
    """Another type."""


class Telemetry:
    """Notes each event."""

    def __init__(self):
        self.told = []

    def emit(self, event):
        self.told.append(event)


def running(name, source, emit):
    """As the pipeline has it."""
    return SimpleNamespace(name=name, source=source, intake=SimpleNamespace(emit=emit))


async def test_the_next_of_its_name_and_type_takes_over():
    """Nothing is stored meanwhile."""
    stored, after = [], Pouch()
    handover = Handover(Telemetry())
    await handover.hand_on([running("a", Pouch("half"), stored.append)])
    await handover.hand_on([running("a", after, stored.append)])

    assert (after.held, stored) == ("half", [])


@pytest.mark.parametrize(("name", "source"), [("b", Pouch()), ("a", Other())])
async def test_what_nobody_takes_over_is_stored(name, source):
    """The configuration no longer has it, or has another type under its name."""
    stored, handover = [], Handover(Telemetry())

    async def emit(text):
        stored.append(text)

    await handover.hand_on([running("a", Pouch("half"), emit)])
    await handover.hand_on([running(name, source, emit)])
    await handover.hand_on([])

    assert stored == ["half", ""]


@pytest.mark.parametrize("stuck", [True, False])
async def test_a_store_that_does_not_take_it_is_told_and_holds_nothing_up(monkeypatch, stuck):
    """The end comes nevertheless, for the others as well."""
    monkeypatch.setattr(module, "STORING", 0.01)
    telemetry, stored = Telemetry(), []
    handover = Handover(telemetry)

    async def emit(text):
        stored.append(text)

    async def refuse(text):
        raise SpoolError("refused")

    await handover.hand_on([running("a", Pouch("lost"), hang if stuck else refuse), running("b", Pouch("kept"), emit)])
    await handover.finish()
    await handover.finish()

    assert stored == ["kept"]
    assert ["a" in event.error for event in telemetry.told] == [True]
