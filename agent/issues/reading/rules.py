"""Which records are errors. Pure.

A record is an error if its level says so, if it holds an exception and has no level, or if a pattern of the user's matches it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.columns import unusual
from agent.issues.reading.record_exception import read_exception
from agent.issues.reading.record_fields import EXCEPTION_KEYS, STACKTRACE
from agent.names import EVENT_NAME, HTTP_STATUS, LOG_STREAM, PROBE_CHANGED, PROCESS_EXITED, PROCESS_OOM_KILLED, PROCESS_STARTED
from agent.record import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.parse.patterns import Compiled
    from agent.record import LogRecord, Origin

STATUS: Final = HTTP_STATUS
_PROCESS: Final = frozenset({PROCESS_EXITED, PROCESS_STARTED, PROCESS_OOM_KILLED})
_DUMPS: Final = ("Current thread 0x", "Thread 0x", "Stack (most recent call first)")
"""The first words of faulthandler where no process died: the report of a death has a line before."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Which records are errors, and which code is the workload's own."""

    level: int = Severity.ERROR
    """Records from this SeverityNumber on are errors."""
    pattern: Compiled | None = None
    """Records whose body it matches are errors, whatever their level."""
    probes: bool = True
    """Whether a probe's change of state is an error."""
    in_app: tuple[str, ...] = ()
    """Prefixes of paths or modules that are the workload's own."""

    def find(self, records: Sequence[LogRecord]) -> list[tuple[int, LogRecord]]:
        """The errors and the records about processes, with their indices; of a block only these become records."""
        likely = unusual(records, bytes(range(1, self.level)) if self.pattern is None else b"")
        return [(index, record) for index, record in likely if self.matches(record) or is_of_process(record)]

    def matches(self, record: LogRecord) -> bool:
        """Whether a record is an error. Called for every record, so the usual answer comes first."""
        if record.severity >= self.level and not is_access(record):
            return not is_dump(record) and (self.probes or not is_probe(record))
        if record.severity == 0 and not EXCEPTION_KEYS.isdisjoint(record.attributes) and read_exception(record) is not None:
            return True
        return self.pattern is not None and isinstance(record.body, str) and self.pattern.search(record.body) is not None


def is_of_process(record: LogRecord) -> bool:
    """Whether a record is the agent's own about a process: a workload can write anything, but not with such an origin."""
    name = record.attributes.get(EVENT_NAME)
    return name in _PROCESS and record.origin.key.startswith(("child:", "process:")) and LOG_STREAM not in record.origin.attributes


def is_exit(record: LogRecord) -> bool:
    """Whether a record is about the end of a process."""
    return record.attributes.get(EVENT_NAME) == PROCESS_EXITED and is_of_process(record)


def is_child(origin: Origin) -> bool:
    """Whether records of an origin are the wrapped command's, or about it."""
    return origin.key.startswith("child:")


def is_probe(record: LogRecord) -> bool:
    """Whether a record is the agent's own about a probe's change of state."""
    return record.attributes.get(EVENT_NAME) == PROBE_CHANGED and record.origin.key.startswith("probe:")


def is_dump(record: LogRecord) -> bool:
    """Whether a record is a stack that the program has asked for (`faulthandler.register`, `dump_traceback`)."""
    stack = record.attributes.get(STACKTRACE)
    return isinstance(stack, str) and stack.startswith(_DUMPS) and not record.severity_text


def is_access(record: LogRecord) -> bool:
    """Whether a record is a line of an access log, whose level is that of its status: another record says why the request failed."""
    return STATUS in record.attributes and not record.severity_text and STACKTRACE not in record.attributes
