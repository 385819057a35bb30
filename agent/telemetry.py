"""The agent's own events. Each has a type, which writes a line to the agent's log and may increase a counter.

To add an event, define a frozen dataclass beside the code that emits it (in `failures.py` if several parts do), and emit an instance:
`telemetry.emit(SourceFailed(source="app", error="…", retry_in=2.0))`. Its fields are the fields of the line. The fields that `labels` names are
also the attributes of the counter, so their values must come from the configuration or an enumeration, never from data. No field may hold a
secret.

Each event is counted. Lines are folded (`fold.py`): repeats are written as one line with their number, so that a failing destination does not
fill the log, which the agent itself may be tailing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import structlog

from agent.fold import Fold
from agent.notices import Notice, Notices, cause_of
from agent.own_log import Level as Level  # noqa: PLC0414 - events and their level are asked for together
from agent.own_log import configure_logging as configure_logging  # noqa: PLC0414 - as above

if TYPE_CHECKING:
    from agent.clock import Clock
    from agent.metrics import Metric, Metrics


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""

    name: ClassVar[str]
    """The line's text, in a few plain words."""
    level: ClassVar[Level] = Level.INFO
    counter: ClassVar[Metric | None] = None
    labels: ClassVar[tuple[str, ...]] = ()
    """The fields that are attributes of the counter."""
    folds: ClassVar[bool] = True  # whether repeats become one line; False where each answers a person's action
    lasting: ClassVar[bool] = False  # whether it reports a state: while that lasts for one cause, repeats are written more and more rarely
    ends: ClassVar[tuple[type[Event], ...]] = ()
    """The lasting events whose state it ends, for the same labels."""

    def amount(self) -> int:
        """The increase of the counter: the field `count` if the event has one, else 1."""
        count = getattr(self, "count", 1)
        return count if isinstance(count, int) else 1

    def details(self) -> dict[str, object]:
        """The fields, in their order."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


class Telemetry:
    """Counts events and writes their lines. One per process."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._fold: Fold[Event] = Fold()
        self._log = structlog.get_logger("outrider")
        self.recent = Notices()
        """The latest warnings and errors, one for each cause, newest first."""

    def emit(self, event: Event) -> None:
        """Count the event, and write its line unless it repeats a recent one."""
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
        """Write the folded lines that are due. The host calls it every few seconds, and with `everything` at the end."""
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
