"""The contract between the host and its components. Read this before writing one; it is all there is.

A component is one file in `sources/`, `exporters/` or `sources/probes/`, and one line in `registry.py`. It has a `Config` (a frozen
`ComponentConfig`), a class that takes `(config, context)`, and pure helpers below. It contains no timing, no retry, no restart, no
success metric and no logging of its own failure: the host does those once, for all.

    kind       what it does                                   the host
    Source     run(emit): until cancelled                     restarts it with back-off when it raises
    Sampler    sample(): read once, return observations       calls it every `interval`, times it, publishes what it returned
    Probe      probe(): check once, return a ProbeResult       calls it every `interval` within `timeout`, damps flaps, publishes
    Exporter   export(row): deliver one row                   reads rows behind the cursor, retries, bisects, counts, moves the cursor

Each ability of a component beyond its kind is a protocol below: the host asks whether it has the ability, and names no type.

Rules for all kinds. `__init__` opens nothing and cannot fail on the outside world. Cancellation passes: catch `CancelledError` only to
clean up, then raise it again. `close()` is safe when never started, twice, and after a failed start. Nothing is left behind: no task, no
thread, no file descriptor. Bad input is data (a counted drop, a plain record), never an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from agent.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence
    from pathlib import Path

    from agent.clock import Clock
    from agent.metrics import Metrics, Observation
    from agent.record import Batch, Row, Signal, Value
    from agent.telemetry import Telemetry


Stage = Callable[["Batch"], "Batch"]
"""A step between a source and redaction, for all sources: returns the batch with additions, changes or omissions (counted in `drops`).

Stages run in order, before anything is redacted or stored, and again after a kill. They neither wait nor raise, and leave `positions` alone."""
Tap = Callable[[str, "Batch"], None]
"""Receives each stored batch once, after its commit, with the name of its source. Must be quick; can't change the batch.

The batch is redacted. `encode.batch_logs.log_records_of` returns its log records; each is made only when it is read. `columns.severities` makes none."""


class ComponentConfig(BaseModel):
    """Base of every component's options: frozen, unknown keys refused, every option documented by the docstring below it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


async def no_evictions() -> Mapping[str, int]:
    """The evictions of a component that is not an exporter."""
    return {}


async def no_store(batch: Batch) -> None:  # noqa: ARG001 - the signature of `emit`
    """Refuse a batch: a source emits with what `run` is given, an exporter stores with `Accepted`."""
    raise SpoolError("this component has no way into the spool")


class HistoryEntry(NamedTuple):
    """One entry of a series of the history store."""

    time_ns: int
    """Nanoseconds since the Unix epoch."""
    key: str
    value: Value


class HistorySeries(Protocol):
    """The entries of one kind, for pages and comparisons. They hold no positions, so that their loss loses no record."""

    def add(self, time_ns: int, key: str, value: Value) -> None:
        """Keep an entry, and return before it is written (within a minute). An entry of the same time and key is replaced.

        TypeError if JSON can't hold the value, ValueError if 64 bits can't hold the time.
        """

    async def query(
        self, *, since_ns: int = 0, until_ns: int = (1 << 63) - 1, key: str | None = None, limit: int = 10_000
    ) -> Sequence[HistoryEntry]:
        """Return the newest `limit` entries between two times (both included), of one key or of all, oldest first."""


class HistoryStore(Protocol):
    """All series of the agent. While nothing is added or asked for, there is no file."""

    def series(self, kind: str, *, age: float, most_bytes: int) -> HistorySeries:
        """Return the series of a kind. Entries older than `age` seconds are deleted, and the oldest beyond about `most_bytes` on the disk."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that the host lends to a component."""

    name: str
    """The component's name in the configuration: unique, the key of its positions or cursors, the label of its metrics."""
    clock: Clock
    metrics: Metrics
    """For metrics of the component's own; see `metrics.py`."""
    telemetry: Telemetry
    """For events of the component (a file rotated, a figure unreadable); see `telemetry.py`. Not for its own failure."""
    resource: Mapping[str, str]
    """The workload's OpenTelemetry resource attributes (`service.name`, …)."""
    positions: Callable[[], Awaitable[Mapping[str, bytes]]]
    """Reads this source's committed positions back. The only truth: call it at the start of every `run`. An exporter's are those that it returned in `Accepted`."""
    evicted: Callable[[], Awaitable[Mapping[str, int]]] = no_evictions
    """Number of records that were evicted before this exporter had sent them, by signal. The counts only grow, also over restarts."""
    emit: Callable[[Batch], Awaitable[None]] = no_store
    """Stores records and positions of a sampler or a probe, as a source's `emit` does: `positions` reads them back, also after a restart. SpoolError:
    nothing of it is stored."""
    history: HistoryStore | None = None
    """The store of earlier measurements and findings; None where nothing is kept, as in `outrider check`."""


