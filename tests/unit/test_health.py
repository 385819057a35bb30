from __future__ import annotations

import pytest

from agent.health import Health, Part, Verdict, verdict

OK = Part("spool", works=True)
SOURCE = Part("source app", works=False, reason="unreadable")
DESTINATION = Part("destination otlp (logs)", works=False, reason="refused", essential=False)


@pytest.mark.parametrize(
    ("parts", "health", "reasons"),
    [
        ([], Health.READY, ()),
        ([OK], Health.READY, ()),
        ([OK, DESTINATION], Health.DEGRADED, ("destination otlp (logs): refused",)),
        ([DESTINATION, SOURCE], Health.NOT_READY, ("source app: unreadable", "destination otlp (logs): refused")),
        ([Part("x", works=False)], Health.NOT_READY, ("x: does not work",)),
    ],
)
def test_the_worst_part_decides(parts, health, reasons):
    """One essential part that fails makes the agent not ready, another one degraded; the reasons say which, the essential first."""
    assert verdict(parts) == Verdict(health, reasons)


@pytest.mark.parametrize(
    ("health", "strict", "passes"),
    [
        (Health.READY, True, True),
        (Health.DEGRADED, False, True),
        (Health.DEGRADED, True, False),
        (Health.NOT_READY, False, False),
    ],
)
def test_a_dead_destination_fails_only_who_asks_strictly(health, strict, passes):
    """A workload is not taken out of service because its logs wait; only a strict question counts that."""
    assert Verdict(health).passes(strict=strict) is passes
