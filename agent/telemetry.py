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
UNJUDGED: Final = Metric("outrider.errors.unjudged", Kind.COUNTER, "{record}", "Records that the search for errors failed on.")
REDACTIONS: Final = Metric("outrider.redactions", Kind.COUNTER, "{value}", "Values taken out of records before they were stored, by rule.")
ATTEMPTS: Final = Metric("outrider.export.attempts", Kind.COUNTER, "{attempt}", "Attempts to deliver a row, by outcome.")
SPOOL: Final = Metric("outrider.spool.events", Kind.COUNTER, "{event}", "What happened to the spool, by event.")
VIOLATIONS: Final = Metric(
    "outrider.ledger.violations",
    Kind.COUNTER,
    "{violation}",
    "Failed checks of accepted = sent + rejected + dead-lettered + evicted + pending.",
)
RELOADS: Final = Metric("outrider.config.reloads", Kind.COUNTER, "{reload}", "Reloads of the configuration, by outcome.")
PROBE_CHANGES: Final = Metric("outrider.probe.changes", Kind.COUNTER, "{change}", "Changes of a probe's state, after damping.")


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
class AgentStarted(Event):
    """The agent is up: everything that is configured runs."""

    name = "agent started"
    version: str
    state_dir: str
    address: str


@dataclass(frozen=True, slots=True)
class AgentStopped(Event):
    """The agent ends in good order."""

    name = "agent stopped"
    pending: int
    """Records that wait in the spool for the next start."""
    unread_bytes: int = 0
    """What was written to files and not read."""
    unread_files: int = 0


@dataclass(frozen=True, slots=True)
class AgentStopping(Event):
    """The agent was asked to end."""

    name = "agent stopping"
    cause: str


@dataclass(frozen=True, slots=True)
class AgentImpaired(Event):
    """The agent does with less than it was told to, because the command of `exec` is to run in any case."""

    name = "agent impaired"
    level = Level.ERROR
    error: str
    instead: str


@dataclass(frozen=True, slots=True)
class DetectionFailed(Event):
    """A record could not be judged: it is stored, but if it was an error, no issue tells of it."""

    name = "detection failed"
    level = Level.ERROR
    counter = UNJUDGED
    labels = ("source",)
    source: str
    error: str


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


@dataclass(frozen=True, slots=True)
class RecordsDropped(Event):
    """Records were lost, shortened or not understood. The spool counts them, in the transaction that stores the rest."""

    name = "records dropped or changed"
    level = Level.WARNING
    labels = ("source", "reason")
    source: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class ValuesRedacted(Event):
    """Secrets were taken out of records before they were stored."""

    name = "values redacted"
    level = Level.DEBUG
    counter = REDACTIONS
    labels = ("source", "rule")
    source: str
    rule: str
    count: int


@dataclass(frozen=True, slots=True)
class ExportDelayed(Event):
    """A destination did not take a row now; it is kept and tried again."""

    name = "export delayed"
    level = Level.WARNING
    lasting = True
    labels = ("destination", "signal")
    destination: str
    signal: str
    reason: str
    retry_in: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class ExportPaused(Event):
    """A destination refuses the agent itself: everything is kept, one row a minute is tried."""

    name = "export paused"
    level = Level.ERROR
    lasting = True
    labels = ("destination", "signal")
    destination: str
    signal: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExportRecovered(Event):
    """A destination takes rows again."""

    name = "export recovered"
    ends = (ExportDelayed, ExportPaused)
    labels = ("destination", "signal")
    destination: str
    signal: str


@dataclass(frozen=True, slots=True)
class DestinationWarned(Event):
    """A destination took everything, and had something to say about it; or its answer was not what it should be."""

    name = "destination warned"
    level = Level.WARNING
    labels = ("destination", "signal")
    destination: str
    signal: str
    message: str


@dataclass(frozen=True, slots=True)
class RecordsRefused(Event):
    """A destination will never take these records: they are dead letters, or it counted them as rejected. The spool counts them."""

    name = "records refused"
    level = Level.ERROR
    labels = ("destination", "signal", "outcome")
    destination: str
    signal: str
    outcome: str
    """`rejected` or `dead_letter`."""
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class SpoolEvent(Event):
    """Something happened to the spool: `salvaged`, `row_damaged`, `commit_failed`, `full`, `room_again`, `evicted`, `ballast_used`."""

    name = "spool"
    level = Level.WARNING
    counter = SPOOL
    labels = ("what",)
    what: str
    detail: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class LedgerViolated(Event):
    """accepted = sent + rejected + dead-lettered + evicted + pending does not hold: a bug, and the one we fear most."""

    name = "ledger violated"
    level = Level.ERROR
    counter = VIOLATIONS
    labels = ("source", "destination", "signal")
    source: str
    destination: str
    signal: str
    detail: str


@dataclass(frozen=True, slots=True)
class ConfigReloaded(Event):
    """The configuration was read again and holds."""

    name = "configuration reloaded"
    counter = RELOADS
    labels = ("outcome",)
    later: str = ""
    """Sections that changed and take effect at the next start only."""
    outcome: str = "accepted"


@dataclass(frozen=True, slots=True)
class ConfigRefused(Event):
    """The new configuration is wrong; the old one goes on."""

    name = "configuration refused"
    folds = False
    level = Level.ERROR
    counter = RELOADS
    labels = ("outcome",)
    error: str
    outcome: str = "refused"


@dataclass(frozen=True, slots=True)
class ProbeChanged(Event):
    """A probe's state changed, after damping."""

    name = "probe changed"
    level = Level.WARNING
    counter = PROBE_CHANGES
    labels = ("probe", "state")
    probe: str
    target: str
    state: str
    """`up` or `down`."""
    reason: str


@dataclass(frozen=True, slots=True)
class FiguresUnreadable(Event):
    """Figures that could not be read, and what would allow it. Told once per component and figure."""

    name = "figures unreadable"
    level = Level.WARNING
    labels = ("component", "figures")
    component: str
    figures: str
    remedy: str


@dataclass(frozen=True, slots=True)
class TargetChanged(Event):
    """The observed process came or went."""

    name = "target changed"
    labels = ("component", "what")
    component: str
    target: str
    what: str
    """`found` or `gone`."""
    reason: str = ""
    """Why it is gone."""


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
