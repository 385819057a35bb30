"""The values that flow through the agent: plain, immutable, without I/O.

A source makes `LogRecord`s, the pipeline encodes them into a `Payload`, the spool stores it as a `Row`, an exporter sends it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The version of OpenTelemetry's semantic conventions whose names the agent writes (schemas/README.md, "Schema URL")."""

Value = None | bool | int | float | str | bytes | list["Value"] | dict[str, "Value"]
"""An attribute value or a body: what the OpenTelemetry `AnyValue` can hold."""


class Severity(IntEnum):
    """The first number of each range of the OpenTelemetry log data model (logs/data-model.md, SeverityNumber)."""

    UNSPECIFIED = 0
    TRACE = 1
    DEBUG = 5
    INFO = 9
    WARN = 13
    ERROR = 17
    FATAL = 21


class Signal(StrEnum):
    """The kind of a row. A destination has one cursor per signal, so that one kind never waits for another.

    The `sentry.*` rows hold one envelope each, without `sent_at`; their second word is Sentry's data category, because that is what
    its rate limits speak of.
    """

    LOGS = "logs"
    METRICS = "metrics"
    TRACES = "traces"
    SENTRY_ERROR = "sentry.error"
    SENTRY_MONITOR = "sentry.monitor"
    SENTRY_SESSION = "sentry.session"
    SENTRY_LOG = "sentry.log_item"
    SENTRY_REPORT = "sentry.internal"


class Drop(StrEnum):
    """The reason why a record, or a part of it, did not arrive as it was. The value is the `reason` label and the spool's counter."""

    # read, but not understood: the record goes on as plain text
    MALFORMED_JSON = "malformed_json"
    MALFORMED_LOGFMT = "malformed_logfmt"
    MALFORMED_CRI = "malformed_cri"
    MALFORMED_DOCKER = "malformed_docker"
    MALFORMED_SYSLOG = "malformed_syslog"
    INVALID_UTF8 = "invalid_utf8"
    UNMARKED_UTF16 = "utf16_without_byte_order_mark"
    BAD_TIMESTAMP = "bad_timestamp"
    TOO_DEEP = "too_deep"
    # read, and shortened
    OVERSIZED = "oversized"
    ATTRIBUTE_LIMIT = "attribute_limit"
    JOIN_LIMIT = "join_limit"
    OVERWRITTEN = "overwritten"
    # could not be read, or not whole
    NUL_GAP = "nul_gap"
    TRUNCATED_WINDOW = "truncated_window"
    ROTATED_AWAY = "rotated_away"
    GZIP_BOMB = "gzip_bomb"
    GZIP_DAMAGED = "gzip_damaged"
    UNREADABLE = "unreadable"
    NOT_REGULAR = "not_regular"
    # encoded by others, and in no form that could be searched for secrets
    UNSEARCHABLE = "unsearchable"
    # read, and taken out on purpose
    REDACTED = "redacted"
    FILTERED = "filtered"
    # read, but there was no room, and it could not wait
    EVICTED_QUOTA = "evicted_quota"
    EVICTED_ORPHANED = "evicted_orphaned"
    SPOOL_FULL = "spool_full"
    SPOOL_OVERSIZE = "spool_oversize"
    SPOOL_FAILED = "spool_failed"
    BUFFER_FULL = "buffer_full"
    # collected, but our own output no longer took it
    NOT_PASSED_ON = "not_passed_on"
    # passed on, but not collected: the command had ended, and what it left behind wrote on
    NOT_COLLECTED = "not_collected"
    # stored, and then damaged
    CORRUPT = "corrupt"
    DEAD_LETTER_LIMIT = "dead_letter_limit"
    # refused by the destination
    REJECTED = "rejected"
    DEAD_LETTER = "dead_letter"
    RATE_LIMITED = "rate_limited"


