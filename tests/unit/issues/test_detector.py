"""The detector at work: what a batch leads to, what is committed with it, and what a kill leaves behind."""

from __future__ import annotations

import json

from agent.issues.envelope.format import decode
from agent.issues.reading.rules import Rules
from agent.issues.runs.monitors import ProbeCheck
from agent.issues.runs.run import RUN, Reporting
from agent.issues.windows import FoldingLimits
from agent.names import CHILD
from agent.parse.patterns import compile_pattern
from agent.record import Origin, Severity, Signal
from agent.testing.clock import FakeClock
from tests.support.detecting import LABELS, TRACEBACK, exited, feed, plain
from tests.support.sentry import NOW_NS, records_of


async def test_good_records_make_nothing(make, spool):
    """Records without errors lead to no rows and no positions."""
    found = await feed(make(), spool, [plain("well"), plain("fine", Severity.WARN)])
    assert (list(found.payloads), dict(found.positions)) == ([], {})


async def test_an_error_with_what_went_before(make, spool):
    """An error's event holds the records before it of the same file, from earlier batches as well, and none of another file."""
    issues = make(breadcrumbs=3)
    await feed(issues, spool, [plain(f"step {number}", offset=number) for number in range(5)])
    await feed(issues, spool, [plain("other", key="file:b"), plain("last step", offset=6), plain("it broke", Severity.ERROR, 7)])
    (event,) = spool.items("event")
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["step 3", "step 4", "last step"]
    assert event["logentry"] == {"message": "it broke"}
    assert (event["release"], event["environment"], event["server_name"]) == ("app@1", "test", "host-1")


async def test_the_same_record_is_the_same_event(make, spool):
    """A batch that is read again after a kill gives the same event id; another place or another host does not."""
    record = plain("it broke", Severity.ERROR)
    for one in (record, record, record._replace(offset=9)):
        spool.stored.clear()
        await feed(make(), spool, [one])
    ids = [event["event_id"] for event in spool.items("event")]
    assert ids[0] == ids[1] != ids[2]


async def test_an_uncommitted_batch_is_forgotten(make, spool):
    """When the spool did not take the batch, the same errors are found again as if for the first time."""
    issues = make()
    first = await feed(issues, spool, [plain("it broke", Severity.ERROR)], store=False)
    again = await feed(issues, spool, [plain("it broke", Severity.ERROR)])
    ids = [decode(row.body).headers["event_id"] for row in (*first.payloads, *again.payloads)]
    assert len(ids) == 2
    assert ids[0] == ids[1]


async def test_judging_again_changes_nothing(make, spool):
    """However often a batch is judged before it is stored, its errors count once, its records are one breadcrumb each, its end is one issue."""
    issues = make(reporting=Reporting("strategy", LABELS, sessions=True))
    trace = [record._replace(origin=Origin("child:7:1:stderr", {"log.iostream": "stderr"})) for record in records_of(TRACEBACK)]
    for batch in ([plain("up", key="child:7:1:stdout")], trace, [exited(**{"process.exit.code": 1})]):
        for _ in range(3):
            await feed(issues, spool, batch, CHILD, store=False)
        await feed(issues, spool, batch, CHILD)
    (event,) = spool.items("event")
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["up"]
    assert spool.attachments()["last_lines.txt"].count(" up\n") == 1
    assert [(one["status"], one["errors"]) for one in spool.items("session")] == [("ok", 0), ("crashed", 1)]


async def test_what_is_about_to_be_stored_went_before(make, spool):
    """The command's output on its other stream is a breadcrumb, and among the last lines, while it is judged; no longer when it was given up."""
    issues = make()
    trace = [record._replace(origin=Origin("child:7:1:stderr", {"log.iostream": "stderr"})) for record in records_of(TRACEBACK)]
    async with issues.detector.judge(CHILD, [plain("last step", key="child:7:1:stdout")]):
        await feed(issues, spool, trace, CHILD)
    (event,) = spool.items("event")
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["last step"]
    assert "last step" in spool.attachments()["last_lines.txt"]
    await feed(issues, spool, [plain("it broke", Severity.ERROR, key="child:7:1:stdout")], CHILD)
    assert [crumb["message"] for crumb in spool.items("event")[1]["breadcrumbs"]["values"]] == ["KeyError: 7"]