class Source(Protocol):
    """Reads records and their positions.

    `run` starts at the committed positions, emits until cancelled, and may raise anything that means "start me again": the host waits
    and calls `run` again, which reads the positions back. `await emit(batch)` returns when the batch *and its positions* are committed;
    it waits while the spool is full if the source is `replayable`. It may be called again before it has returned: the batches of a replayable
    source are stored one after another, in the order of the calls; those of any other may share a commit, in any order. A position never passes
    an incomplete record (a partial line, an open traceback). A source keeps no other state on disk.
    """

    replayable: ClassVar[bool]
    """True when what was read can be read again from a position (files, streams): a full spool makes it wait, and a record's `offset` is the same again.

    False: the oldest such row is evicted, and counted; but not of a batch that is `durable`, which a full spool refuses with SpoolFullError.
    So a receiver is not replayable, emits durable batches, and acknowledges when `emit` returns."""

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Emit batches until cancelled."""

    async def close(self) -> None:
        """Release everything; idempotent."""


@runtime_checkable
class Holding(Protocol):
    """Optional ability of a source that can't read again: input that it has read but not emitted yet (half a line) survives a reload."""

    def take_over(self, before: Holding) -> None:
        """Continue where `before` stopped: the ended source of the same class in the previous configuration. Called before `run`."""

    async def finish(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """After `run`, if no other source takes over: emit the rest, even if it is incomplete."""


class Unread(NamedTuple):
    """Input that was written and is not stored."""

    bytes: int = 0
    files: int = 0


@runtime_checkable
class Finishing(Protocol):
    """Optional ability of a source whose input outlives it (files): at the agent's end it reads to the end of the present input."""

    async def finish(self, emit: Callable[[Batch], Awaitable[None]], *, writer_ended: bool = False) -> None:
        """After `run`: read once more to the present end, and emit open records even if they are incomplete. Cancelled when the time is up.

        `writer_ended`: the workload has ended, so that a last line without an end counts as complete.
        """

    async def unread(self) -> Unread:
        """The present input behind the committed positions. Reads no contents, and keeps nothing open."""


@runtime_checkable
class Verbatim(Protocol):
    """Optional ability of a source: its encoded payloads (`Batch.payloads`) are stored as they are, without a search for secrets and errors."""

    verbatim: ClassVar[str]
    """The reason why that is safe, in one sentence, such as: its texts are redacted before it encodes them."""


@runtime_checkable
class Settling(Protocol):
    """Optional ability of a source: the silence of its input after which it emits a record that may have more lines (a traceback)."""

    settling: float
    """Seconds."""


class Sampler(Protocol):
    """Reads figures once per call. `sample` is a plain function if it is quick (< 10 ms: /proc, not the network), otherwise a coroutine."""

    def sample(self) -> Sequence[Observation] | Awaitable[Sequence[Observation]]:
        """Return the present figures. Series that are no longer in the list disappear from `/metrics` and from OTLP.

        The host cancels a coroutine after an interval, and never calls again before it has ended.
        """

    async def close(self) -> None:
        """Release everything; idempotent."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The outcome of one check of a target."""

    success: bool
    reason: str = ""
    """The reason of a failure, in one sentence without secrets; empty on success."""
    observations: Sequence[Observation] = ()
    """More figures of this check, named as blackbox_exporter names them."""


class Probe(Protocol):
    """Checks one target. The host bounds it by `timeout`, measures it and turns a change of state into a log record."""

    target: str
    """The address that it checks, without credentials: the `target` label."""

    async def probe(self) -> ProbeResult:
        """Check once. A target that is down is a result, not an exception."""

    async def close(self) -> None:
        """Release everything; idempotent."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The destination has the row. A partial success is final: `rejected` records of it were refused, never to be sent again."""

    rejected: int = 0
    message: str = ""
    positions: Mapping[str, bytes | None] = field(default_factory=dict)
    """State that the exporter needs after a kill: committed with the cursor's move, read back with `context.positions`."""


class Exporter(Protocol):
    """Delivers rows to one destination, one at a time and in order per signal.

    `export` returns `Accepted`, or raises `RetryableError` (keep it), `PausedError` (keep it, the destination refuses us),
    `TooLargeError` (the host halves the row) or `RejectedError` (dead letter). Anything else is a bug: the row is kept and the host says so.
    It may be cancelled at any await; the row then counts as not delivered.
    """

    signals: frozenset[Signal]
    """The kinds of rows it takes."""

    async def export(self, row: Row) -> Accepted:
        """Deliver one row within the component's own total deadline."""

    async def close(self) -> None:
        """Release everything; idempotent."""


@runtime_checkable
class Observing(Protocol):
    """Optional ability of a sampler: say which processes it is about, so that the host can report their starts and ends."""

    mains: frozenset[int]
    """The pids of the target's topmost processes, as the last sample has seen them."""
    proc_dir: Path
    """The mount point of their process table."""


@runtime_checkable
class Targeted(Protocol):
    """Optional ability of a sampler's *options*: say which processes it is about."""

    target: str
    """In the form that `target/find.py` reads, such as `pid:1`."""


@runtime_checkable
class Labelling(Protocol):
    """Optional ability of an exporter of errors: the `release` and `environment` of its options, for events without their own."""

    labels: Mapping[str, str]


@runtime_checkable
class Tapping(Protocol):
    """Optional ability of any component: receive the stored batches of all sources."""

    def stored(self, source: str, batch: Batch) -> None:
        """A `Tap`."""


@runtime_checkable
class Doubtful(Protocol):
    """Optional ability of a source or an exporter: name options that are valid but perhaps not intended (`outrider check`)."""

    def doubts(self) -> list[str]:
        """One line each. Opens nothing."""


@runtime_checkable
class Troubled(Protocol):
    """Optional ability of a source or sampler: name tasks that it can't do at present although it runs (a file that it may not read)."""

    def troubles(self) -> Sequence[str]:
        """One sentence each, with the fix. Opens nothing."""


@runtime_checkable
class Checkable(Protocol):
    """Optional ability of an exporter: say whether the destination would take a record now (`outrider check --send`)."""

    async def check(self) -> str:
        """Send one test record and return what came back, in one line."""
