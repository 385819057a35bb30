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


class Checked(Protocol):
    """One result of a probe."""

    @property
    def name(self) -> str:
        """The probe's name."""

    @property
    def is_well(self) -> bool:
        """Whether the target counts as up."""

    @property
    def seconds(self) -> float:
        """How long the probe took."""

    @property
    def time_ns(self) -> int:
        """When it was, nanoseconds since the Unix epoch."""


class Watched(Protocol):
    """A probe, as the host runs it."""

    @property
    def last(self) -> Checked | None:
        """The last result, if there is one."""

    @property
    def interval(self) -> float:
        """Seconds between two results."""


class Monitors:
    """Checks in for the probes that it watches."""

    def __init__(self, reporting: Reporting, spool: IssueSpool) -> None:
        self._reporting = reporting
        self._spool = spool
        self._probes: Sequence[Watched] = ()
        self._last: dict[str, Checked] = {}
        """The result of each probe's last check-in."""

    def watch(self, probes: Sequence[Watched]) -> None:
        """Check in for these probes, if check-ins are wanted."""
        self._probes = probes if self._reporting.check_ins else ()

    async def tick(self) -> None:
        """Store the check-ins that are due."""
        for probe in self._probes:
            result, period = probe.last, max(EVERY, probe.interval)
            if result is not None and is_due(result, self._last.get(result.name), period):
                with contextlib.suppress(SpoolError):  # the next tick does it
                    await self._spool.append(SOURCE, [self._payload(result, period)], {}, {}, replayable=False)
                    self._last[result.name] = result

    def _payload(self, result: Checked, period: float) -> Payload:
        reporting = self._reporting
        item = check_in(
            probe_slug(reporting.service, result.name),
            "ok" if result.is_well else "error",
            check_in_id=identifier(reporting.service, result.name, str(result.time_ns)),
            labels={key: value for key, value in reporting.labels.items() if key == "environment"},
            config=interval_schedule(period),
            duration=result.seconds,
        )
        return payload(Signal.SENTRY_MONITOR, item, service=reporting.service)


def is_due(result: Checked, last: Checked | None, period: float) -> bool:
    """Whether to check in: for the first time, with another state, or a period (seconds) after the last check-in."""
    apart = abs(result.time_ns - (last.time_ns if last else 0))  # the clock may be set back
    changed = last is not None and result.is_well is not last.is_well
    return apart > 0 and (changed or apart >= period * 1e9 - 1e9)