async def test_a_file_that_is_early_in_a_batch(make, spool):
    """The lines of a file are breadcrumbs of its next error however much others have written since, in the same batch and in the next."""
    issues = make(breadcrumbs=2)
    noise = [plain(f"noise {number}", key="file:b") for number in range(100)]
    await feed(issues, spool, [plain("first"), plain("second"), *noise])
    await feed(issues, spool, [plain("third"), *noise, plain("it broke", Severity.ERROR)])
    (event,) = spool.items("event")
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["second", "third"]


async def test_what_was_folded_is_told_when_the_window_is_over(make, spool):
    """Equal errors are folded over batches, and over a kill; the summary has their number, and so has a client report."""
    clock = FakeClock()
    for batch in range(2):
        await feed(make(clock), spool, [plain(f"order {number} broke", Severity.ERROR, 100 * batch + number) for number in range(50)])
    issues = make(clock)
    await issues.restore(["app"])
    await issues.tick()
    assert len(spool.items("event")) == 1
    await clock.advance(61)
    await issues.tick()
    assert [event["extra"]["occurrences"]["count"] for event in spool.items("event")] == [1, 99]
    assert [event["logentry"]["message"] for event in spool.items("event")] == ["order %s broke"] * 2
    assert spool.items("event")[1]["extra"]["occurrences"]["values"] == [f"order {number} broke" for number in range(1, 11)]
    assert spool.items("client_report")[0]["discarded_events"] == [{"reason": "sample_rate", "category": "error", "quantity": 98}]
    assert spool.stored["app"] == {}


async def test_a_storm_of_records_with_many_fields(make, spool):
    """However many fields its records have, and whatever they are called, a summary has the number and the times."""
    clock = FakeClock()
    issues = make(clock, limits=FoldingLimits(window_ns=10**9))
    fields = {f"field{number}": number for number in range(30)} | {"occurrences": "mine"}
    for offset in range(4):
        await feed(issues, spool, [plain("broken", Severity.ERROR, offset, **fields)])
    await clock.advance(2)
    await issues.tick()
    told = [event["extra"]["occurrences"] for event in spool.items("event")]
    assert [one["count"] for one in told] == [1, 3]
    assert all(one["first"] and one["last"] for one in told)


async def test_a_full_spool_keeps_the_summary_waiting(make, spool):
    """A summary that could not be stored is sent later, once."""
    clock = FakeClock()
    issues = make(clock)
    await feed(issues, spool, [plain("it broke", Severity.ERROR, number) for number in range(5)])
    await clock.advance(61)
    spool.full = True
    await issues.tick()
    assert len(spool.items("event")) == 1
    spool.full = False
    await issues.tick()
    await issues.tick()
    assert [event["extra"]["occurrences"]["count"] for event in spool.items("event")] == [1, 4]


async def test_a_source_that_waits_holds_up_no_other(make, spool, monkeypatch):
    """While a batch with an error waits for room in the spool, summaries of other sources are sent; then that of its source as well."""
    monkeypatch.setattr("agent.issues.summaries.PATIENCE", 0.01)
    monkeypatch.setattr("agent.issues.runs.keeper.PATIENCE", 0.01)
    clock = FakeClock()
    issues = make(clock)
    for source in ("app", "other"):
        await feed(issues, spool, [plain("it broke", Severity.ERROR, number) for number in range(3)], source)
    await clock.advance(61)
    async with issues.detector.judge("app", [plain("it broke", Severity.ERROR, 9)]):
        await issues.tick()
        assert len(spool.items("event")) == 3
    await issues.tick()
    assert [event["extra"]["occurrences"]["count"] for event in spool.items("event")] == [1, 1, 2, 2]


