"""How a process ended, and whether that is an error: signals, exit codes, the kernel's OOM killer, crash loops. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from agent.issues.event.error_event import ErrorEvent, Mechanism, Signalled
from agent.issues.reading.grouping import group_of
from agent.issues.reading.record_fields import event_id, tags_of
from agent.issues.reading.subject import titled
from agent.names import EXIT_CODE, EXIT_OOM_KILLS, EXIT_REQUESTED, EXIT_SIGNAL, EXIT_UNKNOWN, PROCESS_EXECUTABLE, TARGET_EMPTIED
from agent.parse.exceptions import ExceptionInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.issues.reading.exit_cause import ExitCause
    from agent.issues.reading.subject import Subject
    from agent.parse.exceptions import FatalError
    from agent.record import LogRecord

UNCAUGHT: Final = 1
"""The exit code of an interpreter that an exception ended (Python/pythonrun.c)."""
SHELL_KILLED: Final = 128 + signal.SIGKILL
"""The exit code of a shell whose last command a SIGKILL ended."""
LOOP: Final = 3
"""So many bad ends within `LOOP_WINDOW_NS` are a crash loop."""
LOOP_WINDOW_NS: Final = 600 * 10**9


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended."""

    code: int = 0
    """The exit code; 0 if a signal ended it."""
    signal_name: str = ""
    """The signal that ended it."""
    oom_kills: int = 0
    """Kills by the kernel in its cgroup while it ran, as the cgroup counts them."""
    requested: bool = False
    """Whether it was asked to end by this very signal: through us, or `planned`."""
    program: str = ""
    unknown: bool = False
    """It was not our child, and the kernel had forgotten it."""
    emptied: bool = False
    """Of an unknown end: nothing of the target was left."""

    @property
    def good(self) -> bool:
        """Whether it ended as it should: by itself, or on request (an interrupt comes from a keyboard)."""
        if self.unknown:
            return False
        return (self.code == 0 and not self.signal_name) or self.requested or self.signal_name == "SIGINT"

    @property
    def bad(self) -> bool:
        """Whether it is known to have ended badly. An unknown end is neither good nor bad."""
        return not self.good and (not self.unknown or self.out_of_memory)

    @property
    def suspicious(self) -> bool:
        """Whether many such ends in a short time are a crash loop: what is unknown counts if it left nothing of the target."""
        return self.bad or (self.unknown and self.emptied)

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel killed it for its memory: the cgroup has counted it, and nothing contradicts it.

        A shell that waits for the program ends with `SHELL_KILLED` after it.
        """
        return self.oom_kills > 0 and (
            self.unknown or self.signal_name == "SIGKILL" or (self.code == SHELL_KILLED and not self.signal_name)
        )

    @property
    def killed_beside(self) -> bool:
        """Whether the kernel killed others in its cgroup for their memory, while it ended in its own way."""
        return self.oom_kills > 0 and not self.out_of_memory

    @property
    def session_status(self) -> str:
        """Sentry's status of a session with this end: `exited`, `crashed` (it failed), or `abnormal` (cut short, or unknown)."""
        if self.good or self.signal_name in ("SIGTERM", "SIGHUP"):
            return "exited"
        if self.out_of_memory:
            return "crashed"
        return "abnormal" if self.unknown or self.signal_name == "SIGKILL" else "crashed"

    @property
    def signalled(self) -> Signalled | None:
        """The signal; the kernel's OOM killer always takes SIGKILL."""
        name = "SIGKILL" if self.out_of_memory else self.signal_name
        return Signalled(signal_number(name), name) if name else None


def read_exit_status(record: LogRecord) -> ExitStatus:
    """The exit status in a record."""

    def number(key: str) -> int:
        value = record.attributes.get(key, 0)
        return value if isinstance(value, int) else 0

    return ExitStatus(
        code=number(EXIT_CODE),
        signal_name=str(record.attributes.get(EXIT_SIGNAL, "")),
        oom_kills=number(EXIT_OOM_KILLS),
        requested=record.attributes.get(EXIT_REQUESTED) is True,
        program=str(record.attributes.get(PROCESS_EXECUTABLE, "")),
        unknown=record.attributes.get(EXIT_UNKNOWN) is True,
        emptied=record.attributes.get(TARGET_EMPTIED) is True,
    )


def signal_number(name: str) -> int:
    """The number of `SIGSEGV`, and of `SIG35`."""
    try:
        return int(signal.Signals[name])
    except KeyError:
        digits = name.removeprefix("SIG")
        return int(digits) if digits.isdigit() else 0


