"""An error that becomes an issue, before it has a wire format: what happened, where, and what went before. Plain values.

`reading/` makes them, `encode` turns them into Sentry's JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.parse.exceptions import ExceptionInfo, FatalError
    from agent.record import Value


@dataclass(frozen=True, slots=True)
class Signalled:
    """The signal that ended a process."""

    number: int
    name: str
    """As in `SIGSEGV`."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """How the error was reported (Sentry: exception interface, mechanism)."""

    type: str = "generic"
    handled: bool = True
    """False if the workload did not catch it: its process or its thread died, or a framework reported it."""
    own: bool = False
    """Whether the agent itself has found the error (an end, a probe, a pattern), and it is not an exception of the workload's.

    Such an event is not `synthetic` for Sentry: receivers would leave type and value out of its title, which say what happened.
    """
    signal: Signalled | None = None


@dataclass(frozen=True, slots=True)
class Breadcrumb:
    """A record before the error."""

    time_ns: int
    level: str
    category: str
    message: str
    data: Mapping[str, Value] = field(default_factory=dict)
    """The fields of a structured record."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with the event."""

    filename: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class LogMessage:
    """A log's message: the template that all such messages share, the values in this one, and the text as it was written."""

    template: str
    params: tuple[str, ...] = ()
    formatted: str = ""


@dataclass(frozen=True, slots=True)
class Transaction:
    """The operation that failed: a request, a task, a job."""

    name: str
    source: str
    """How the name was made (Sentry: transaction annotations): `component`, `task`, `sanitized`."""
    method: str = ""
    """Of a request; so are `url` (or only its path) and `query`."""
    url: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """One error. At least one of `exception`, `fatal` and `message` is there."""

    event_id: str
    """32 hexadecimal digits, the same whenever the same error is found again."""
    time_ns: int
    """Nanoseconds since the Unix epoch."""
    level: str
    """`fatal`, `error`, `warning`, `info` or `debug`."""
    group: tuple[str, ...]
    """Errors with the same one are one problem: few of many are sent."""
    fingerprint: tuple[str, ...] = ()
    """The parts that a receiver groups by; empty = its own grouping does as well."""
    message: LogMessage | None = None
    exception: ExceptionInfo | None = None
    fatal: FatalError | None = None
    mechanism: Mechanism = Mechanism()
    transaction: Transaction | None = None
    logger: str = ""
    server_name: str = ""
    """The workload's host."""
    service: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Value] = field(default_factory=dict)
    trace_id: str = ""
    """32 hexadecimal digits, or empty."""
    span_id: str = ""
    """16 hexadecimal digits, or empty."""
    breadcrumbs: tuple[Breadcrumb, ...] = ()
    """Oldest first."""

    @property
    def said(self) -> str:
        """Its message, which varies between errors of one group."""
        if self.exception is not None:
            return self.exception.value
        return (self.message.formatted or self.message.template) if self.message else ""