async def test_the_end_tells_everything(make, spool):
    """At the end of a run open windows are summed up at once."""
    issues = make()
    await feed(issues, spool, [plain("it broke", Severity.ERROR, number) for number in range(3)])
    await issues.finish()
    assert [event["extra"]["occurrences"]["count"] for event in spool.items("event")] == [1, 2]


async def test_kinds_beyond_the_limit_are_reported(make, spool):
    """Errors of too many kinds are counted, and a client report has their number."""
    issues = make(limits=FoldingLimits(groups=1))
    await feed(
        issues, spool, [plain("one broke", Severity.ERROR), plain("two broke", Severity.ERROR), plain("three broke", Severity.ERROR)]
    )
    await issues.tick()
    assert len(spool.items("event")) == 1
    assert spool.items("client_report")[0]["discarded_events"] == [{"reason": "buffer_overflow", "category": "error", "quantity": 2}]


async def test_the_black_box(make, spool):
    """An uncaught exception goes with the last lines and the present figures; a logged one does not."""
    issues = make(figures=lambda: {"process.memory.usage": 7.0})
    await feed(issues, spool, [plain("before"), *records_of(TRACEBACK)])
    boxes = spool.attachments()
    assert "before" in boxes["last_lines.txt"]
    assert json.loads(boxes["resources.jsonl"].splitlines()[0])["process.memory.usage"] == 7.0
    spool.rows.clear()
    await feed(issues, spool, [plain("it broke", Severity.ERROR)])
    assert spool.attachments() == {}


async def test_an_exit_that_a_traceback_explains(make, spool):
    """Exit code 1 after an uncaught exception is not a second error, exit code 3 is."""
    issues = make()
    trace = [record._replace(origin=Origin("child:7:1:stderr", {"log.iostream": "stderr"})) for record in records_of(TRACEBACK)]
    await feed(issues, spool, [*trace, exited(**{"process.exit.code": 1})], CHILD)
    assert [event["exception"]["values"][0]["type"] for event in spool.items("event")] == ["KeyError"]
    await feed(issues, spool, [exited(**{"process.exit.code": 3})], CHILD)
    assert spool.items("event")[1]["exception"]["values"][0]["type"] == "NonZeroExit"


IGNORED = b"Exception ignored in: <function F.__del__ at 0x7f>\n" + TRACEBACK.replace(b"KeyError: 7", b"ValueError: late")
TIMEOUT = b'Timeout (0:00:01)!\nThread 0x00007f (most recent call first):\n  File "/app/a.py", line 3 in f\n'


async def test_last_words_and_what_follows_them(make, spool):
    """Output while an interpreter shuts down takes no cause back; a timeout of faulthandler explains exit code 1, and no other."""
    for text, code, types in (
        (TRACEBACK + IGNORED, 1, ["KeyError", "ValueError"]),
        (IGNORED, 1, ["ValueError", "NonZeroExit"]),
        (TIMEOUT, 1, ["FatalPythonError"]),
        (TIMEOUT, 3, ["FatalPythonError", "NonZeroExit"]),
    ):
        spool.rows.clear()
        spool.stored.clear()
        said = [one._replace(origin=Origin("child:7:1:stderr", {"log.iostream": "stderr"})) for one in records_of(text)]
        await feed(make(), spool, [*said, exited(**{"process.exit.code": code})], CHILD)
        assert [event["exception"]["values"][0]["type"] for event in spool.items("event")] == types


DEATH = b'Fatal Python error: Aborted\n\nCurrent thread 0x00007f (most recent call first):\n  File "/app/a.py", line 3 in f\n'


