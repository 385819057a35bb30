"""Probes as Sentry monitors: when to check in, and with what."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Protocol

from agent.errors import SpoolError
from agent.issues.envelope.items import check_in, identifier, interval_schedule, payload
from agent.issues.envelope.names import probe_slug
from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.issues.runs.run import Reporting
    from agent.issues.source_states import IssueSpool
    from agent.record import Payload

SOURCE: Final = "outrider.monitors"
"""The source name of the check-ins."""
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
    """Checks in for the probes that it watches."""

    def __init__(self, reporting: Reporting, spool: IssueSpool) -> None:
        self._reporting = reporting
        self._spool = spool
        self._probes: Sequence[Watched] = ()
        self._last: dict[str, Look] = {}
        """The look of each probe's last check-in."""

    def watch(self, probes: Sequence[Watched]) -> None:
        """Check in for these probes, if check-ins are wanted."""
        self._probes = probes if self._reporting.check_ins else ()

    async def tick(self) -> None:
        """Store the check-ins that are due."""
        for probe in self._probes:
            look, period = probe.last, max(EVERY, probe.interval)
            if look is not None and is_due(look, self._last.get(look.name), period):
                with contextlib.suppress(SpoolError):  # the next look does it
                    await self._spool.append(SOURCE, [self._payload(look, period)], {}, {}, replayable=False)
                    self._last[look.name] = look

    def _payload(self, look: Look, period: float) -> Payload:
        reporting = self._reporting
        item = check_in(
            probe_slug(reporting.service, look.name),
            "ok" if look.is_well else "error",
            check_in_id=identifier(reporting.service, look.name, str(look.time_ns)),
            labels={key: value for key, value in reporting.labels.items() if key == "environment"},
            config=interval_schedule(period),
            duration=look.seconds,
        )
        return payload(Signal.SENTRY_MONITOR, item, service=reporting.service)


def is_due(look: Look, last: Look | None, period: float) -> bool:
    """Whether a look is worth a check-in: there was none, the state is another one, or the last was a period (seconds) ago."""
    apart = abs(look.time_ns - (last.time_ns if last else 0))  # the clock may be set back
    changed = last is not None and look.is_well is not last.is_well
    return apart > 0 and (changed or apart >= period * 1e9 - 1e9)
