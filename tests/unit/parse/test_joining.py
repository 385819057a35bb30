"""How lines become records where several kinds of them stand in one stream: what ends a record, what it holds, how long it is open."""

from __future__ import annotations

import pytest

from agent.parse.beginnings import begins_alone
from agent.parse.limits import INCOMPLETE, MAX_TEXT, OPEN_AGE
from agent.parse.lines import Parser
from agent.parse.traceback import parse_traceback
from agent.record import Drop, LogRecord, Origin
from tests.support.sentry import records_of

ORIGIN = Origin("f")
NOW = 1_795_348_800_000_000_000
SECOND = 1_000_000_000
LOGGED = b"2026-11-22 10:00:00,123 ERROR shop.web: Exception on /pay [GET]"
TRACE = [
    b"Traceback (most recent call last):",
    b'  File "/srv/shop/web.py", line 31, in handle',
    b"    return pay(order)",
    b"shop.Refused: 17",
]
ALONE = [
    '192.0.2.7 - - [22/Nov/2026 10:00:05] "GET / HTTP/1.1" 200 -',
    '127.0.0.1 - - [22/Nov/2026 10:00:07] "\x1b[33mGET /x HTTP/1.1\x1b[0m" 404 -',
    '203.0.113.9 - frank [22/Nov/2026:10:00:05 +0000] "GET /a HTTP/2.0" 200 17 "-" "curl/8.5"',
    'shop.example:80 203.0.113.9 - - [22/Nov/2026:10:00:05 +0000] "GET / HTTP/1.1" 200 17',
    '127.0.0.1:51234 - - [22/Nov/2026:10:00:05] "GET /" 200 2',
    '::1 - - [22/Nov/2026:10:00:05 +0000] "GET / HTTP/1.1" 200 17 "-" "Python/3.12 aiohttp/3.9"',
    '10.0.0.1, 10.0.0.2 - - [22/Nov/2026:10:00:05 +0000] "GET / HTTP/1.1" 200 17',
    "127.0.0.1:5000 [22/Nov/2026:10:00:05.123] front back/srv 0/0/0/1/1 200 5",
    '[22/Nov/2026 10:00:05] "GET / HTTP/1.1" 200 17',
    '\x1b[m[22/Nov/2026 10:00:05] "GET / HTTP/1.1" 200 17\x1b[0m',
    "[22/Nov/2026 10:00:05] code 400, message Bad request version",
    '[2026-11-22T10:00:05.123Z] "GET / HTTP/1.1" 200 - 0 17 3 2 "-"',
    '127.0.0.1:5000 - "GET / HTTP/1.1" 200',
    "[I 261122 10:00:05 web:2348] 200 GET / (127.0.0.1) 0.51ms",
    "[pid: 17|app: 0|req: 1/1] 127.0.0.1 () {28 vars in 400 bytes} [Sun Nov 22 10:00:05 2026] GET / => generated 2 bytes",
    '[GIN] 2026/11/22 - 10:00:05 | 200 | 1.2ms | ::1 | GET "/"',
    "\x1b[0mGET /users \x1b[32m200\x1b[0m 1.2 ms - 5",
    "E1122 10:00:05.123456   17 main.go:3] oops",
    "2026/11/22 10:00:05 [error] 31#31: *1 open() failed",
    "[Sun Nov 22 10:00:05.123456 2026] [core:error] [pid 1] AH00126",
    "train:  40%|████      | 4/10 [00:01<00:02,  2.1it/s]",
    "17it [00:01,  2.1it/s]",
    "/srv/app.py:12: DeprecationWarning: use the other one",
]
MORE = [
    "second line of a message", "  indented", "[SQL: SELECT *", "key: value", "- item: 3", "name  | count", "------+------", "100% sure",
    "GET the thing done", "SELECT * FROM orders", "}", "> quoted", "=== FAILURES ===", "E   assert 1 == 2",
]  # fmt: skip


def chunk(parser: Parser, lines: list[bytes], at: int = 0, now: int = NOW) -> list[LogRecord]:
    """The records that are complete after some lines."""
    return list(parser.parse_chunk(list(enumerate(lines, at)), ORIGIN, now)[0])


