"""A process that we watch and did not start: how it is known, and the records of its beginning and its end. Pure.

first seen ──▶ started ──(OOM kill of one of its processes)──▶ … ──▶ ended: code, signal, or unknown
"""

from __future__ import annotations

import os
import signal
from typing import Final, NamedTuple

import orjson

from agent.names import (
    EVENT_NAME,
    EXIT_CODE,
    EXIT_OOM_KILLS,
    EXIT_REQUESTED,
    EXIT_SIGNAL,
    EXIT_UNKNOWN,
    PROCESS_BEGAN,
    PROCESS_CREATED,
    PROCESS_EXECUTABLE,
    PROCESS_EXITED,
    PROCESS_OOM_KILLED,
    PROCESS_PID,
    PROCESS_STARTED,
    TARGET_EMPTIED,
)
from agent.record import LogRecord, Origin, Severity, Value
from agent.resource import iso
from agent.signals import name_of

PLANNED: Final = frozenset({signal.SIGTERM, signal.SIGINT})
"""By what supervisors and keyboards end a process: its planned end, from any sender, and no issue, under `exec` and `run` alike."""


class Observed(NamedTuple):
    """Which process: no other one has the same boot, pid and start."""

    boot: str
    """The kernel's boot_id."""
    pid: int
    start: int
    """Clock ticks since the boot."""
    began_ns: int
    """Nanoseconds since the Unix epoch."""
    program: str

    @property
    def key(self) -> str:
        """The same whenever it is seen, by any run of the agent."""
        return f"process:{self.boot}:{self.pid}:{self.start}"

    def dump(self) -> bytes:
        """Its stored form."""
        return orjson.dumps(list(self))


def load(stored: bytes) -> Observed:
    """The process that `dump` made bytes of."""
    boot, pid, start, began_ns, program = orjson.loads(stored)
    return Observed(boot, pid, start, began_ns, program)


def started_record(process: Observed, now_ns: int) -> LogRecord:
    """It is watched from now on."""
    return _record(process, PROCESS_STARTED, Severity.INFO, f"watching {_who(process)}", now_ns, **{PROCESS_BEGAN: process.began_ns})


def killed_record(process: Observed, kills: int, now_ns: int) -> LogRecord:
    """The kernel has killed others in its cgroup, and it lives on."""
    body = f"the kernel has killed {kills} process(es) in the cgroup of {process.program} (pid {process.pid}): out of memory"
    return _record(process, PROCESS_OOM_KILLED, Severity.FATAL, body, now_ns, **{EXIT_OOM_KILLS: kills})


def ended_record(process: Observed, status: int | None, oom_kills: int, now_ns: int, *, emptied: bool) -> LogRecord:
    """It has ended with a wait status (None: unknown); `emptied`: no other main process of the target lives on."""
    end = described(None if status is None else os.waitstatus_to_exitcode(status), oom_kills=oom_kills)
    more: dict[str, Value] = {TARGET_EMPTIED: emptied} if status is None else {}
    return _record(process, PROCESS_EXITED, end.severity, f"{_who(process)} {end.words}", now_ns, **end.attributes, **more)


class End(NamedTuple):
    """How a process ended."""

    severity: Severity
    words: str
    """The words behind its name."""
    attributes: dict[str, Value]


def described(returncode: int | None, *, requested: bool = False, oom_kills: int = 0) -> End:
    """Describe an end. `returncode`: as `subprocess` gives it, None if it is unknown; `requested`: our signal asked for it."""
    attributes: dict[str, Value] = {EXIT_OOM_KILLS: oom_kills} if oom_kills else {}
    requested = requested or planned(returncode)
    if requested:
        attributes[EXIT_REQUESTED] = True
    if returncode is None:
        return End(Severity.WARN, "ended, and its exit code is unknown", attributes | {EXIT_UNKNOWN: True})
    if returncode < 0:
        name, severity = name_of(-returncode), Severity.INFO if requested else Severity.FATAL
        return End(severity, f"killed by {name}", attributes | {EXIT_SIGNAL: name})
    severity = Severity.INFO if returncode == 0 or requested else Severity.ERROR
    return End(severity, f"exited with code {returncode}", attributes | {EXIT_CODE: returncode})


def planned(returncode: int | None) -> bool:
    """Whether an end is a planned one, given as `subprocess` gives it: by such a signal, or with its code as shells and handlers return it."""
    return returncode is not None and (-returncode in PLANNED or returncode - 128 in PLANNED)


def in_order(status: int | None) -> bool:
    """Whether an end with this wait status is not an error: exit code 0, or a planned end. One that is unknown may be."""
    code = None if status is None else os.waitstatus_to_exitcode(status)
    return code == 0 or planned(code)


def _who(process: Observed) -> str:
    return f"{process.program} (pid {process.pid})"


def _record(process: Observed, event: str, severity: Severity, body: str, now_ns: int, **more: Value) -> LogRecord:
    known: dict[str, Value] = {
        EVENT_NAME: event,
        PROCESS_PID: process.pid,
        PROCESS_EXECUTABLE: process.program,
        PROCESS_CREATED: iso(process.began_ns),
    }
    return LogRecord(now_ns, now_ns, severity, severity.name, body, known | more, Origin(process.key), now_ns)
