"""The state of a destination for one signal: for `/readyz`, the status page and the metrics. Pure.

ok ⇄ retrying   it did not take a row now; any final answer, even a refusal of the row, leads back to ok
ok ⇄ paused     it refuses us
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from agent.metrics import Kind, Metric, Observation
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.record import Signal

UP: Final = Metric(
    "outrider.destination.up", Kind.GAUGE, "", "1 while the destination takes what it is sent, 0 while it is retried or paused."
)
LAST_SUCCESS: Final = Metric(
    "outrider.destination.last_success", Kind.GAUGE, "s", "When the destination last took a row, seconds since the Unix epoch."
)
ATTEMPTS: Final = Metric("outrider.destination.attempts", Kind.COUNTER, "{attempt}", "Attempts to deliver, successful or not.")
CONSECUTIVE: Final = Metric(
    "outrider.destination.consecutive_failures", Kind.GAUGE, "{attempt}", "Attempts that failed since the last one that did not."
)


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
    """A destination took everything but sent a warning, or its answer was not valid."""

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


class State(StrEnum):
    """The states of a destination."""

    OK = "ok"
    RETRYING = "retrying"
    PAUSED = "paused"


@dataclass(slots=True)
class DestinationState:
    """The facts of one (destination, signal). Written by its sender only."""

    destination: str
    signal: Signal
    state: State = State.OK
    attempts: int = 0
    failures: int = 0
    """Consecutive ones."""
    last_success: float | None = None
    """Monotonic seconds; None = never since the start."""
    last_success_ns: int | None = None
    """Wall clock, nanoseconds since the Unix epoch."""
    last_error: str = ""
    """Of the last attempt that failed or row that was refused; stays after a success, for a person who looks later."""
    last_error_ns: int | None = None

    def succeeded(self, monotonic: float, wall_ns: int) -> bool:
        """Note a row taken; True if that ends a time of failures."""
        self.last_success, self.last_success_ns = monotonic, wall_ns
        return self._recover()

    def refused(self, reason: str, wall_ns: int) -> bool:
        """Note a row refused for good, which shows that the destination works; True if that ends a time of failures."""
        self.last_error, self.last_error_ns = reason, wall_ns
        return self._recover()

    def failed(self, state: State, reason: str, wall_ns: int) -> bool:
        """Note an attempt that must be repeated; True if the state is another one than before."""
        changed = self.state is not state
        self.state = state
        self.failures += 1
        self.last_error, self.last_error_ns = reason, wall_ns
        return changed

    def _recover(self) -> bool:
        recovered = self.state is not State.OK
        self.state, self.failures = State.OK, 0
        return recovered

    def observations(self) -> Sequence[Observation]:
        """The figures for both exits."""
        labels = {"destination": self.destination, "signal": self.signal.value}
        found = [
            Observation(UP, float(self.state is State.OK), labels),
            Observation(ATTEMPTS, self.attempts, labels),
            Observation(CONSECUTIVE, self.failures, labels),
        ]
        if self.last_success_ns is not None:
            found.append(Observation(LAST_SUCCESS, self.last_success_ns / 1e9, labels))
        return found
