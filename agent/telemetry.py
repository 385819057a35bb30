"""Our own events: one type each, which is a line in our log and a step of a counter at once.

To add an event, add a frozen dataclass beside the code that emits it (or below, where several modules do) and emit it: `telemetry.emit(SourceFailed(source="app", error="…", retry_in=2.0))`. Its fields
are the fields of the line; those that `labels` names are the attributes of the counter as well, so they must come from the configuration or
from an enumeration, never from data. No field may hold a secret.

Counters count always. Lines are folded (`fold.py`): repeats are written once in a while, with their number, so that a failing destination can't
make the agent's log the busiest of the machine, least of all when the agent is told to tail that log.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Final

import structlog

from agent.fold import Fold
from agent.metrics import Kind, Metric
from agent.notices import Notice, Notices, cause_of
from agent.own_log import Level as Level  # noqa: PLC0414 - events and their level are asked for together
from agent.own_log import configure_logging as configure_logging  # noqa: PLC0414 - as above

if TYPE_CHECKING:
    from agent.clock import Clock
    from agent.metrics import Metrics


FAILURES: Final = Metric("outrider.component.failures", Kind.COUNTER, "{failure}", "Times that a component raised and was started again.")


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""

    name: ClassVar[str]
    """What happened, as a person says it."""
    level: ClassVar[Level] = Level.INFO
    counter: ClassVar[Metric | None] = None
    labels: ClassVar[tuple[str, ...]] = ()
    """The fields that are attributes of the counter."""
    folds: ClassVar[bool] = True  # whether repeats are told as one line: not where each answers somebody who waits
    lasting: ClassVar[bool] = False  # whether it is a state's: while that lasts for one cause, repeats are written ever more rarely
    ends: ClassVar[tuple[type[Event], ...]] = ()
    """The states that it ends, of the same labels."""

    def amount(self) -> int:
        """By how much the counter goes up: the field `count`, if the event has one."""
        count = getattr(self, "count", 1)
        return count if isinstance(count, int) else 1

    def details(self) -> dict[str, object]:
        """The fields, in their order."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, slots=True)
class AgentImpaired(Event):
    """The agent does with less than it was told to, because the command of `exec` is to run in any case."""

    name = "agent impaired"
    level = Level.ERROR
    error: str
    instead: str


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


class Telemetry:
    """Where events go. One per process."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._fold: Fold[Event] = Fold()
        self._log = structlog.get_logger("outrider")
        self.recent = Notices()
        """The last warnings and errors, one for each cause, the newest first."""

    def emit(self, event: Event) -> None:
        """Count the event, and write its line unless it repeats one that is just written."""
        if event.counter is not None:
            self._metrics.add(event.counter, event.amount(), {label: str(getattr(event, label)) for label in event.labels})
        for state in event.ends:
            self._fold.end(_key(state, event))
        self.flush()
        now, cause = self._clock.monotonic(), cause_of(event.details())
        new = not event.folds or self._fold.admit(_key(type(event), event), event, now, cause=cause, lasting=event.lasting)
        for last, repeats in self._fold.take_ended():
            self._write(last, repeats)
        if new:
            self._write(event, 0)

    def flush(self, *, everything: bool = False) -> None:
        """Tell what was folded and is due; the host calls it every few seconds, and with `everything` at the end."""
        for event, repeats in self._fold.due(self._clock.monotonic(), everything=everything):
            self._write(event, repeats)

    def _write(self, event: Event, repeats: int) -> None:
        details = event.details() | ({"repeated": repeats} if repeats else {})
        if event.level >= Level.WARNING:
            labels = tuple(str(getattr(event, label)) for label in event.labels)
            self.recent.add(labels, Notice(self._clock.wall_ns(), event.level, event.name, event.details(), repeats or 1))
        self._log.log(int(event.level), event.name, **details)


def _key(kind: type[Event], event: Event) -> tuple[object, ...]:
    """The key of a kind's lines: its labels, as an event of that or another kind has them."""
    return kind, *(str(getattr(event, label)) for label in kind.labels)