def bodies(*lines: bytes) -> list[object]:
    """The records of a whole text."""
    return [record.body for record in records_of(b"\n".join(lines))]


@pytest.mark.parametrize("line", ALONE)
def test_a_line_of_a_known_kind_is_a_record_of_its_own(line):
    """It is neither more of a logger's record, nor of an exception's message, and ends both."""
    given = line.encode()
    first, alone, last = records_of(b"\n".join([LOGGED, *TRACE, given, LOGGED]))

    assert (first.attributes["exception.message"], last.body) == ("17", "Exception on /pay [GET]")
    assert "exception.message" not in alone.attributes
    assert bodies(b"2026-11-22 10:00:00,123 INFO shop: ready", given)[0] == "ready"


@pytest.mark.parametrize("line", MORE)
def test_any_other_line_below_a_loggers_is_more_of_its_message(line):
    """A message of several lines stays whole."""
    assert not begins_alone(line.encode())
    assert bodies(LOGGED, line.encode()) == [f"Exception on /pay [GET]\n{line}"]


def test_an_access_line_in_the_middle_of_a_stack_is_a_record_of_its_own():
    """Another thread's line tears no traceback and does not get into it."""
    error, access = sorted(records_of(b"\n".join([LOGGED, *TRACE[:2], ALONE[0].encode(), *TRACE[2:]])), key=lambda one: -one.severity)

    assert (error.attributes["exception.type"], access.body) == ("shop.Refused", ALONE[0])
    assert ALONE[0] not in str(error.attributes["exception.stacktrace"])


def test_what_a_body_has_no_room_for_is_further_records():
    """Nothing of a long text is cut away: each piece but the last is marked as continued."""
    lines = [b"row %06d of a table that somebody logged" % number for number in range(4_000)]
    records = records_of(b"\n".join([LOGGED, *lines]))

    assert len(records) > 2
    assert "\n".join(str(record.body) for record in records).split("\n")[1:] == [line.decode() for line in lines]
    assert [INCOMPLETE in record.attributes for record in records] == [True] * (len(records) - 1) + [False]
    assert max(len(str(record.body)) for record in records) <= MAX_TEXT


def test_bytes_that_are_not_utf8_take_the_room_that_they_need():
    r"""Bytes that are written as \\xNN are longer than they were."""
    records = records_of(b"\n".join([LOGGED, *[b"\xff" * 1000] * 100]))

    assert sum(str(record.body).count("\\xff") for record in records) == 100_000


def test_what_follows_a_long_message_of_an_exception_is_not_lost():
    """A program that prints a lot below a traceback keeps all of it, and the exception its type."""
    lines = [b"line %06d that some other part of the program prints" % number for number in range(4_000)]
    records = records_of(b"\n".join([LOGGED, *TRACE, *lines]))
    texts = [str(record.attributes.get("exception.stacktrace", record.body)) for record in records]

    assert records[0].attributes["exception.type"] == "shop.Refused"
    assert "\n".join(texts).split("\n")[4:] == [line.decode() for line in lines]