async def test_a_worker_s_death(make, spool):
    """An interpreter's death is reported with the end that it explains; where the command ends well, by itself."""
    for text, end, types in (
        (DEATH, {"process.exit.signal": "SIGABRT"}, ["SIGABRT"]),
        (DEATH, {"process.exit.code": 0}, ["FatalPythonError"]),
        (DEATH + TRACEBACK, {"process.exit.code": 1}, ["KeyError", "FatalPythonError"]),
    ):
        spool.rows.clear()
        spool.stored.clear()
        said = [one._replace(origin=Origin("child:7:1:stderr", {"log.iostream": "stderr"})) for one in records_of(text)]
        issues = make()
        await feed(issues, spool, said, CHILD)
        await feed(issues, spool, [exited(**end)], CHILD)
        assert [event["exception"]["values"][0]["type"] for event in spool.items("event")] == types


async def test_a_crash_loop(make, spool):
    """The third bad end within ten minutes is a crash loop as well, also if the agent was restarted each time; the fourth is not again."""
    clock = FakeClock()
    for number in range(4):
        record = exited(**{"process.exit.code": 3})._replace(time_ns=NOW_NS + number * 10**9, offset=number)
        await feed(make(clock, limits=FoldingLimits(window_ns=1)), spool, [record], CHILD)
        await clock.advance(1)
    types = [event["exception"]["values"][0]["type"] for event in spool.items("event")]
    assert types == ["NonZeroExit", "NonZeroExit", "NonZeroExit", "CrashLoop", "NonZeroExit"]


async def test_sessions_and_check_ins_of_a_run(make, spool):
    """A run begins a session and a check-in with its first record and ends both with its exit, under the same ids."""
    issues = make(reporting=Reporting("strategy", LABELS, sessions=True, check_ins=True, schedule="0 4 * * *"))
    await feed(issues, spool, [plain("up", key="child:7:1:stdout")], CHILD)
    await feed(issues, spool, [exited(**{"process.exit.signal": "SIGSEGV"})._replace(time_ns=NOW_NS + 2 * 10**9)], CHILD)
    first, last = spool.items("session")
    assert (first["status"], first["init"], last["status"], last["init"], last["duration"]) == ("ok", True, "crashed", False, 2.0)
    assert first["sid"] == last["sid"]
    begun, done = spool.items("check_in")
    assert (begun["status"], done["status"], done["duration"]) == ("in_progress", "error", 2.0)
    assert begun["check_in_id"] == done["check_in_id"]
    assert begun["monitor_config"]["schedule"] == {"type": "crontab", "value": "0 4 * * *"}


async def test_a_run_in_one_batch(make, spool):
    """A command that dies without a word, or says all in one batch, has begun and ended; its errors are counted."""
    reporting = Reporting("strategy", LABELS, sessions=True, check_ins=True)
    await feed(make(reporting=reporting), spool, [exited(**{"process.exit.signal": "SIGKILL"})], CHILD)
    said = [one._replace(origin=Origin("child:7:1:stderr", {"log.iostream": "stderr"})) for one in records_of(TRACEBACK)]
    await feed(make(reporting=reporting), spool, [*said, exited(**{"process.exit.code": 1})], CHILD)
    assert [(one["init"], one["status"], one["errors"]) for one in spool.items("session")] == [
        (True, "ok", 0),
        (False, "abnormal", 0),
        (True, "ok", 0),
        (False, "crashed", 1),
    ]
    assert [one["status"] for one in spool.items("check_in")] == ["in_progress", "error"] * 2
    assert not any(RUN in key for key in spool.stored[CHILD])


async def test_an_oom_kill_that_the_command_survived(make, spool):
    """A worker that the kernel kills for its memory is an issue, also where the command goes on and ends well; a bad end is one besides."""
    for number, end in enumerate(({"process.exit.code": 0}, {"process.exit.code": 3}, {"process.exit.signal": "SIGSEGV"})):
        last = exited(**end, **{"process.exit.oom_kills": 2})._replace(offset=number)
        await feed(make(limits=FoldingLimits(per_group=9)), spool, [last], CHILD)
    types = [event["exception"]["values"][0]["type"] for event in spool.items("event")]
    assert types == ["OutOfMemoryKill", "NonZeroExit", "OutOfMemoryKill", "SIGSEGV", "OutOfMemoryKill"]
    assert len({event["event_id"] for event in spool.items("event")}) == 5


