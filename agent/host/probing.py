"""The host of probes: keeps the time, bounds and measures each check, damps flapping, and makes a log record of a change of state.

It survives whatever a probe raises. The probe only checks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.clock import every
from agent.component import ProbeResult
from agent.errors import SpoolError, describe
from agent.failures import ComponentFailed
from agent.host.supervise import failing_if_not_cancelled
from agent.metrics import Kind, Metric, Observation, checked
from agent.names import EVENT_NAME, PROBE_CHANGED, PROBE_NAME, PROBE_TARGET
from agent.record import Batch, Drop, LogRecord, Origin, Severity
from agent.retry import Backoff
from agent.status import ProbeFacts
from agent.telemetry import Event, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.component import Context, Probe
    from agent.record import Value

SUCCESS: Final = Metric("probe_success", Kind.GAUGE, "", "Whether the last check of the target succeeded.")
DURATION: Final = Metric("probe_duration_seconds", Kind.GAUGE, "s", "Duration of the last check of the target.")
TIMEOUT: Final = Metric("probe_timeout_seconds", Kind.GAUGE, "s", "Time limit of a check of the target.")
UP: Final = Metric("outrider.probe.up", Kind.GAUGE, "", "Whether the target is up, after damping.")

EARLY: Final = Backoff(first=0.5, longest=2.0)
"""Between the first checks of a target that has not been up yet."""
GRACE: Final = 0.25
"""Seconds in addition to a probe's timeout, so that a probe with its own time limit can report what it was waiting for."""
DRAINING: Final = 10.0
"""Seconds after a `down` in which the end of the target explains it: the time that `docker stop` gives between SIGTERM and SIGKILL.

The change is not stored in that time: when the agent is killed then, only its next start can find the target down.
"""
UNSENT: Final = 100
"""Number of changes of state that may wait while the spool takes nothing. Beyond that the oldest are dropped and counted."""
PROBE_CHANGES: Final = Metric("outrider.probe.changes", Kind.COUNTER, "{change}", "Changes of a probe's state, after damping.")


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


class State(StrEnum):
    """The states of a target.

    unknown ──one success──▶ up ◀──`needed` of the last `window` checks say otherwise──▶ down ◀──the same── unknown
    """

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Damping:
    """How many of the last checks must contradict the present state before it changes."""

    needed: int = 2
    window: int = 3

    def next(self, state: State, looks: Iterable[bool]) -> State:
        """The state after these checks, oldest first; only the last `window` count."""
        last = list(looks)[-self.window :]
        if state is State.UNKNOWN and last and last[-1]:
            return State.UP
        contrary = state is State.DOWN
        if last.count(contrary) < self.needed or last[-1] is not contrary:
            return state
        return State.UP if contrary else State.DOWN


class Change(NamedTuple):
    """A change of a target's state that is not stored yet."""

    look: ProbeFacts
    since: float
    """The time of the target's last answer, by the monotonic clock."""
    until: float
    """The time from which a `down` is an error, unless the target has ended by then."""