def test_what_is_open_for_too_long_is_given_out_as_incomplete():
    """Its writer continues, so silence does not end it; later lines are a record of their own."""
    parser = Parser()
    chunk(parser, [LOGGED])
    chunk(parser, [b"slow"], 1, NOW + SECOND)
    assert list(parser.expire(NOW + SECOND + SECOND // 2, 1.0)) == []
    (given,) = parser.expire(NOW + int(OPEN_AGE * SECOND), 1.5)
    chunk(parser, [b"later"], 2, NOW + 3 * SECOND)

    assert (given.body, given.attributes[INCOMPLETE]) == ("Exception on /pay [GET]\nslow", True)
    (later,) = parser.flush(NOW + 3 * SECOND)
    assert (later.body, later.attributes, later.severity) == ("later", {}, 0)


def test_what_was_silent_is_complete():
    """Nothing is missing where nothing came for long enough, however old it is."""
    parser = Parser()
    chunk(parser, [LOGGED])
    (given,) = parser.expire(NOW + 9 * SECOND, 1.0)

    assert INCOMPLETE not in given.attributes


def test_a_clock_that_was_set_back_keeps_nothing_open():
    """Age counts from the earlier time then."""
    parser = Parser()
    chunk(parser, [LOGGED])
    assert list(parser.expire(NOW - 3600 * SECOND, 1.0)) == []
    assert len(parser.expire(NOW - 3590 * SECOND, 1.0)) == 1


@pytest.mark.parametrize(
    "announcement",
    [
        "Exception in thread feed-b:",
        "Exception ignored in: <function H.__del__ at 0x7f0000000000>",
        "Exception ignored on calling ctypes callback function: <function f at 0x7f00>",
        "Task exception was never retrieved",
        "Future exception was never retrieved",
        "Unhandled exception in event loop:",
        "Exception in callback f() at a.py:3",
        "Exception in Tkinter callback",
        "Process Process-1:",
        "Error in sys.excepthook:",
    ],
)
def test_an_announced_report_is_one_of_its_own(announcement):
    """Whatever is open, a logger's record or another report."""
    records = records_of(b"\n".join([LOGGED, announcement.encode(), *TRACE, announcement.encode(), *TRACE, LOGGED]))

    assert [record.attributes.get("exception.message") for record in records] == [None, "17", "17", None]
    assert [record.offset for record in records][1] == len(LOGGED) + 1


def test_a_death_is_a_report_of_its_own():
    """The output of faulthandler does not belong to the logger's record above it."""
    death = [
        b"Fatal Python error: Segmentation fault",
        b"",
        b"Current thread 0x00007f (most recent call first):",
        b'  File "a.py", line 3 in f',
    ]
    records = records_of(b"\n".join([LOGGED, *death]))

    assert [record.body for record in records] == ["Exception on /pay [GET]", "Fatal Python error: Segmentation fault"]


RAISED = [b"", b"The above exception was the direct cause of the following exception:", b"", *TRACE]


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ([], [b"KeyError: 'inner'"]),
        ([LOGGED], [b"KeyError: 'inner'"]),
        ([LOGGED], [b"app.Slow: first", b"second"]),
        ([b"level=info msg=x ts=1"], [b"TimeoutError"]),
        ([b"words", b"  more words"], [b"app.Slow: first", b"  second"]),
    ],
)
def test_a_cause_that_was_never_raised_is_the_exceptions(before, message):
    """It prints without a traceback: its line is not the logger's text, and gives its type."""
    record = records_of(b"\n".join([*before, *message, *RAISED]))[-1]
    found = parse_traceback(str(record.attributes["exception.stacktrace"]))

    assert found is not None
    assert found.cause is not None
    cause = found.cause
    assert f"{cause.qualified}: {cause.value}".removesuffix(": ") == b"\n".join(message).decode()
    assert (record.attributes["exception.type"], cause.frames) == ("shop.Refused", ())
    assert message[0].decode() not in str(record.body)


def test_a_cause_whose_line_is_not_known_is_not_invented():
    """Where its message has several lines, nothing tells in a bare stream where they begin."""
    record = records_of(b"\n".join([b"app.Slow: first", b"second", *RAISED]))[-1]
    found = parse_traceback(str(record.attributes["exception.stacktrace"]))

    assert found is not None
    assert (found.type, found.cause, found.context) == ("Refused", None, None)


BOX = """\
╭──────────── Traceback (most recent call last) ────────────╮
│ /srv/shop/web.py:31 in handle                             │
│                                                           │
│ ❱ 31     return pay(order)                                │
│                                                           │
│ ╭──── locals ────╮                                        │
│ │ order = 17     │                                        │
│ ╰────────────────╯                                        │
╰───────────────────────────────────────────────────────────╯
Slow: 17
"""
LINK = "\nDuring handling of the above exception, another exception occurred:\n\n"


def test_boxes_of_rich_are_one_record():
    """With the exception's line below, and the chain; what follows is a record of its own."""
    text = BOX + LINK + BOX.replace("Slow", "Refused") + "next\n"
    for given in (text, text.translate(str.maketrans("╭╮╰╯│─❱", "++++|->"))):
        error, after = records_of(given.encode())

        assert (error.severity, error.attributes["exception.type"], error.body, after.body) == (17, "Refused", "Refused: 17", "next")