async def test_a_silent_command_checks_in(make, spool):
    """The run of a command that writes nothing begins nevertheless, once, before its check-in is missed; otherwise its first record begins it."""
    reporting = Reporting("strategy", LABELS, sessions=True, check_ins=True)
    issues = make(reporting=reporting)
    issues.runs.child_started("child:7:1", NOW_NS - 10**9)
    await issues.tick()
    await feed(issues, spool, [plain("at last", key="child:7:1:stdout")], CHILD)
    await issues.tick()
    assert [(one["init"], one["started"][-10:]) for one in spool.items("session")] == [(True, "19.000000Z")]

    await feed(issues, spool, [exited()._replace(time_ns=NOW_NS + 10**9)], CHILD)
    await issues.tick()
    assert [(one["status"], one.get("duration")) for one in spool.items("check_in")] == [("in_progress", None), ("ok", 2.0)]

    late = make(reporting=reporting)
    late.runs.child_started("child:8:1", NOW_NS)
    await feed(late, spool, [plain("up", key="child:8:1:stdout"), exited()], CHILD)
    await late.tick()
    assert [one["status"] for one in spool.items("session")] == ["ok", "exited"] * 2


async def test_a_clock_that_is_set_back(make, spool):
    """A run that ends before it began, by the clock, ends: Sentry takes the update with the higher number. A probe still checks in."""
    clock = FakeClock()
    issues = make(clock, reporting=Reporting("strategy", LABELS, sessions=True, check_ins=True))
    await feed(issues, spool, [plain("up", key="child:7:1:stdout")], CHILD)
    await feed(issues, spool, [exited()._replace(time_ns=NOW_NS - 10**12)], CHILD)
    first, last = spool.items("session")
    assert last["seq"] > first["seq"]

    checks = []
    issues.monitors.probes = lambda: checks[-1:]
    spool.rows.clear()
    for time_ns in (NOW_NS, NOW_NS - 86400 * 10**9):
        checks.append(ProbeCheck("api", True, 0.25, time_ns, 15.0))
        await issues.tick()
    assert len(spool.items("check_in")) == 2


async def test_a_thread_s_exception_explains_no_exit(make, spool):
    """A thread that dies does not end the interpreter, and a cause long before an exit does not explain it."""
    trace = b"Exception in thread Thread-1 (f):\n" + TRACEBACK
    for text, later in ((trace, 1), (TRACEBACK, 99)):
        spool.rows.clear()
        spool.stored.clear()
        said = [one._replace(origin=Origin("child:7:1:stderr", {"log.iostream": "stderr"})) for one in records_of(text)]
        ended = exited(**{"process.exit.code": 1})._replace(time_ns=NOW_NS + later * 10**9)
        await feed(make(), spool, [*said, ended], CHILD)
        assert [event["exception"]["values"][0]["type"] for event in spool.items("event")] == ["KeyError", "NonZeroExit"]


async def test_errors_of_several_services(make, spool):
    """The same error of two services is two: each envelope says whose it is, so that it is routed; our release is no other service's."""
    issues = make(logs_from=Severity.ERROR)
    both = [plain("it broke", Severity.ERROR, number, **({"service.name": "router"} if number % 2 else {})) for number in range(4)]
    await feed(issues, spool, both)
    await issues.finish()
    told = [(decode(row.body).service, item.json()) for row in spool.rows for item in decode(row.body).items if item.type == "event"]
    assert [(service, event["extra"]["occurrences"]["count"], event.get("release")) for service, event in told] == [
        ("strategy", 1, "app@1"),
        ("router", 1, None),
        ("strategy", 1, "app@1"),
        ("router", 1, None),
    ]
    assert [decode(row.body).service for row in spool.rows if row.signal is Signal.SENTRY_LOG] == ["strategy", "router"]


