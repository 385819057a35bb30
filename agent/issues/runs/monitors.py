"""Probes as Sentry monitors: when to check in, and with what."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.errors import SpoolError
from agent.issues.envelope.items import check_in, identifier, interval_schedule, payload
from agent.issues.envelope.names import probe_slug
from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.issues.runs.run import Reporting
    from agent.issues.source_states import IssueSpool
    from agent.record import Payload

SOURCE: Final = "outrider.monitors"
"""The source name of the check-ins."""
EVERY: Final = 60.0
"""Seconds between two check-ins of a monitor that stays as it is: Sentry's schedules count in minutes."""


class ProbeCheck(NamedTuple):
    """The last result of a probe."""

    name: str
    is_well: bool
    seconds: float
    """How long it took."""
    time_ns: int
    """Nanoseconds since the Unix epoch."""
    interval: float
    """Seconds between two results."""


class Monitors:
    """Checks in for the probes that it watches."""

    def __init__(self, reporting: Reporting, spool: IssueSpool) -> None:
        self._reporting = reporting
        self._spool = spool
        self._last: dict[str, ProbeCheck] = {}
        """The result of each probe's last check-in."""
        self.probes: Callable[[], Iterable[ProbeCheck]] = tuple
        """Reads the last results of the probes."""

    async def tick(self) -> None:
        """Store the check-ins that are due, if check-ins are wanted."""
        for result in self.probes() if self._reporting.check_ins else ():
            period = max(EVERY, result.interval)
            if is_due(result, self._last.get(result.name), period):
                with contextlib.suppress(SpoolError):  # the next tick does it
                    await self._spool.append(SOURCE, [self._payload(result, period)], {}, {}, replayable=False)
                    self._last[result.name] = result

    def _payload(self, result: ProbeCheck, period: float) -> Payload:
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


def is_due(result: ProbeCheck, last: ProbeCheck | None, period: float) -> bool:
    """Whether to check in: for the first time, with another state, or a period (seconds) after the last check-in."""
    apart = abs(result.time_ns - (last.time_ns if last else 0))  # the clock may be set back
    changed = last is not None and result.is_well is not last.is_well
    return apart > 0 and (changed or apart >= period * 1e9 - 1e9)