def test_a_box_below_a_loggers_line_belongs_to_it():
    """`RichHandler` draws it so; a box that is broken off ends with it."""
    (record,) = records_of(LOGGED + b"\n" + BOX.encode())
    assert (record.body, record.attributes["exception.type"]) == ("Exception on /pay [GET]", "Slow")
    assert len(records_of("\n".join([*BOX.split("\n")[:3], "other"]).encode())) == 2


PRETTY = b'{\n  "level": "error",\n  "timestamp": "2026-11-22T10:00:01Z",\n  "message": "a } in \\"it\\"",\n  "order": {\n    "ids": [\n      17\n    ]\n  }\n}'
JSON = b'{"timestamp":"2026-11-22T10:00:00Z","level":"info","message":"one"}'


def test_an_object_of_several_lines_is_one_record():
    """It says what it would say in one line, wherever it stands among others."""
    for around in ([JSON], [b"plain"], []):
        records = records_of(b"\n".join([*around, PRETTY, PRETTY.replace(b"error", b"warn"), *around]))
        found = [record for record in records if record.severity > 9]
        assert [(one.severity_text, one.body, one.attributes) for one in found] == [
            ("error", 'a } in "it"', {"order": {"ids": [17]}}), ("warn", 'a } in "it"', {"order": {"ids": [17]}})
        ]  # fmt: skip
        assert len(records) == 2 + 2 * len(around)


def test_an_object_that_is_broken_off_ends_where_something_else_begins():
    """Its lines stay together as a text."""
    records = records_of(b"\n".join([b"{", b'  "level": "error",', JSON, b"{", b"  level: 'info',", b"}", b"}"]))

    assert [record.body for record in records] == ['{\n  "level": "error",', "one", "{\n  level: 'info',\n}", "}"]


def test_what_a_logger_dumps_below_its_line_is_its_own():
    r"""`log.info("payload:\n%s", json.dumps(…, indent=2))` is one record."""
    assert len(records_of(LOGGED + b"\n" + PRETTY + b"\n" + LOGGED)) == 2


@pytest.mark.parametrize("gap", [b"", b" ", b", ", b"\t"])
def test_each_object_of_a_line_is_a_record(gap):
    """Two writers without a lock put them there."""
    records = records_of(gap.join([JSON, JSON.replace(b"one", "zwölf".encode()), JSON.replace(b"info", b"error")]))

    assert [(record.body, record.severity) for record in records] == [("one", 9), ("zwölf", 9), ("one", 17)]
    assert len({record.offset for record in records}) == 3


def test_an_object_with_something_behind_it_stays_a_text():
    """It is counted as malformed and not half read."""
    parser = Parser("json")
    records, drops = parser.parse_chunk([(0, JSON + b" and more")], ORIGIN, NOW)
    assert [*records, *parser.flush(NOW)][0].body == (JSON + b" and more").decode()
    assert drops == {Drop.MALFORMED_JSON: 1} or parser.take_drops() == {Drop.MALFORMED_JSON: 1}


UNCAUGHT = [b"Traceback (most recent call last):", b'  File "/srv/app.py", line 9, in <module>', b"    main()", b"ValueError: no"]


def test_a_crash_right_after_an_error_is_an_error_of_its_own():
    """Its process ends with it as an exception ends one: the interpreter wrote it, not the logger."""
    parser = Parser()
    chunk(parser, [LOGGED, *UNCAUGHT])
    logged, crash = parser.flush(NOW, ended=True, failed=True)

    assert (logged.body, "exception.type" in logged.attributes) == ("Exception on /pay [GET]", False)
    assert (crash.body, crash.severity_text, crash.attributes["exception.type"]) == ("ValueError: no", "", "ValueError")


def test_what_a_logger_writes_at_the_end_of_a_program_that_ends_well_is_its_own():
    """`log.exception` at the outermost level, and the program goes on to its end."""
    parser = Parser()
    chunk(parser, [LOGGED, *UNCAUGHT])
    (logged,) = parser.flush(NOW, ended=True)

    assert (logged.severity_text, logged.attributes["exception.type"]) == ("ERROR", "ValueError")


