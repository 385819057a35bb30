"""Events of failures that the agent survives, emitted by several parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.metrics import Kind, Metric
from agent.telemetry import Event, Level

FAILURES: Final = Metric("outrider.component.failures", Kind.COUNTER, "{failure}", "Times that a component raised and was started again.")


@dataclass(frozen=True, slots=True)
class AgentDegraded(Event):
    """The agent continues without a part of its work, because the command of `exec` must run in any case."""

    name = "agent degraded"
    level = Level.ERROR
    error: str
    consequence: str
    """In the present tense: `runs without its pages`."""


@dataclass(frozen=True, slots=True)
class ComponentFailed(Event):
    """A component raised; the host starts it again."""

    name = "component failed"
    level = Level.ERROR
    lasting = True
    counter = FAILURES
    labels = ("component",)
    component: str
    error: str
    retry_in: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class ComponentRecovered(Event):
    """A component that had failed works again."""

    name = "component recovered"
    ends = (ComponentFailed,)
    component: str
