"""Values that the host gives to the pages, so that neither imports the other: the status, and the other inputs of the pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from agent.health import Part, Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from agent.clock import Clock
    from agent.metrics import Metrics
    from agent.spool.spool import Spool
    from agent.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One source. Counts are records since the spool was made."""

    name: str
    type: str
    running: bool
    reason: str = ""
    """Why it does not run."""
    troubles: tuple[str, ...] = ()
    """Things that it should do and can't, though it runs."""
    accepted: int = 0
    pending: int = 0
    """In the spool, delivered or not: the newest rows stay for reading."""
    lag_seconds: float | None = None
    """Age of the newest stored record; None = none seen."""
    drops: Mapping[str, int] = field(default_factory=dict)
    """Reason → records."""


@dataclass(frozen=True, slots=True)
class DestinationFacts:
    """One destination and signal. Counts are records since the spool was made."""

    name: str
    signal: str
    state: str
    """`ok`, `retrying` or `paused`."""
    sent: int = 0
    pending: int = 0
    rejected: int = 0
    dead_lettered: int = 0
    evicted: int = 0
    last_success_ns: int | None = None
    """Nanoseconds since the Unix epoch; None = no success since start."""
    last_error: str = ""
    last_error_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SpoolFacts:
    """The store. Sizes are bytes."""

    state: str
    """`ok`, `full` or `degraded`."""
    reason: str = ""
    used: int = 0
    quota: int = 0
    rows: int = 0
    dead_letters: int = 0
    oldest_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ProbeFacts:
    """One probe and its last check."""

    name: str
    target: str
    state: str
    """`up`, `down` or `unknown`."""
    success: bool
    reason: str
    seconds: float
    time_ns: int

    @property
    def is_well(self) -> bool:
        """Whether the target counts as up; before it has ever been up, whether this check succeeded."""
        return self.success if self.state == "unknown" else self.state == "up"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value."""

    name: str
    value: float
    unit: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """A warning or an error of the agent's own log, one for each cause."""

    time_ns: int
    """When it occurred last, in nanoseconds since the Unix epoch."""
    level: str
    name: str
    details: Mapping[str, object] = field(default_factory=dict)
    count: int = 1
    """How often it has occurred."""


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the agent at one moment."""

    version: str
    pid: int
    started_ns: int
    now_ns: int
    state_dir: str
    resource: Mapping[str, str]
    spool: SpoolFacts
    sources: tuple[SourceFacts, ...] = ()
    destinations: tuple[DestinationFacts, ...] = ()
    probes: tuple[ProbeFacts, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    """Sampler, and why it can't measure its target."""
    figures: tuple[Figure, ...] = ()
    violations: tuple[str, ...] = ()
    """Violations that the ledger's check found; there should be none."""
    notices: tuple[NoticeFacts, ...] = ()
    """The newest first."""

    def verdict(self) -> Verdict:
        """Whether the agent is ready, and why not."""
        return verdict(self._parts())

    def _parts(self) -> Iterator[Part]:
        yield Part("spool", self.spool.state == "ok", self.spool.reason or f"is {self.spool.state}", essential=self.spool.state != "full")
        for source in self.sources:
            yield Part(f"source {source.name}", source.running, source.reason or "does not run")
            yield from (Part(f"source {source.name}", works=False, reason=one, essential=False) for one in source.troubles)
        yield from (Part(f"sampler {name}", works=False, reason=reason, essential=False) for name, reason in self.absent)
        for one in self.destinations:
            yield Part(f"destination {one.name} ({one.signal})", one.state == "ok", self._trouble(one), essential=False)
        for violation in self.violations:
            yield Part("ledger", works=False, reason=violation, essential=False)

    def _trouble(self, one: DestinationFacts) -> str:
        ago = None if one.last_success_ns is None else (self.now_ns - one.last_success_ns) / 1e9
        last = "no success since start" if ago is None else f"last success {ago:.0f} s ago"
        records = "1 record" if one.pending == 1 else f"{one.pending} records"
        return f"{one.state}; {last}; {records} waiting" + (f": {one.last_error}" if one.last_error else "")


class PageInputs(NamedTuple):
    """The inputs of the pages."""

    status: Callable[[], Awaitable[Status]]
    """Gathers the present status."""
    refresh: Callable[[], Awaitable[None]]
    """Publishes the metrics that are read only for a scrape; SpoolError if the store does not answer."""
    spool: Spool
    metrics: Metrics
    telemetry: Telemetry
    clock: Clock


class PageServer(Protocol):
    """The listeners of one configuration."""

    async def open(self, state_dir: Path) -> str:
        """Listen; return the address. Raises OSError when it is taken."""

    async def close(self) -> None:
        """Stop listening; idempotent."""
