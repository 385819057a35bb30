"""A process that we watch and did not start: what is known it by, and the records that tell of its beginning and its end. Pure.

first seen ──▶ started ──(OOM kill of one of its processes)──▶ … ──▶ ended: code, signal, or nobody knows
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from agent.event_names import PROCESS_EXITED, PROCESS_OOM_KILLED, PROCESS_STARTED
from agent.record import LogRecord, Origin, Severity
from agent.resource import iso
from agent.signals import name_of

if TYPE_CHECKING:
    from agent.record import Value

PLANNED: Final = frozenset({signal.SIGTERM, signal.SIGINT})
"""By what supervisors and keyboards end a process: its planned end, whoever sent it, and no issue, under `exec` and `run` alike."""


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
        """What is stored of it."""
        return orjson.dumps(list(self))


def load(stored: bytes) -> Observed:
    """What `dump` made."""
    boot, pid, start, began_ns, program = orjson.loads(stored)
    return Observed(boot, pid, start, began_ns, program)


def started_record(process: Observed, now_ns: int) -> LogRecord:
    """It is watched from now on."""
    return _record(process, PROCESS_STARTED, Severity.INFO, f"watching {_who(process)}", now_ns, **{"process.began": process.began_ns})


def killed_record(process: Observed, kills: int, now_ns: int) -> LogRecord:
    """The kernel has killed others in its cgroup, and it lives on."""
    body = f"the kernel has killed {kills} process(es) in the cgroup of {process.program} (pid {process.pid}) for want of memory"
    return _record(process, PROCESS_OOM_KILLED, Severity.FATAL, body, now_ns, **{"process.exit.oom_kills": kills})


def ended_record(process: Observed, status: int | None, oom_kills: int, now_ns: int, *, emptied: bool) -> LogRecord:
    """It has ended with a wait status (None: nobody knows); `emptied`: no other main process of the target lives on."""
    more: dict[str, Value] = {"process.exit.oom_kills": oom_kills} if oom_kills else {}
    if status is None:
        more |= {"process.exit.unknown": True, "outrider.target.emptied": emptied}
        return _record(process, PROCESS_EXITED, Severity.WARN, f"{_who(process)} has ended, nobody knows how", now_ns, **more)
    code = os.waitstatus_to_exitcode(status)
    asked = planned(code)
    more |= {"process.exit.requested": True} if asked else {}
    if code >= 0:
        more |= {"process.exit.code": code}
        severity = Severity.INFO if code == 0 or asked else Severity.ERROR
        return _record(process, PROCESS_EXITED, severity, f"{_who(process)} exited with code {code}", now_ns, **more)
    name = name_of(-code)
    more |= {"process.exit.signal": name}
    return _record(
        process, PROCESS_EXITED, Severity.INFO if asked else Severity.FATAL, f"{_who(process)} was ended by {name}", now_ns, **more
    )


def planned(returncode: int | None) -> bool:
    """Whether an end is a planned one, given as `subprocess` gives it: by such a signal, or with its code as shells and handlers return it."""
    return returncode is not None and (-returncode in PLANNED or returncode - 128 in PLANNED)


def _who(process: Observed) -> str:
    return f"{process.program} (pid {process.pid})"


def _record(process: Observed, event: str, severity: Severity, body: str, now_ns: int, **more: Value) -> LogRecord:
    known: dict[str, Value] = {
        "event.name": event,
        "process.pid": process.pid,
        "process.executable.name": process.program,
        "process.creation.time": iso(process.began_ns),
    }
    return LogRecord(now_ns, now_ns, severity, severity.name, body, known | more, Origin(process.key), now_ns)