LOGGED_NS = 1_795_341_600_123_000_000
"""When LOGGED was written."""
MS = 1_000_000
WRITES = {
    "at once": (LOGGED, LOGGED_NS + 3 * MS, False),
    "on a busy machine": (LOGGED, LOGGED_NS + 40 * MS, False),
    "a little later": (LOGGED, LOGGED_NS + 90 * MS, True),
    "later": (LOGGED, LOGGED_NS + 300 * MS, True),
    "much later, read when the agent starts": (LOGGED, LOGGED_NS + 50 * SECOND, True),
    "before, by a clock that was set back": (LOGGED, LOGGED_NS - SECOND, False),
    "a time of another zone": (LOGGED, LOGGED_NS + 3600 * SECOND, False),
    "a time of half an hour away": (LOGGED, LOGGED_NS - 1800 * SECOND, False),
    "a copy, made the next day": (LOGGED, LOGGED_NS + 86_400 * SECOND, False),
    "the time of the write is unknown": (LOGGED, 0, False),
    "whole seconds, within the second": (LOGGED.replace(b",123", b""), LOGGED_NS + 800 * MS, False),
    "whole seconds, within the next": (LOGGED.replace(b",123", b""), LOGGED_NS + 1200 * MS, True),
    "a text without a time": (b"ERROR:shop.web:Exception on /pay [GET]", LOGGED_NS + 300 * MS, False),
    "in brackets": (b"[2026-11-22 10:00:00,123] ERROR in web: Exception on /pay [GET]", LOGGED_NS + 300 * MS, True),
    "in brackets, at once": (b"[2026-11-22 10:00:00,123] ERROR in web: Exception on /pay [GET]", LOGGED_NS + MS, False),
}


@pytest.mark.parametrize(("head", "written_ns", "apart"), WRITES.values(), ids=WRITES)
def test_a_traceback_written_later_than_the_text_is_not_its_loggers(head, written_ns, apart):
    """A logger writes both at one go. A time in the text that can't be compared with the file's does not count."""
    parser = Parser()
    complete = chunk(parser, [head, *UNCAUGHT])
    complete += list(parser.expire(NOW + 2 * SECOND, 0.5, written_ns=written_ns))
    assert ["exception.type" in record.attributes for record in complete] == ([False, True] if apart else [True])


def test_the_last_write_is_of_the_last_line_only():
    """Of two writers in one file only the one that wrote the last line is judged by the time of the file's last write."""
    parser = Parser()
    known = [*(b"web-1  | " + line for line in TRACE), *(b"db-1   | " + line for line in TRACE)]
    chunk(parser, known)
    parser.flush(NOW)
    wrapped = [*(b"web-1  | " + line for line in [LOGGED, *UNCAUGHT]), b"db-1   | 2026-11-22 10:00:09,000 ERROR shop.db: slow"]
    complete = chunk(parser, wrapped, 10)
    complete += list(parser.expire(NOW + 2 * SECOND, 0.5, written_ns=LOGGED_NS + 9 * SECOND))
    assert ["exception.type" in record.attributes for record in complete] == [True, False]


@pytest.mark.parametrize(("second", "records"), [(0, 1), (1, 1), (3, 2)])
def test_a_syslog_header_in_whole_seconds_may_pass_to_the_next(second, records):
    """A logger's lines may be stamped on both sides of a second's end; two seconds are not passed within one write."""
    parser = Parser()
    lines = [b"ERROR:shop.web:Exception on /pay [GET]", *UNCAUGHT]
    wrapped = [b"Nov 22 10:00:%02d host shop[7]: %s" % (9 + (second if at else 0), line) for at, line in enumerate(lines)]
    complete = chunk(parser, wrapped)
    assert len(complete + list(parser.flush(NOW))) == records


@pytest.mark.parametrize(("pause_ms", "records"), [(0, 1), (2, 1), (90, 2)])
def test_a_containers_runtime_says_when_each_line_was_written(pause_ms, records):
    """Where every line has a time of its own, that of the traceback's first line tells an interpreter's from a logger's."""
    parser = Parser()
    lines = [(LOGGED_NS, LOGGED), *((LOGGED_NS + pause_ms * MS, line) for line in UNCAUGHT)]
    wrapped = [b"2026-11-22T10:00:00.%09dZ stderr F %s" % (at % SECOND, line) for at, line in lines]
    complete = chunk(parser, wrapped)
    assert len(complete + list(parser.flush(NOW))) == records