def explains(cause: ExitCause, ending: ExitStatus, now_ns: int) -> bool:
    """Whether what the process printed before its end is reported and the whole story: an exception that ended it, or an interpreter's death."""
    if cause.died(now_ns) and (ending.unknown or ending.signal_name):
        return True
    by_exception = (ending.code == UNCAUGHT and not ending.signal_name) or ending.signal_name == "SIGINT" or ending.unknown
    return cause.uncaught(now_ns) and by_exception and not ending.out_of_memory


def exit_exception(ending: ExitStatus, fatal: FatalError | None) -> ExceptionInfo:
    """The exception that stands for a process's end, with the stack that faulthandler printed, if it did."""
    thread = (fatal.current or (fatal.threads[0] if fatal.threads else None)) if fatal else None
    frames = thread.frames if thread else ()
    if ending.out_of_memory:
        who = f"what {ending.program} ran" if ending.code else ending.program
        value = f"{who} was killed by the kernel because memory ran out: its cgroup counted {ending.oom_kills} OOM kill(s)"
        return ExceptionInfo("OutOfMemoryKill", "", value, frames)
    if ending.signal_name:
        meaning = signal.strsignal(signal_number(ending.signal_name)) or ""
        reason = f" ({fatal.reason})" if fatal and fatal.reason not in ("", meaning) else ""
        return ExceptionInfo(ending.signal_name, "", f"{ending.program} was ended by {ending.signal_name}: {meaning}{reason}", frames)
    return ExceptionInfo("NonZeroExit", "", f"{ending.program} exited with code {ending.code}", frames)


def exit_event(
    record: LogRecord,
    ending: ExitStatus,
    subject: Subject,
    *,
    fatal: FatalError | None = None,
    in_app: tuple[str, ...] = (),
) -> ErrorEvent:
    """The error that a process's bad end is."""
    exception = exit_exception(ending, fatal)
    group = group_of(f"exit {ending.program} {ending.code or ''}".rstrip(), exception, in_app)
    mechanism = Mechanism("exit", handled=False, own=True, signal=ending.signalled)
    event = _event(record, subject, exception, mechanism, group=group, program=ending.program)
    return replace(event, fatal=fatal, level="fatal" if ending.signalled else "error")


def kill_event(record: LogRecord, subject: Subject) -> ErrorEvent:
    """The error that an OOM kill beside a process is that lives on."""
    ending = read_exit_status(record)
    value = f"the kernel killed {ending.oom_kills} process(es) in the cgroup of {ending.program} because memory ran out"
    exception = ExceptionInfo("OutOfMemoryKill", "", value, ())
    mechanism = Mechanism("oom_kill", handled=False, own=True, signal=Signalled(int(signal.SIGKILL), "SIGKILL"))
    return _event(record, subject, exception, mechanism, group=("oom kill", ending.program), program=ending.program)


def loop_event(record: LogRecord, times_ns: Sequence[int], subject: Subject, program: str) -> ErrorEvent:
    """The error that many bad ends in a short time are, in addition to each of them."""
    seconds = (max(times_ns) - min(times_ns)) // 10**9
    exception = ExceptionInfo("CrashLoop", "", f"{program} ended badly {len(times_ns)} times within {seconds} s", ())
    mechanism = Mechanism("crash_loop", handled=False, own=True)
    event = _event(record, subject, exception, mechanism, group=("crash loop", program), program=program)
    return replace(event, extra={"count": len(times_ns), "seconds": seconds})


def _event(
    record: LogRecord, subject: Subject, exception: ExceptionInfo, mechanism: Mechanism, *, group: tuple[str, ...], program: str
) -> ErrorEvent:
    """An event about a process; of one record there may be several with different mechanisms."""
    return ErrorEvent(
        event_id=event_id(record, subject, "" if mechanism.type == "exit" else mechanism.type.replace("_", " ")),
        time_ns=record.time_ns or record.observed_ns,
        level="fatal",
        group=group,
        fingerprint=group,
        exception=replace(exception, value=titled(subject.service, exception.value)),
        mechanism=mechanism,
        logger="outrider.exit",
        server_name=subject.server_name,
        service=subject.service,
        tags=tags_of(record, subject) | {PROCESS_EXECUTABLE: program},
        extra={key: value for key, value in record.attributes.items() if key.startswith("process.")},
    )


def note_end(times_ns: Sequence[int], now_ns: int) -> tuple[list[int], bool]:
    """The recent bad ends with this one, and whether it is the one that makes a loop of them (not each one that follows)."""
    recent = [time_ns for time_ns in times_ns if now_ns - LOOP_WINDOW_NS < time_ns <= now_ns]
    recent = [*recent, now_ns][-2 * LOOP :]
    return recent, len(recent) == LOOP