class Scope(NamedTuple):
    """The instrumentation scope that made a record, if it was not the agent (OpenTelemetry specification, glossary.md, "Instrumentation Scope")."""

    name: str = ""
    version: str = ""
    attributes: Mapping[str, Value] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where records come from: one object per file, stream or child, shared by all its records.

    `resource` holds resource attributes that the origin knows better than the agent: those of another container, say. Without any, the
    records are about the agent's workload. `key` identifies it across restarts (together with a record's `offset` it makes a stable id). `attributes` are those that every
    record of it carries (`log.file.path`, `log.iostream`); an encoder may cache their encoding by the object's identity.
    """

    key: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    resource: Mapping[str, Value] = field(default_factory=dict)
    scope: Scope | None = None
    """None: the agent."""


class LogRecord(NamedTuple):
    """One log record, in the terms of the OpenTelemetry log data model. A tuple, because a million of them are made a minute."""

    time_ns: int
    """Event time, nanoseconds since the Unix epoch; 0 = unknown."""
    observed_ns: int
    """When the agent read it, nanoseconds since the Unix epoch."""
    severity: int
    """SeverityNumber, 0 to 24."""
    severity_text: str
    """The level as the source wrote it."""
    body: Value
    attributes: dict[str, Value]
    """Own attributes, typed and nested; those of `origin` come on top."""
    origin: Origin
    offset: int
    """Where it starts in its origin: byte offset in a file, running number elsewhere."""
    trace_id: bytes = b""
    """16 bytes, or empty."""
    span_id: bytes = b""
    """8 bytes, or empty."""
    trace_flags: int = 0
    dropped_attributes: int = 0


class Payload(NamedTuple):
    """Encoded records, not yet stored: an `Export*ServiceRequest` (protobuf) or a Sentry envelope, uncompressed."""

    signal: Signal
    records: int
    body: bytes


class Row(NamedTuple):
    """A stored payload. Its `seq` and its bytes never change; one row is one request."""

    seq: int
    signal: Signal
    source: str
    records: int
    body: bytes
    """gzip of the payload's body: exactly what goes on the wire with `Content-Encoding: gzip`."""
    raw_size: int
    """Length in bytes before compression."""
    stored_ns: int
    """Wall clock at the commit, nanoseconds since the Unix epoch."""


class Owner(StrEnum):
    """The owner of a position. Together with the name of the source or destination it is the namespace of the key."""

    SOURCE = "source"
    """The source of that name: where it reads on."""
    INTAKE = "intake"
    """The intake of that source: how much of a batch is stored that takes several transactions."""
    ISSUES = "issues"
    """The detector: windows of folded errors and runs of the process, per source."""
    EXPORTER = "exporter"
    """The exporter of that name: what it remembers of what it has sent."""
    SPOOL = "spool"
    """The spool itself, under an empty name."""


class Batch(NamedTuple):
    """The unit that a source emits: it is committed in one transaction as a whole, or not at all."""

    records: Sequence[LogRecord] = ()
    positions: Mapping[str, bytes | None] = {}
    """Position per key, opaque to everyone but the source; None forgets the key."""
    drops: Mapping[str, int] = {}
    """Records that could not be read or understood: `Drop` reason → count. Counted in the same transaction."""
    payloads: Sequence[Payload] = ()
    """OTLP requests that are encoded already (a receiver's, spans): redacted and searched for errors as records are, unless the source is `Verbatim`."""
    text: bytes | None = None
    """The raw bytes that `records` were parsed from, if available: a stage can search the whole chunk first."""
    durable: bool = False
    """Whether the commit must survive a power cut, because it is acknowledged to a sender that then forgets the batch."""


def _nothing() -> None:
    """Does nothing."""


class Detected(NamedTuple):
    """The result of a detector for a batch: rows, and the state that must be committed with them."""

    payloads: Sequence[Payload] = ()
    positions: Mapping[str, bytes | None] = {}
    drops: Mapping[str, int] = {}
    commit: Callable[[], None] = _nothing
    """Called when all of it is stored, and only then: the detector's own state follows what is committed."""