def test_a_crash_some_time_after_an_error_is_an_error_of_its_own():
    """A logger writes its message and the traceback at once."""
    parser = Parser()
    chunk(parser, [LOGGED])
    chunk(parser, UNCAUGHT, 1, NOW + SECOND // 10)
    assert [record.attributes.get("exception.type") for record in parser.flush(NOW)] == [None, "ValueError"]
    chunk(parser, [LOGGED, *UNCAUGHT, LOGGED], 5)
    assert [record.attributes.get("exception.type") for record in parser.flush(NOW)][:1] == [None]


def test_a_stack_of_javas_is_one_record():
    """Its machine announces it in Python's words, and causes stand at the left edge."""
    lines = [
        'Exception in thread "main" java.lang.RuntimeException: no',
        "\tat shop.Pay.run(Pay.java:12)",
        "Caused by: java.io.IOException: refused",
        "\t... 2 more",
    ]

    assert bodies("\n".join([*lines, "next"]).encode()) == ["\n".join(lines), "next"]


def test_what_closes_a_text_that_was_printed_in_several_lines_is_a_part_of_it():
    """Node prints an error's properties so; a brace alone below a line at the left edge closes nothing."""
    error = [b"Error: gone", b"    at f (/srv/app.js:3:11) {", b"  code: 'E17'", b"}"]
    assert bodies(*error, b"next") == [b"\n".join(error).decode(), "next"]
    assert bodies(b"[", b'  {"a": 1},', b"  2", b"];", b"next")[1:] == ["next"]
    assert bodies(b"words", b"}", b"next") == ["words", "}", "next"]


def test_a_warning_above_a_traceback_is_none_of_its_titles():
    """It was not logged: it is what a program prints above its traceback."""
    warning, printed = (
        records_of(b"\n".join([b"/srv/a.py:3: DeprecationWarning: old()", b"  old()", *TRACE])),
        records_of(b"\n".join([b"it broke", *TRACE])),
    )
    assert [one.body for one in warning] == ["/srv/a.py:3: DeprecationWarning: old()\n  old()", "shop.Refused: 17"]
    assert [one.body for one in printed] == ["it broke"]


def test_a_bar_that_goes_on_below_a_traceback_is_none_of_its_message():
    """It is indented as far as its per cent need it."""
    (logged, *_) = records_of(b"\n".join([LOGGED, *TRACE, b"\r 20%|##        | 2/10 [00:00<00:01,  9.1it/s]", LOGGED]))
    assert logged.attributes["exception.message"] == "17"


@pytest.mark.parametrize(
    "said",
    [
        "reconnecting to the till",
        "payment failed, trying the other one",
        "caught Refused",
        "order 17 goes back",
        "what was raised:",
        "skipping the order",
    ],
)
def test_an_info_record_that_speaks_of_an_exception_keeps_its_traceback(said):
    """`log.info(…, exc_info=True)`: the writer's own level stays."""
    ((record),) = records_of(b"\n".join([f"2026-11-22 10:00:00,123 INFO shop.web: {said}".encode(), *TRACE]))

    assert (record.severity, record.attributes["exception.type"]) == (9, "shop.Refused")


@pytest.mark.parametrize("head", ["2026-11-22 10:00:00,123 INFO shop.web: till opened", "DEBUG:shop.web:order taken", "[INFO] counting"])
def test_a_traceback_below_a_record_that_says_nothing_of_it_is_an_error_of_its_own(head):
    """`traceback.print_exc()` behind any line below WARN: the error is not hidden in a record of a low level."""
    first, second = records_of(b"\n".join([head.encode(), *TRACE]))

    assert first.severity < 13
    assert "exception.type" not in first.attributes
    assert (second.severity, second.attributes["exception.type"], second.body) == (17, "shop.Refused", "shop.Refused: 17")


def test_a_warning_keeps_the_traceback_below_it():
    """From WARN on a record is looked at, and exceptions are logged with it."""
    ((record),) = records_of(b"\n".join([b"2026-11-22 10:00:00,123 WARNING shop.web: till opened", *TRACE]))

    assert (record.severity, record.attributes["exception.type"]) == (13, "shop.Refused")