async def test_no_session_without_a_release(make, spool):
    """Sentry takes no session without a release, so none is made."""
    issues = make(reporting=Reporting("strategy", {}, sessions=True))
    await feed(issues, spool, [plain("up", key="child:7:1:stdout"), exited()], CHILD)
    assert spool.rows == []


async def test_check_ins_of_probes(make, spool):
    """A probe checks in with its first result, when its state changes, and once a minute in between."""
    clock = FakeClock()

    issues = make(clock, reporting=Reporting("strategy", LABELS, check_ins=True))
    checks = []
    issues.monitors.probes = lambda: checks[-1:]
    for second, up in enumerate([True, True, *[False] * 6]):
        checks.append(ProbeCheck("api", up, 0.25, NOW_NS + second * 15 * 10**9, 15.0))
        await issues.tick()
        await issues.tick()
    assert [check["status"] for check in spool.items("check_in")] == ["ok", "error", "error"]
    assert spool.items("check_in")[0]["monitor_slug"] == "strategy--api"
    assert spool.items("check_in")[0]["duration"] == 0.25
    assert {row.signal for row in spool.rows} == {Signal.SENTRY_MONITOR}


async def test_logs_for_sentry(make, spool):
    """Records from the level on become one item of Sentry Logs, whether they are errors or not."""
    await feed(make(logs_from=Severity.WARN), spool, [plain("a"), plain("b", Severity.WARN), plain("c", Severity.ERROR)])
    (row,) = [row for row in spool.rows if row.signal is Signal.SENTRY_LOG]
    assert row.records == 2
    assert [item["body"] for item in spool.items("log")[0]["items"]] == ["b", "c"]


async def test_a_record_that_breaks_us(make, spool, monkeypatch):
    """A record that the search fails on is counted; the batch and its other errors are stored."""
    issues = make()

    def fail(record, *_rest):
        if record.body == "poison":
            raise RuntimeError("a bug")
        return original(record, *_rest)

    from agent.issues import reader as module

    original = module.record_event
    monkeypatch.setattr(module, "record_event", fail)
    await feed(issues, spool, [plain("poison", Severity.ERROR), plain("it broke", Severity.ERROR)])
    assert [event["logentry"]["message"] for event in spool.items("event")] == ["it broke"]


async def test_a_pattern_of_the_users(make, spool):
    """A record that only a pattern makes an error has a title with its service, and the black box; an error by its level is not called that."""
    rules = Rules(pattern=compile_pattern("margin call"))
    await feed(make(rules=rules), spool, [plain("before"), plain("margin call for 7 USD"), plain("it broke", Severity.ERROR)])
    found, broke = spool.items("event")
    assert found["exception"]["values"][0]["mechanism"] == {"type": "log_pattern", "handled": True}
    assert found["exception"]["values"][0]["value"] == "strategy: margin call for 7 USD"
    assert found["fingerprint"] == ["LogPattern", "margin call for %s USD"]
    assert (found["logentry"]["message"], found["level"], "exception" in broke) == ("margin call for %s USD", "info", False)
    assert "before" in spool.attachments()["last_lines.txt"]


async def test_a_probe_that_went_down(make, spool):
    """A probe's change to down is an issue that names the probe, in words without its varying figures."""
    origin = Origin("probe:api", {"probe.name": "api", "probe.target": "http://x"})
    down = plain("probe api: http://x is down: no answer within 5 s", Severity.ERROR, **{"event.name": "outrider.probe.changed"})._replace(
        origin=origin
    )
    await feed(make(), spool, [down], "api")
    (event,) = spool.items("event")
    assert event["tags"]["probe.name"] == "api"
    assert event["fingerprint"][:2] == ["ProbeDown", "api"]
    assert event["logentry"]["message"] == "probe api: %s is down: no answer within %s s"
    assert event["exception"]["values"][0]["type"] == "ProbeDown"
    assert event["exception"]["values"][0]["value"] == "strategy: probe api: http://x is down: no answer within 5 s"
    assert "http://x is down" in spool.attachments()["last_lines.txt"]
