"""Which records are errors, and what is read out of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.issues.event.encode import encode_event
from agent.issues.event.frames import EncodeOptions
from agent.issues.reading.grouping import group_of
from agent.issues.reading.record_event import record_event
from agent.issues.reading.record_exception import ends_the_interpreter, read_exception
from agent.issues.reading.record_fields import breadcrumb_of, event_id, level_name
from agent.issues.reading.rules import Rules
from agent.issues.reading.subject import resource_subject
from agent.issues.reading.templates import parametrise
from agent.names import PROBE_CHANGED
from agent.parse.patterns import compile_pattern
from agent.record import LogRecord, Origin, Severity
from tests.support.sentry import CORPUS, NOW_NS, SUBJECT, corpus, records_of

TRACEBACK = 'Traceback (most recent call last):\n  File "/app/pkg/a.py", line 3, in f\n    g()\nKeyError: 7\n'


def record(text="it broke", severity=Severity.ERROR, stream="", **attributes):
    """A record."""
    origin = Origin("file:a", {"log.iostream": stream} if stream else {})
    return LogRecord(NOW_NS, NOW_NS, severity, "", text, attributes, origin, 0)


def test_the_level_decides():
    """From the level on a record is an error, below it is none."""
    severities = (0, 1, 5, 9, 13, 17, 18, 21)
    assert [Rules().matches(record(severity=one)) for one in severities] == [False] * 5 + [True] * 3
    assert [Rules(level=13).matches(record(severity=one)) for one in severities] == [False] * 4 + [True] * 4


def test_an_exception_without_a_level():
    """A record without a level that holds an exception is an error; one that only has a field of that name is not."""
    assert Rules().matches(record(severity=0, exc_info=TRACEBACK))
    assert not Rules().matches(record(severity=0, exception="none"))


def test_a_pattern_decides():
    """A record that the pattern matches is an error whatever its level; a body that is not text is not searched."""
    rules = Rules(pattern=compile_pattern("kill switch|margin call"))
    assert rules.matches(record("the kill switch is on", Severity.INFO))
    assert not rules.matches(record("all well", Severity.INFO))
    assert not rules.matches(record({"kill switch": 1}, Severity.INFO))


def test_probes_may_be_left_out():
    """A probe that went down is an error unless that is turned off."""
    down = record(**{"event.name": PROBE_CHANGED})._replace(origin=Origin("probe:api"))
    assert Rules().matches(down)
    assert not Rules(probes=False).matches(down)


@pytest.mark.parametrize(
    ("severity", "name"),
    [(0, "error"), (1, "debug"), (5, "debug"), (9, "info"), (13, "warning"), (17, "error"), (20, "error"), (24, "fatal")],
)
def test_levels(severity, name):
    """Each range of numbers has its name at Sentry; a record without a level is an error, since something else made it one."""
    assert level_name(severity) == name


def test_a_logged_exception():
    """Words of a logger are the message, the fields around it are kept, the exception's own are not repeated."""
    line = {
        "event": "order failed",
        "level": "error",
        "logger": "router",
        "order": "A7",
        "exc_info": TRACEBACK,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    event = record_event(records_of(json.dumps(line).encode())[0], SUBJECT, Rules())
    assert (event.message.template, event.logger, event.exception.type) == ("order failed", "router", "KeyError")
    assert event.extra == {"logger": "router", "order": "A7"}
    assert event.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert (event.mechanism.type, event.mechanism.handled) == ("logging", True)


def test_an_uncaught_exception():
    """A bare traceback on stderr is an uncaught exception; on stdout it is a print."""
    (on_stderr,), (on_stdout,) = records_of(TRACEBACK.encode()), records_of(TRACEBACK.encode(), stream="stdout")
    assert record_event(on_stderr, SUBJECT, Rules()).mechanism.handled is False
    assert record_event(on_stdout, SUBJECT, Rules()).mechanism.handled is True
    assert record_event(on_stderr, SUBJECT, Rules()).message is None


def test_an_uncaught_exception_on_the_other_stream():
    """A traceback that goes down to the program itself is uncaught also on stdout (`2>&1`): its exit code is not a second issue."""
    (whole,) = records_of(TRACEBACK.replace("in f", "in <module>").encode(), stream="stdout")
    event = record_event(whole, SUBJECT, Rules())
    assert (event.mechanism.type, ends_the_interpreter(whole, event)) == ("excepthook", True)


@pytest.mark.parametrize(("stream", "handled"), [("stderr", False), ("stdout", True)])
def test_the_stream_of_a_container(stream, handled):
    """The stream that a container's runtime gives for each line decides, and is a tag."""
    lines = "".join(f"2026-01-01T10:00:00.00000000{number}Z {stream} F {line}\n" for number, line in enumerate(TRACEBACK.splitlines()))
    (one,) = records_of(lines.encode(), stream="")
    event = record_event(one, SUBJECT, Rules())
    assert (event.mechanism.handled, event.tags["log.iostream"]) == (handled, stream)


def test_an_uncaught_exception_with_a_long_message():
    """An exception whose message is too long to be kept is uncaught as well: its exit code is not a second issue."""
    (one,) = records_of(TRACEBACK.replace("7", "x" * 300_000).encode())
    event = record_event(one, SUBJECT, Rules())
    assert (one.attributes["log.truncated"], event.mechanism.type, event.message) == (True, "excepthook", None)
    assert ends_the_interpreter(one, event)


def test_a_traceback_in_the_text():
    """A traceback within a message is taken out of it."""
    event = record_event(record("job 7 died\n" + TRACEBACK), SUBJECT, Rules())
    assert (event.message.template, event.exception.type) == ("job %s died", "KeyError")


def test_a_stack_that_was_asked_for():
    """A stack that faulthandler prints on request is not an error; a death, or a timeout, is one."""
    stack = 'Current thread 0x00007f8a (most recent call first):\n  File "/app/a.py", line 3 in f\n  File "/app/a.py", line 9 in <module>\n'
    records = {
        before: records_of((before + stack).encode())[0] for before in ("", "Fatal Python error: Aborted\n\n", "Timeout (0:01:00)!\n")
    }
    assert [Rules().matches(one) for one in records.values()] == [False, True, True]


def test_an_interpreter_that_died():
    """The report of faulthandler is a fatal error with the stack of the thread that died."""
    for file in sorted(CORPUS.glob("3.13/fatal_segmentation_fault*.txt")):
        event = record_event(records_of(file.read_bytes())[0], SUBJECT, Rules())
        assert (event.exception.type, event.exception.value) == ("FatalPythonError", "Segmentation fault")
        assert event.fatal is not None
        assert event.exception.frames


def test_every_traceback_of_the_corpus_is_an_error_with_a_type():
    """Each file of the corpus gives at least one event that names an exception."""
    found = {name for name, one in corpus("3.12/*.txt") if record_event(one, SUBJECT, Rules()).exception}
    assert found == {file.name for file in CORPUS.glob("3.12/*.txt")}


# --- the same issue or another one -----------------------------------------------------------------------------------


def of(text):
    """The group of a traceback."""
    return group_of("", read_exception(record(exc_info=text)))


def test_the_message_and_lines_do_not_matter():
    """Another message, another line number and another root of the code are the same issue."""
    other = TRACEBACK.replace("KeyError: 7", "KeyError: 8").replace("line 3", "line 9").replace("/app/", "/srv/x/")
    assert of(TRACEBACK) == of(other)


@pytest.mark.parametrize("change", [("KeyError", "ValueError"), ("in f", "in h"), ("a.py", "b.py")])
def test_type_function_and_file_do(change):
    """Another type, function or file is another issue."""
    assert of(TRACEBACK) != of(TRACEBACK.replace(*change))


def test_library_frames_do_not_matter():
    """Where own code is in the stack, the way through a library makes no other issue."""
    deeper = TRACEBACK.replace("KeyError", '  File "/usr/lib/python3.11/site-packages/lib/x.py", line 1, in z\n    y()\nKeyError')
    assert of(TRACEBACK) == of(deeper)


def test_modules_name_own_code():
    """Where the configuration names modules, their frames tell kinds apart, wherever they are installed, and no others do."""
    here, there = (
        f'Traceback (most recent call last):\n  File "/v/site-packages/mine/a.py", line 3, in f\n  File "{path}", line 3, in g\nKeyError: 7\n'
        for path in ("/app/other.py", "/app/another.py")
    )
    kinds = [{group_of("", read_exception(record(text)), own) for text in (here, there)} for own in ((), ("mine",), ("mine.a",))]
    assert [len(kind) for kind in kinds] == [2, 1, 1]
    assert kinds[1] == {("KeyError", "mine/a.py:f")}


def test_the_depth_of_a_recursion_does_not_matter():
    """A recursion is one place, however deep it went."""
    frame = '  File "/app/pkg/a.py", line 3, in f\n    g()\n'
    assert of(TRACEBACK) == of(TRACEBACK.replace(frame, frame * 3 + "  [Previous line repeated 90 more times]\n"))


def test_templates():
    """Numbers, ids, addresses and times are not part of a template; words and names are."""
    same = {
        "order %s failed at %s": ["order 17 failed at 12:30:05", "order 18 failed at 2026-01-02T03:04:05Z"],
        "peer %s gone": [
            "peer 10.0.0.7:80 gone",
            "peer 0x7f3a gone",
            "peer 3f2504e0-4f89-11d3-9a0c-0305e82c3301 gone",
            "peer 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 gone",
        ],
        "%s at venue": ["BTC2 at venue", "ETH3 at venue"],
        "deadbeef cafe": ["deadbeef cafe"],
    }
    assert {template: {parametrise(text)[0] for text in texts} for template, texts in same.items()} == {key: {key} for key in same}


def test_a_template_gives_back_its_text():
    """Template and parameters make the text again, also where it has percent signs."""
    for text in ("100% of 7", "%s 3 %d", "no value", ""):
        template, params = parametrise(text)
        assert (template % params if params else template) == text


# --- whom it is about -------------------------------------------------------------------------------------------------


def test_the_workloads_host():
    """The server name is the workload's host in the resource, and ours only if the resource has none."""
    assert resource_subject({"service.name": "a", "host.name": "h", "k8s.pod.name": "p"}, "me").server_name == "h"
    assert resource_subject({"k8s.pod.name": "p"}, "me").server_name == "p"
    assert resource_subject({}, "me").server_name == "me"


def test_tags_of_the_resource():
    """Attributes of the resource without a field of their own are tags; not for another service."""
    resource = {"service.name": "a", "service.version": "1", "host.name": "h", "k8s.pod.name": "p"}
    subject = resource_subject(resource, "me")
    assert record_event(record(), subject, Rules()).tags == {"service.name": "a", "k8s.pod.name": "p", "log.iostream": ""}
    assert "k8s.pod.name" not in record_event(record(**{"service.name": "b"}), subject, Rules()).tags
    assert len(resource_subject({f"key{number}": "x" for number in range(100)}, "me").tags) == 30


def test_ids():
    """An id depends on place, time, host and purpose, and on nothing else."""
    one = record()
    assert event_id(one, SUBJECT) == event_id(one._replace(body="other"), SUBJECT)
    others = [one._replace(offset=1), one._replace(time_ns=1), one._replace(origin=Origin("file:b"))]
    ids = {event_id(one, SUBJECT), event_id(one, SUBJECT, "run"), *(event_id(other, SUBJECT) for other in others)}
    assert len(ids) == 5
    assert all(len(number) == 32 for number in ids)


def test_what_is_kept_is_bounded():
    """Ten thousand fields and a field of a megabyte leave an event of bounded size."""
    event = record_event(record(**{f"key{number}": "x" * 1_000_000 for number in range(100)}), SUBJECT, Rules())
    assert sum(len(str(value)) for value in event.extra.values()) <= 50 * 2048
    assert len(breadcrumb_of(record("x" * 100_000)).message) == 512


def test_a_sentence_is_no_kind():
    """With an exception that has frames the words of an unstructured logger do not tell kinds apart; a structured logger's event does."""
    stack = {"exception.type": "KeyError", "exception.stacktrace": TRACEBACK}
    said = [record(f"order for {word} failed", **stack)._replace(severity_text="ERROR") for word in ("XYZ", "ABC")]
    named = [record(f"order {word}", **stack)._replace(severity_text="error") for word in ("failed", "lost")]
    assert len({record_event(one, SUBJECT, Rules()).group for one in said}) == 1
    assert len({record_event(one, SUBJECT, Rules()).group for one in named}) == 2


def test_places_of_windows():
    """The folder that a program lies in does not make another kind, however it is written."""
    kinds = {
        group_of("", read_exception(record(TRACEBACK.replace("/app", drive).replace("/", "\\")))) for drive in ("C:/app", "D:/srv/app")
    }
    assert len(kinds) == 1


def test_whose_a_record_is():
    """A record may name its service, flat or nested; other types do not count."""
    for attributes, service in (
        ({"service.name": "router"}, "router"),
        ({"service": {"name": "router"}}, "router"),
        ({"service": "router"}, "strategy"),
        ({"service.name": 7}, "strategy"),
        ({}, "strategy"),
    ):
        event = record_event(record("it broke", **attributes), SUBJECT, Rules())
        assert (event.service, event.tags["service.name"]) == (service, service)


def test_what_ends_an_interpreter():
    """An uncaught exception ends the interpreter if it was the main thread's."""
    ends = {"": True, "Exception in thread Thread-1 (f):\n": False, "Process Process-1:\n": False}
    for before, wanted in ends.items():
        attributes = {"exception.type": "KeyError", "exception.message": "7", "exception.stacktrace": before + TRACEBACK}
        one = record("KeyError: 7", **attributes)
        assert ends_the_interpreter(one, record_event(one, SUBJECT, Rules())) is wanted
    logged = record("it broke", **{"exception.stacktrace": TRACEBACK})
    assert not ends_the_interpreter(logged, record_event(logged, SUBJECT, Rules()))


def test_what_follows_a_logged_error():
    """An uncaught exception explains the exit code also where its traceback stands below an error that was logged just before."""
    text = "2026-01-01 10:00:00,123 - app - ERROR - bad\n" + TRACEBACK.replace("in f", "in <module>")
    (one,) = records_of(text.encode())
    assert ends_the_interpreter(one, record_event(one, SUBJECT, Rules()))


def test_names_of_loggers():
    """Each library has its own field for it, ECS a nested one; other types do not count."""
    fields = ({"logger": "a.b"}, {"name": "a.b"}, {"log.logger": "a.b"}, {"log": {"logger": "a.b"}})
    assert {record_event(record(**one), SUBJECT, Rules()).logger for one in fields} == {"a.b"}
    assert {record_event(record(**one), SUBJECT, Rules()).logger for one in ({"log": "a.b"}, {"log": {"logger": 7}}, {"name": 7})} == {""}


def test_fields_of_breadcrumbs():
    """A breadcrumb has the fields of its record without its logger, some of them, each bounded."""
    fields = {"logger": "a", "order": 7, "long": "x" * 1000, "exc_info": TRACEBACK, **{f"key{number}": number for number in range(50)}}
    data = breadcrumb_of(record(**fields)).data
    assert (data["order"], len(data["long"]), len(data)) == (7, 256, 20)
    assert not {"logger", "exc_info"} & data.keys()
    assert encode_event(replace(record_event(record(), SUBJECT, Rules()), breadcrumbs=(breadcrumb_of(record(order=7)),)), EncodeOptions())[
        "breadcrumbs"
    ]["values"][0]["data"] == {"order": 7}


def test_long_names_of_loggers():
    """A logger's name is bounded: it is in every breadcrumb."""
    assert len(breadcrumb_of(record("x", logger="l" * 10_000)).category) == 128


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-01 10:00:00,123 - app - CRITICAL - no disk",
        "CRITICAL:root:no disk",
        '{"level": "critical", "event": "no disk"}',
        '{"level": "fatal", "msg": "no disk"}',
        '{"level": 60, "msg": "no disk", "time": 1767261600000, "pid": 1, "hostname": "h", "v": 0}',
    ],
)
def test_the_worst_level(line):
    """A critical or fatal record is fatal at Sentry, as the SDK in the process has it."""
    (one,) = records_of(line.encode())
    assert record_event(one, SUBJECT, Rules()).level == "fatal"


def test_the_arrays_of_structlog():
    """Type and value of the event are those of the record's own attributes, also where a logger writes exceptions as arrays."""
    frames = [{"filename": "/srv/pay.py", "lineno": 3, "name": "charge"}]
    stack = {"exc_type": "KeyError", "exc_value": "'price'", "syntax_error": None, "is_cause": False, "frames": frames}
    (one,) = records_of(json.dumps({"event": "it broke", "level": "error", "exception": [stack]}).encode())
    event = record_event(one, SUBJECT, Rules())
    assert (event.exception.type, event.exception.value) == (one.attributes["exception.type"], one.attributes["exception.message"])
    assert [frame.function for frame in event.exception.frames] == ["charge"]


def test_access_logs():
    """A line of an access log with a server's error is not an issue; a record with such a status that a program logs as an error is one."""
    (line,) = records_of(b'10.0.0.1 - - [29/Nov/2026:05:47:25 +0000] "GET /basket/8 HTTP/1.1" 502 12 "-" "curl"')
    assert line.severity >= Severity.ERROR
    assert not Rules().matches(line)
    assert Rules().matches(record(**{"http.response.status_code": 502})._replace(severity_text="ERROR"))
    assert Rules(pattern=compile_pattern("basket")).matches(line)
