"""Probes as Sentry monitors: when to check in, and with what. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from agent.issues.envelope.items import check_in, identifier, interval_schedule, payload
from agent.issues.envelope.names import probe_slug
from agent.record import Signal

if TYPE_CHECKING:
    from agent.issues.runs.run import Reporting
    from agent.record import Payload

EVERY: Final = 60.0
"""Seconds between two check-ins of a monitor that stays as it is: Sentry's schedules count in minutes."""


class Look(Protocol):
    """The outcome of one look at a probe's target."""

    @property
    def name(self) -> str:
        """The probe's name."""

    @property
    def is_well(self) -> bool:
        """Whether the target counts as up."""

    @property
    def seconds(self) -> float:
        """How long the look took."""

    @property
    def time_ns(self) -> int:
        """When it was, nanoseconds since the Unix epoch."""


class Watched(Protocol):
    """A probe, as the host runs it."""

    @property
    def last(self) -> Look | None:
        """The last look, if there was one."""

    @property
    def interval(self) -> float:
        """Seconds between two looks."""


class Monitors:
    """Remembers what each monitor has been told."""

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting
        self._told: dict[str, tuple[int, bool]] = {}

    def due(self, probe: str, *, well: bool, time_ns: int, interval: float) -> bool:
        """Whether a look at `time_ns` is worth a check-in: the state is another one, or the last was a period ago."""
        told_ns, was_well = self._told.get(probe, (0, well))
        apart = abs(time_ns - told_ns)  # the clock may be set back
        return apart > 0 and (well is not was_well or apart >= max(EVERY, interval) * 1e9 - 1e9)

    def payload(self, probe: str, *, well: bool, time_ns: int, interval: float, seconds: float) -> Payload:
        """The check-in of a look that took `seconds`."""
        reporting = self._reporting
        item = check_in(
            probe_slug(reporting.service, probe),
            "ok" if well else "error",
            check_in_id=identifier(reporting.service, probe, str(time_ns)),
            labels={key: value for key, value in reporting.labels.items() if key == "environment"},
            config=interval_schedule(max(EVERY, interval)),
            duration=seconds,
        )
        return payload(Signal.SENTRY_MONITOR, item, service=reporting.service)

    def told(self, probe: str, *, well: bool, time_ns: int) -> None:
        """Note what was stored."""
        self._told[probe] = time_ns, well
