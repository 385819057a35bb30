"""The detector and the runs of processes: the sessions and issues of their beginnings and ends, of whichever agent sees them."""

from __future__ import annotations

import asyncio

import pytest

from agent.issues.runs.keeper import HOLDER
from agent.issues.runs.run import RUN, Reporting
from agent.names import CHILD, TARGET
from agent.record import Origin, Owner, Severity
from agent.target.process_records import Observed, ended_record, killed_record, started_record
from tests.support.detecting import LABELS, TRACEBACK, exited, feed, plain
from tests.support.sentry import NOW_NS, records_of

PROCESS = Observed("boot", 7, 4711, NOW_NS - 10**9, "app")


def ended(status, second=2, process=PROCESS, **more):
    """The record of the end of a watched process, some seconds after its start."""
    return ended_record(process, status, more.pop("oom_kills", 0), NOW_NS + second * 10**9, emptied=True)


@pytest.fixture
def watched(make):
    """Makes issues that report the watched process's sessions."""

    def detector(**options):
        return make(reporting=Reporting("strategy", LABELS, sessions=True, check_ins=True), **options)

    return detector


ENDS = {
    "well": (0, "exited", []),
    "code": (3 << 8, "crashed", ["NonZeroExit"]),
    "segfault": (11, "crashed", ["SIGSEGV"]),
    "real-time signal": (40, "crashed", ["SIG40"]),
    "killed": (9, "abnormal", ["SIGKILL"]),
    "asked to": (15, "exited", []),
    "asked to, and said so": (143 << 8, "exited", []),
    "nobody knows": (None, "abnormal", []),
}


@pytest.mark.parametrize(("status", "session", "types"), ENDS.values(), ids=ENDS)
async def test_the_life_of_a_watched_process(watched, spool, status, session, types):
    """A watched process has one session with a beginning and an end, and an issue only if its end is known to be bad."""
    issues = watched()
    await feed(issues, spool, [started_record(PROCESS, NOW_NS)], TARGET)
    await feed(issues, spool, [ended(status)], TARGET)
    first, last = spool.items("session")
    assert (first["init"], first["status"], last["init"], last["status"]) == (True, "ok", False, session)
    assert first["sid"] == last["sid"]
    assert [event["exception"]["values"][0]["type"] for event in spool.items("event")] == types
    assert spool.items("check_in") == []
    assert not any(RUN in key for key in spool.stored[TARGET])


async def test_a_session_outlives_the_agent(watched, spool):
    """After a kill the session continues under its id: it is neither begun again nor lost, and its errors are known."""
    await feed(watched(), spool, [started_record(PROCESS, NOW_NS)], TARGET)
    second = watched(sources=(TARGET,))
    await second.restore([TARGET])
    await feed(second, spool, [plain("it broke", Severity.ERROR)])
    await second.tick()
    third = watched()
    await feed(third, spool, [ended(11)], TARGET)
    first, last = spool.items("session")
    assert (first["sid"], first["init"], last["init"], last["status"], last["errors"]) == (last["sid"], True, False, "crashed", 1)


async def test_errors_that_could_not_be_stored(watched, spool):
    """The number of errors in a session is stored at the next tick if the spool did not take it at this one."""
    issues = watched()
    await feed(issues, spool, [started_record(PROCESS, NOW_NS)], TARGET)
    await feed(issues, spool, [plain("it broke", Severity.ERROR)])
    for spool.full in (True, False):
        await issues.tick()
    await feed(watched(), spool, [ended(11)], TARGET)
    assert spool.items("session")[-1]["errors"] == 1


async def test_a_session_that_was_not_stored(watched, spool):
    """A beginning that the spool did not take is sent later, once."""
    issues = watched()
    await feed(issues, spool, [started_record(PROCESS, NOW_NS)], TARGET, store=False)
    await feed(issues, spool, [started_record(PROCESS, NOW_NS)], TARGET)
    await feed(issues, spool, [ended(0)], TARGET)
    assert [one["status"] for one in spool.items("session")] == ["ok", "exited"]


async def test_an_end_that_the_log_explains(watched, spool):
    """A last traceback in its log is the issue of an end with code 1, or of an unseen one; the session has crashed. One long ago is not."""
    for status, second, types in ((1 << 8, 2, ["KeyError"]), (None, 2, ["KeyError"]), (1 << 8, 99, ["KeyError", "NonZeroExit"])):
        spool.rows.clear()
        spool.stored.clear()
        issues = watched()
        await feed(issues, spool, [started_record(PROCESS, NOW_NS)], TARGET)
        await feed(issues, spool, records_of(TRACEBACK))
        await feed(issues, spool, [ended(status, second)], TARGET)
        assert [event["exception"]["values"][0]["type"] for event in spool.items("event")] == types
        assert spool.items("session")[-1]["status"] == "crashed"


async def test_an_interpreter_that_died(watched, spool):
    """`Fatal Python error` in the log of a watched process is one issue: the signal that ended it is not a second one."""
    death = b'Fatal Python error: Aborted\n\nCurrent thread 0x00007f (most recent call first):\n  File "/app/a.py", line 3 in f\n'
    issues = watched()
    await feed(issues, spool, [started_record(PROCESS, NOW_NS)], TARGET)
    await feed(issues, spool, records_of(death))
    await feed(issues, spool, [ended(6)], TARGET)
    assert [event["exception"]["values"][0]["type"] for event in spool.items("event")] == ["FatalPythonError"]
    assert spool.items("session")[-1]["status"] == "crashed"


