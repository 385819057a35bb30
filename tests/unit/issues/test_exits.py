"""Ends of processes: which are errors, which are explained already, the status of a session, and when they are a loop."""

from __future__ import annotations

import pytest

from agent.issues.reading.exit_cause import ExitCause
from agent.issues.reading.exits import (
    LOOP_WINDOW_NS,
    ExitStatus,
    exit_event,
    exit_exception,
    explains,
    kill_event,
    note_end,
    read_exit_status,
)
from agent.names import PROCESS_EXITED
from agent.parse.exceptions import FatalError, Frame, ThreadStack
from agent.record import LogRecord, Origin, Severity
from tests.support.sentry import NOW_NS, SUBJECT

UNCAUGHT, DIED = ExitCause(uncaught_ns=NOW_NS), ExitCause(died_ns=NOW_NS)
ENDINGS = {
    "well": (ExitStatus(), True, "exited", ""),
    "code": (ExitStatus(code=3), False, "crashed", "NonZeroExit"),
    "segfault": (ExitStatus(signal_name="SIGSEGV"), False, "crashed", "SIGSEGV"),
    "killed": (ExitStatus(signal_name="SIGKILL"), False, "abnormal", "SIGKILL"),
    "oom": (ExitStatus(signal_name="SIGKILL", oom_kills=1), False, "crashed", "OutOfMemoryKill"),
    "oom, unseen": (ExitStatus(oom_kills=1, unknown=True), False, "crashed", "OutOfMemoryKill"),
    "oom, seen by a shell": (ExitStatus(code=137, oom_kills=1), False, "crashed", "OutOfMemoryKill"),
    "killed, seen by a shell": (ExitStatus(code=137), False, "crashed", "NonZeroExit"),
    "a real-time signal": (ExitStatus(signal_name="SIG35"), False, "crashed", "SIG35"),
    "oom elsewhere": (ExitStatus(signal_name="SIGSEGV", oom_kills=1), False, "crashed", "SIGSEGV"),
    "terminated by a stranger": (ExitStatus(signal_name="SIGTERM"), False, "exited", "SIGTERM"),
    "terminated by us": (ExitStatus(signal_name="SIGTERM", requested=True), True, "exited", ""),
    "interrupted": (ExitStatus(signal_name="SIGINT"), True, "exited", ""),
    "asked and said so": (ExitStatus(code=143, requested=True), True, "exited", ""),
}


@pytest.mark.parametrize(("ending", "good", "status", "type_"), ENDINGS.values(), ids=ENDINGS)
def test_endings(ending, good, status, type_):
    """Each ending is good or has its type, and its status of a session."""
    assert (ending.good, ending.session_status) == (good, status)
    if not good:
        assert exit_exception(ending, None).type == type_


def test_what_a_traceback_tells_already():
    """A traceback before it explains only the exit code of an uncaught exception, or an interrupt."""
    assert explains(UNCAUGHT, ExitStatus(code=1), NOW_NS)
    assert explains(UNCAUGHT, ExitStatus(signal_name="SIGINT"), NOW_NS)
    assert not explains(ExitCause(), ExitStatus(code=1), NOW_NS)
    assert not explains(UNCAUGHT, ExitStatus(code=3), NOW_NS)
    assert not explains(UNCAUGHT, ExitStatus(signal_name="SIGSEGV"), NOW_NS)


def test_an_unknown_end():
    """An unseen end is neither good nor bad; its session is `abnormal`. It makes a loop only if nothing of the target was left."""
    unseen = ExitStatus(unknown=True)
    assert (unseen.good, unseen.bad, unseen.suspicious, unseen.session_status) == (False, False, False, "abnormal")
    assert ExitStatus(unknown=True, emptied=True).suspicious
    assert ExitStatus(unknown=True, oom_kills=1).bad


def test_what_an_unknown_end_has_said():
    """A last traceback, or the interpreter's death in the log, fully explains an unseen end; an OOM kill does not."""
    assert explains(UNCAUGHT, ExitStatus(unknown=True), NOW_NS)
    assert explains(DIED, ExitStatus(unknown=True), NOW_NS)
    assert explains(DIED, ExitStatus(signal_name="SIGABRT"), NOW_NS)
    assert not explains(ExitCause(), ExitStatus(unknown=True), NOW_NS)
    assert not explains(UNCAUGHT, ExitStatus(unknown=True, oom_kills=1), NOW_NS)
    assert not explains(DIED, ExitStatus(code=3), NOW_NS)


def test_an_oom_kill_beside_a_process():
    """An OOM kill in the cgroup of a process that lives on is a fatal error with the signal that the kernel takes."""
    attributes = {"process.exit.oom_kills": 2, "process.executable.name": "app", "process.pid": 7}
    event = kill_event(LogRecord(NOW_NS, NOW_NS, Severity.FATAL, "", "x", attributes, Origin("process:b:7:1"), 5), SUBJECT)
    assert (event.level, event.exception.type, event.mechanism.signal.name) == ("fatal", "OutOfMemoryKill", "SIGKILL")
    assert (event.mechanism.own, event.extra["process.pid"]) == (True, 7)


def test_a_record_is_read_back():
    """The fields of an exit's record are read; fields of another type count as missing."""
    attributes = {
        "event.name": PROCESS_EXITED,
        "process.exit.signal": "SIGKILL",
        "process.exit.oom_kills": 2,
        "process.executable.name": "app",
    }
    record = LogRecord(NOW_NS, NOW_NS, Severity.FATAL, "", "x", attributes, Origin("child:7:exit"), 0)
    assert read_exit_status(record) == ExitStatus(signal_name="SIGKILL", oom_kills=2, program="app")
    assert read_exit_status(record._replace(attributes={"process.exit.code": "3"})) == ExitStatus()


def test_the_event_of_an_exit():
    """The event is synthetic, fatal for a signal, with its number; faulthandler's stack and all threads go with it."""
    threads = (ThreadStack("1", current=False, frames=()), ThreadStack("2", current=True, frames=(Frame("/app/a.py", 3, "f"),)))
    record = LogRecord(NOW_NS, NOW_NS, Severity.FATAL, "", "x", {"process.pid": 7, "other": 1}, Origin("child:7:exit"), 0)
    event = exit_event(record, ExitStatus(signal_name="SIGABRT", program="app"), SUBJECT, fatal=FatalError("Aborted", threads))
    assert (event.level, event.mechanism.own, event.mechanism.handled) == ("fatal", True, False)
    assert (event.mechanism.signal.number, event.mechanism.signal.name) == (6, "SIGABRT")
    assert [frame.function for frame in event.exception.frames] == ["f"]
    assert event.fatal.threads == threads
    assert event.extra == {"process.pid": 7}


def test_a_loop_is_told_once():
    """The third bad end in ten minutes makes a loop, the fourth makes no second one; ends long ago do not count."""
    second, ends, loops = 10**9, [], []
    for number in range(5):
        ends, loop = note_end(ends, NOW_NS + number * second)
        loops.append(loop)
    assert loops == [False, False, True, False, False]
    assert note_end(ends, NOW_NS + LOOP_WINDOW_NS * 2) == ([NOW_NS + LOOP_WINDOW_NS * 2], False)