class ProbePoller:
    """Runs one probe."""

    def __init__(
        self,
        probe: Probe,
        context: Context,
        *,
        interval: float,
        timeout: float,
        damping: Damping = Damping(),
    ) -> None:
        """`context` is what the probe was made with, and stores the records of changes; times in seconds."""
        self.name = context.name
        self.last: ProbeFacts | None = None
        self.state = State.UNKNOWN
        self.planned: Callable[[float], bool | None] = lambda _: False
        """Whether the workload was asked to end or has ended in order since then, by the monotonic clock; None while it lives.

        A target that is down because of that is not an error. Many workloads close their port before they end.
        """
        self.probe = probe
        self._context = context
        self.interval = interval
        self._timeout = timeout
        self._damping = damping
        self._looks: deque[bool] = deque(maxlen=damping.window)
        self._answered = context.clock.monotonic()
        self._changes: deque[Change] = deque()  # few: only a `down` waits, until the next change of the target
        self._unsent: deque[LogRecord] = deque()
        self._dropped = 0
        self._reporting = asyncio.Lock()  # the end of the agent reports while checks still run
        self._is_ending = False
        self._origin = Origin(f"probe:{self.name}", {PROBE_NAME: self.name, PROBE_TARGET: probe.target})

    async def run(self) -> None:
        """Check until cancelled."""
        try:
            await self._await_the_first_success()
            await every(self._context.clock, self.interval, self.look)
        finally:
            self._context.metrics.publish(self.name, ())
            await self.probe.close()

    async def _await_the_first_success(self) -> None:
        """Check again soon while a target that has not been up yet may be starting. These early checks do not count towards `down`."""
        clock, attempt = self._context.clock, 0
        end = clock.monotonic() + self.interval
        await self.look()
        while self.state is State.UNKNOWN:
            attempt += 1
            wait = EARLY.delay(attempt, 1.0)
            if clock.monotonic() + wait >= end:
                break
            await clock.sleep(wait)
            await self.look(early=True)
        await clock.sleep(max(0.0, end - clock.monotonic()))

    async def look(self, *, early: bool = False) -> None:
        """Check once, publish the result, and return whether the state changed. An `early` failure does not count towards a change."""
        start = self._context.clock.monotonic()
        result = await self._result()
        seconds = self._context.clock.monotonic() - start
        if result.success or not early:
            self._looks.append(result.success)
        self._answered = start if result.success else self._answered
        before, self.state = self.state, self._damping.next(self.state, self._looks)
        look = self.last = ProbeFacts(
            self.name, self.probe.target, self.state, result.success, result.reason, seconds, self._context.clock.wall_ns()
        )
        self._context.metrics.publish(self.name, self._observations(result, seconds))
        if worth_telling(before, self.state):
            self._context.telemetry.emit(ProbeChanged(look.name, look.target, look.state, look.reason))
            self._changes.append(Change(look, self._answered, start + DRAINING))
        await self.report()

    async def report(self, *, last: bool = False) -> None:
        """Store the changes of state, except a `down` that the target's end may still explain; the `last` time, all of them."""
        self._is_ending |= last
        async with self._reporting:
            self._decide()
            await self._send()

    def _decide(self) -> None:
        """Make records of the changes that need not wait any more."""
        while self._changes:
            look, since, until = self._changes[0]
            planned = look.state is State.DOWN and self.planned(since)
            if planned is None and self.state is State.DOWN and self._context.clock.monotonic() < until and not self._is_ending:
                break
            self._unsent.append(change_record(look, self._origin, planned=bool(planned)))
            self._changes.popleft()
        while len(self._unsent) > UNSENT:
            self._unsent.popleft()
            self._dropped += 1

    async def _result(self) -> ProbeResult:
        try:
            async with asyncio.timeout(self._timeout + GRACE):
                with failing_if_not_cancelled():
                    result = await self.probe.probe()
                checked(result.observations)
                return result
        except TimeoutError:
            return ProbeResult(success=False, reason=f"no answer within {self._timeout:g} s")
        except Exception as error:  # noqa: BLE001 - the host: a probe that breaks has not seen its target
            self._context.telemetry.emit(ComponentFailed(self.name, describe(error), self.interval))
            return ProbeResult(success=False, reason=f"the probe itself failed: {describe(error)}")

    def _observations(self, result: ProbeResult, seconds: float) -> list[Observation]:
        labels = {"probe": self.name, "target": self.probe.target}
        own = [
            Observation(SUCCESS, float(result.success)),
            Observation(DURATION, seconds),
            Observation(TIMEOUT, self._timeout),
            Observation(UP, float(self.state is State.UP)),
        ]
        return [one._replace(attributes={**labels, **one.attributes}) for one in (*own, *result.observations)]

    async def _send(self) -> None:
        if not self._unsent:
            return
        try:
            await self._context.emit(Batch(records=tuple(self._unsent), drops={Drop.BUFFER_FULL: self._dropped} if self._dropped else {}))
        except SpoolError:  # nothing was stored: they go with the next check
            return
        self._unsent.clear()
        self._dropped = 0


def worth_telling(before: State, after: State) -> bool:
    """Whether a change of state is reported: a target that is up at the first check is not."""
    return after is not before and not (before is State.UNKNOWN and after is State.UP)


def change_record(look: ProbeFacts, origin: Origin, *, planned: bool = False) -> LogRecord:
    """A change of state as a log record, an error unless the end was `planned`. Its offset is its time, because no other running number of its origin survives a restart."""
    attributes: dict[str, Value] = {
        EVENT_NAME: PROBE_CHANGED,
        "probe.state": str(look.state),
        "probe.duration": look.seconds,
        "probe.reason": look.reason,
        **({"probe.planned": True} if planned and look.state is State.DOWN else {}),
    }
    body = f"probe {look.name}: {look.target} is {look.state}" + (f": {look.reason}" if look.reason else "")
    severity = Severity.ERROR if look.state is State.DOWN and not planned else Severity.INFO
    return LogRecord(look.time_ns, look.time_ns, severity, severity.name, body, attributes, origin, look.time_ns)