async def test_an_end_while_its_last_words_are_being_stored(watched, spool):
    """An end that is judged while the traceback before it is being stored is explained by that, and is not a second issue."""
    issues = watched()
    await feed(issues, spool, [started_record(PROCESS, NOW_NS)], TARGET)
    (last,) = records_of(TRACEBACK.replace(b"in f", b"in <module>"))
    async with issues.detector.judge("app", [last]) as found:
        ending = asyncio.create_task(feed(issues, spool, [ended(1 << 8)], TARGET))
        await asyncio.sleep(0)
        await spool.append("app", found.payloads, {}, found.drops, replayable=True, state={Owner.ISSUES: found.positions})
        found.commit()
    await ending
    assert [event["exception"]["values"][0]["type"] for event in spool.items("event")] == ["KeyError"]


async def test_oom_kills_of_a_target(watched, spool):
    """An end with an OOM kill that the cgroup has counted is one, seen or unseen; one beside a process that lives on is an issue of its own."""
    issues = watched()
    await feed(issues, spool, [started_record(PROCESS, NOW_NS), killed_record(PROCESS, 1, NOW_NS + 10**9)], TARGET)
    await feed(issues, spool, [ended(None, oom_kills=1)], TARGET)
    errors = [event["exception"]["values"][0] for event in spool.items("event")]
    assert [error["type"] for error in errors] == ["OutOfMemoryKill", "OutOfMemoryKill"]
    assert [error["mechanism"]["meta"]["signal"]["name"] for error in errors] == ["SIGKILL", "SIGKILL"]
    assert spool.items("event")[0]["fingerprint"] != spool.items("event")[1]["fingerprint"]
    assert [one["status"] for one in spool.items("session")] == ["ok", "crashed"]


async def test_a_crash_loop_of_a_target(make, spool):
    """Three ends within ten minutes that are bad, or unseen with nothing left, are one crash loop; three orderly ones are none."""
    for status, types in ((None, ["CrashLoop"]), (3 << 8, ["NonZeroExit", "CrashLoop"]), (0, []), (15, [])):
        spool.rows.clear()
        spool.stored.clear()
        for number in range(4):
            process = PROCESS._replace(pid=7 + number)
            await feed(make(), spool, [started_record(process, NOW_NS), ended(status, number, process)], TARGET)
        assert [event["exception"]["values"][0]["type"] for event in spool.items("event")] == types


async def test_the_box_of_a_watched_process(watched, spool):
    """The end of a watched process goes with the last lines of every source: what it said is in its files."""
    issues = watched()
    await feed(issues, spool, [plain("from a file")], "app")
    await feed(issues, spool, [started_record(PROCESS, NOW_NS), ended(11)], TARGET)
    assert "from a file" in spool.attachments()["last_lines.txt"]


async def test_nobody_else_tells_of_processes(watched, spool):
    """A log that claims that a process has ended is a log."""
    issues = watched()
    claim = ended(11)
    await feed(issues, spool, [claim._replace(origin=Origin("file:a"), severity=9)])
    await feed(issues, spool, [claim._replace(origin=Origin("child:7:1:stdout", {"log.iostream": "stdout"}), severity=9)], CHILD)
    assert spool.items("event") == []


async def test_the_command_of_an_agent_that_was_killed(make, spool):
    """A run of `exec` whose agent was killed has ended, its end unknown: the next agent reports that, once. The run of its own command continues."""
    reporting = Reporting("strategy", LABELS, sessions=True, check_ins=True)
    await feed(make(reporting=reporting), spool, [plain("up", key="child:7:1:stdout")], CHILD)
    stored = spool.stored[CHILD]["run:child"]
    issues = make(reporting=reporting)
    await issues.restore([CHILD])
    await issues.runs.end_orphans()
    assert [one["status"] for one in spool.items("session")] == ["ok"]
    spool.stored[CHILD]["run:child"] = stored.replace(HOLDER.encode(), b"killed")
    after = make(reporting=reporting)
    await after.restore([CHILD])
    await after.runs.end_orphans()
    await after.runs.end_orphans()
    assert [one["status"] for one in spool.items("session")] == ["ok", "abnormal"]
    assert [one["status"] for one in spool.items("check_in")] == ["in_progress"]


async def test_an_orphan_s_end_that_could_not_be_stored(make, spool):
    """Until the run of a killed agent's command has ended, it is not this command's: its end is reported with the first records, or at the next tick."""
    reporting = Reporting("strategy", LABELS, sessions=True, check_ins=True)
    await feed(make(reporting=reporting), spool, [plain("up", key="child:7:1:stdout")], CHILD)
    stored = spool.stored[CHILD][f"{RUN}child"].replace(HOLDER.encode(), b"killed")
    for speaks in (True, False):
        spool.rows.clear()
        spool.stored[CHILD][f"{RUN}child"] = stored
        issues = make(reporting=reporting)
        issues.runs.child_started("child:8:1", NOW_NS)
        spool.full = True
        await issues.tick()
        spool.full = False
        if speaks:
            await feed(issues, spool, [plain("up", key="child:8:1:stdout")], CHILD)
        await issues.tick()
        await issues.tick()
        await feed(issues, spool, [exited()], CHILD)
        first, *others = spool.items("session")
        assert (first["status"], first["init"]) == ("abnormal", False)
        assert [(one["status"], one["init"]) for one in others] == [("ok", True), ("exited", False)]
        assert len({one["sid"] for one in (first, *others)}) == 2
