"""Several writers in one stream: who wrote a line, what is open of whom, and what a restart reads again."""

from __future__ import annotations

import json

import pytest

from agent.parse import writer_table
from agent.parse.limits import INCOMPLETE
from agent.parse.lines import Parser
from agent.parse.prefixes import WRITER
from agent.record import LogRecord, Origin
from tests.support.sentry import records_of

ORIGIN = Origin("f")
NOW = 1_795_348_800_000_000_000
SECOND = 1_000_000_000
STACK = [
    "Traceback (most recent call last):",
    '  File "/srv/shop/web.py", line 31, in handle',
    "    return pay(order)",
    "           ^^^^^^^^^^",
]
TRACE = "\n".join([*STACK, "shop.Refused: #"])


def stack_of(number: int) -> str:
    """The interpreter's output, without prefixes."""
    return TRACE.replace("#", str(number))


def written(prefixes: list[str], number: int) -> list[str]:
    """The lines of a traceback behind prefixes, one after the other and again from the first."""
    return [prefixes[at % len(prefixes)] + line for at, line in enumerate(stack_of(number).split("\n"))]


def text(lines: list[str]) -> bytes:
    """Lines as a file holds them."""
    return "\n".join(lines).encode()


def errors(lines: list[str]) -> list[tuple[object, object]]:
    """Message and stack of each error among the records of some lines."""
    found = [one.attributes for one in sorted(records_of(text(lines)), key=lambda one: one.offset) if one.severity >= 17]
    return [(one.get("exception.message"), one.get("exception.stacktrace")) for one in found]


TWO = {
    "PyTorch": (["[rank0]: "], ["[rank11]: "]),
    "torchrun": (["[default0]:"], ["[default1]:"]),
    "mpirun": (["[1,0]<stderr>:"], ["[1,1]<stderr>:"]),
    "srun": (["0: "], ["11: "]),
    "MPICH": (["[0] "], ["[1] "]),
    "compose": (["web-1     | "], ["worker-2  | "]),
    "compose of old": (["web_1  | "], ["db_1   | "]),
    "compose, coloured": (["\x1b[36mweb-1  | \x1b[0m"], ["\x1b[33mweb-2  | \x1b[0m"]),
    "compose, container names": (["web     | "], ["worker  | "]),
    "honcho": (["10:00:01 web.1    | ", "10:00:02 web.1    | "], ["10:00:01 worker.1 | ", "10:00:03 worker.1 | "]),
    "pm2": (["0|app  | "], ["1|app  | "]),
    "kubectl": (["[pod/web-7d4b/app] "], ["[pod/web-9c2a/app] "]),
    "stern": (["web-7d4b app "], ["web-9c2a app "]),
    "Ray": (["(train pid=17) "], ["(train pid=18, ip=10.0.0.2) "]),
    "Ray, coloured": (["\x1b[36m(train pid=17)\x1b[0m "], ["\x1b[36m(train pid=18)\x1b[0m "]),
    "syslog": (["Nov 22 10:00:15 n1 app[7]: ", "Nov 22 10:00:16 n1 app[7]: "], ["Nov 22 10:00:15 n1 app[8]: "]),
    "syslog with priority": (["<11>Nov 22 10:00:15 n1 app[7]: "], ["<11>Nov 22 10:00:15 n2 app[7]: "]),
    "RFC 5424": (["<11>1 2026-11-22T10:00:15Z n1 app 7 - - ", "<11>1 2026-11-22T10:00:16Z n1 app 7 - - "], ["<11>1 2026-11-22T10:00:15Z n1 app 8 - - "]),
    "journal, short-iso": (["2026-11-22T10:00:15+0000 n1 app[7]: ", "2026-11-22T10:00:16+0000 n1 app[7]: "], ["2026-11-22T10:00:15+0000 n1 app[8]: "]),
    "journal, short-precise": (["Nov 22 10:00:15.123456 n1 app[7]: ", "Nov 22 10:00:15.223456 n1 app[7]: "], ["Nov 22 10:00:15.12 n1 app[8]: "]),
    "Heroku": (["2026-11-22T10:00:15.1+00:00 app[web.1]: ", "2026-11-22T10:00:16.2+00:00 app[web.1]: "], ["2026-11-22T10:00:15.1+00:00 app[web.2]: "]),
    "supervisor": (["web stderr | "], ["worker stderr | "]),
    "process ids": (["pid 17: "], ["pid 18: "]),
    "times and names": (["10:00:01.5 a> ", "10:00:02.25 a> "], ["10:00:01.5 b> "]),
}  # fmt: skip


@pytest.mark.parametrize("name", TWO)
def test_tracebacks_of_two_writers_are_told_apart(name):
    """However their lines are mixed, and whatever their clocks say: each is whole, without prefixes."""
    one, two = written(TWO[name][0], 17), written(TWO[name][1], 18)
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    blocks = [*one[:3], *two[:3], *one[3:], *two[3:]]
    for lines in (mixed, blocks, [*one, *two]):
        assert errors([*lines, "done"]) == [("17", stack_of(17)), ("18", stack_of(18))]
        assert [record.body for record in records_of(text([*lines, "done"])) if record.severity < 17] == ["done"]


@pytest.mark.parametrize("prefixes", [["2026-11-22T10:00:00.123456789Z ", "2026-11-22T10:00:01.5Z "], ["[2026-11-22 10:00:00] ", "[2026-11-22 10:00:01] "], ["Nov 22 10:00:00 ", "Nov 22 10:00:01 "]])  # fmt: skip
def test_a_time_before_each_line_tears_nothing(prefixes):
    """Also where it ticks in the middle of a traceback; the record has the time of its first line."""
    records = records_of(text([prefixes[0] + "starting", *written(prefixes, 17), prefixes[1] + "goes on", *written(prefixes, 18)]))
    found = [record for record in sorted(records, key=lambda one: one.offset) if record.severity >= 17]

    assert [record.attributes["exception.stacktrace"] for record in found] == [stack_of(17), stack_of(18)]
    assert [str(record.body).removeprefix(prefixes[0]) for record in records if record.severity < 17] == ["starting", "goes on"]
    assert all(record.time_ns for record in found)


def test_a_logger_that_writes_a_traceback_line_by_line_tears_nothing():
    """Celery does so with what a task prints; the next record is one of its own."""
    prefixes = ["[2026-11-22 10:00:00,123: WARNING/ForkPoolWorker-1] ", "[2026-11-22 10:00:01,001: WARNING/ForkPoolWorker-1] "]
    lines = [*written(prefixes, 17), prefixes[1] + "goes on"]
    error, after = sorted(records_of(text(lines)), key=lambda one: one.offset)

    assert (error.attributes["exception.type"], error.attributes["exception.message"]) == ("shop.Refused", "17")
    assert (error.attributes["exception.stacktrace"], after.body) == (stack_of(17), "goes on")


def test_a_line_behind_a_prefix_keeps_it_where_nothing_else_tells_of_it():
    """A plain text is left as it was written, and says who wrote it; so does what was understood behind the prefix."""
    lines = [
        "web-1  | listening",
        "web-1  | 2026-11-22 10:00:00,123 ERROR shop: no",
        'web-2  | {"level":"warn","message":"slow"}',
        "web-2  | ",
    ]
    records = sorted(records_of(text(lines)), key=lambda one: one.offset)

    assert [(one.body, one.severity, one.attributes[WRITER]) for one in records] == [
        ("web-1  | listening", 0, "web-1"), ("no", 17, "web-1"), ("slow", 13, "web-2"), ("web-2  | ", 0, "web-2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('2026-11-22T10:00:00.5Z {"level":"error","event":"refused","order":17}', {"order": 17}),
        ('[2026-11-22 10:00:00] {"level":"error","event":"refused"}', {}),
        ('Nov 22 10:00:00 {"level":"error","event":"refused"}', {}),
        ('2026/11/22 10:00:00 {"level":"error","event":"refused"}', {}),
        ('Nov 22 10:00:00 n1 app[7]: {"level":"error","event":"refused"}', {"syslog.hostname": "n1", "syslog.appname": "app", "syslog.procid": "7"}),
        ('<14>Nov 22 10:00:00 n1 app: {"level":"error","event":"refused"}', {"syslog.hostname": "n1", "syslog.appname": "app", "syslog.facility": 1}),
        ('[rank3]: {"level":"error","event":"refused"}', {WRITER: "rank3"}),
    ],
)  # fmt: skip
def test_an_object_behind_a_header_gives_the_fields(line, expected):
    """The header gives the time that the object has not, and the host."""
    (record,) = records_of(line.encode())

    assert (record.body, record.severity, record.attributes) == ("refused", 17, expected)
    assert bool(record.time_ns) is not line.startswith("[rank")


def test_a_priority_is_the_level_of_what_has_none():
    """An object or a logger behind the header knows better, and a traceback is an error whatever the service prints with."""
    header = "<14>Nov 22 10:00:00 n1 app[7]: "
    lines = [header + "words", header + '{"level":"debug","event":"e"}', *[header + line for line in stack_of(17).split("\n")]]

    assert [one.severity for one in sorted(records_of(text(lines)), key=lambda one: one.offset)] == [9, 5, 17]


def test_a_message_that_has_bars_in_it_is_not_torn():
    """A table below a logger's line is its own, and rows alone are only texts."""
    table = ["2026-11-22 10:00:00,123 INFO shop: counts", "name  | count", "------+------", "apples | 3"]
    (record,) = records_of(text(table))
    assert str(record.body).split("\n")[1:] == table[1:]
    assert [one.attributes for one in records_of(text(table[1:]))] == [{}] * 3


def test_a_traceback_behind_words_that_are_not_repeated_has_no_other_writer():
    """`print("it broke:", traceback.format_exc())`."""
    assert errors(["it broke: " + STACK[0], *STACK[1:], "shop.Refused: 17"])[0][0] == "17"


def test_what_one_writer_has_open_delays_no_others_records():
    """They are given out at once, although the position waits."""
    parser = Parser()
    lines = [b"[rank0]: " + STACK[0].encode(), b"[rank1]: one", b"[rank2]: two", b'{"event":"e"}']
    records, _ = parser.parse_chunk(list(enumerate(lines)), ORIGIN, NOW)

    assert [record.body for record in records] == ["[rank1]: one", "[rank2]: two", "e"]
    assert parser.open_offset() == 0


def test_a_restart_reads_again_only_what_is_in_no_record():
    """The position stands at what is open, and the state says which lines behind it were given out."""
    lines = list(enumerate([f"[rank{at % 2}]: {line}".encode() for line in stack_of(17).split("\n") for at in (0, 1)]))
    lines.insert(5, (100, b"plain"))
    lines = [(number, line) for number, (_, line) in enumerate(lines)]
    for cut in range(len(lines)):
        first = Parser()
        records = list(first.parse_chunk(lines[:cut], ORIGIN, NOW)[0])
        at = first.open_offset()
        second = Parser.from_state(first.state())
        again = [line for line in lines if line[0] >= (cut if at is None else at)]
        records += [*second.parse_chunk(again, ORIGIN, NOW)[0], *second.flush(NOW)]
        bodies = sorted(str(record.body) for record in records)
        assert bodies == ["plain", "shop.Refused: 17", "shop.Refused: 17"], cut


def test_a_state_of_an_earlier_version_is_understood():
    """It names streams of containers only, and nothing that was given out."""
    parser = Parser.from_state(json.dumps(["docker", 0, [["", ["", "", 0]], ["stdout", ["json", "", 0]]]]).encode())

    assert json.loads(parser.state()) == ["docker", 0, [["", ["", "", 0]], ["stdout", ["json", "", 0]]]]


def test_each_writer_is_silent_or_too_old_for_itself():
    """A finished record of one writer is complete while another continues."""
    parser = Parser()

    def feed(at: int, line: str, now: int) -> list[LogRecord]:
        return list(parser.parse_chunk([(at, line.encode())], ORIGIN, now)[0])

    feed(0, "web-1  | 2026-11-22 10:00:00,123 ERROR shop: first", NOW)
    feed(1, "web-2  | 2026-11-22 10:00:00,123 ERROR shop: second", NOW)
    feed(2, "web-2  | more", NOW + SECOND)
    (silent,) = parser.expire(NOW + SECOND, 1.0)
    (old,) = parser.expire(NOW + 2 * SECOND, 1.5)

    assert (silent.body, INCOMPLETE in silent.attributes) == ("first", False)
    assert (old.body, old.attributes[INCOMPLETE]) == ("second\nmore", True)
    assert parser.open_offset() is None


def test_more_writers_than_are_kept_apart_lose_nothing(monkeypatch):
    """Each of their lines arrives."""
    monkeypatch.setattr(writer_table, "_MAX_WRITERS", 100)
    lines = [f"web-{number}  | 2026-11-22 10:00:00,123 ERROR shop: {number}" for number in range(2000)]

    assert sorted(int(str(one.body)) for one in records_of(text(lines))) == list(range(2000))


def test_what_is_open_of_one_writer_too_many_is_given_out_as_incomplete(monkeypatch):
    """It is that of the writer which has written nothing for the longest time; of the others nothing is torn."""
    monkeypatch.setattr(writer_table, "_MAX_WRITERS", 4)  # the file itself is one
    lines = [
        f"[rank{rank}]: {line}" for rank in range(4) for line in ("Traceback (most recent call last):", '  File "/a.py", line 1, in f')
    ]
    lines += [f"[rank{rank}]: ValueError: {rank}" for rank in (1, 2, 3)]
    records = records_of(text(lines))

    assert [one.attributes.get("log.incomplete") for one in records if "ValueError" not in str(one.body)] == [True]
    assert sorted(one.attributes["exception.message"] for one in records if "exception.message" in one.attributes) == ["1", "2", "3"]


def test_thousands_of_ranks_that_die_together_are_told_apart():
    """Two thousand processes of one job, more than a machine has, write to one file."""
    ranks = range(2000)
    trace = ("Traceback (most recent call last):", '  File "/a.py", line 1, in f', "ValueError: {}")
    lines = [f"[rank{rank}]: {line.format(rank)}" for line in trace for rank in ranks]

    assert sorted(int(one.attributes["exception.message"]) for one in records_of(text(lines))) == list(ranks)


def test_hundreds_of_ranks_that_die_together_are_told_apart():
    """A job of many processes prints its tracebacks line by line, in turns."""
    ranks = range(300)
    lines = [f"[rank{rank}]: {line.replace('17', str(rank))}" for line in stack_of(17).split("\n") for rank in ranks]

    assert sorted(errors(lines)) == sorted((str(rank), stack_of(rank)) for rank in ranks)


def test_pretty_objects_of_a_container_are_whole():
    """Each of their lines is an object of the runtime's."""
    pretty = ["{", '  "level": "error",', '  "event": "refused"', "}"]
    wrapped = [json.dumps({"log": line + "\n", "stream": "stdout", "time": "2026-11-22T10:00:00.5Z"}) for line in pretty * 2]
    records = records_of(text(wrapped))

    assert [(one.body, one.severity, one.attributes) for one in records] == [("refused", 17, {"log.iostream": "stdout"})] * 2


def test_a_service_behind_a_container_is_told_apart():
    """Prefixes are looked for in what a runtime wrapped."""
    lines = [line for pair in zip(written(["[rank0]: "], 17), written(["[rank1]: "], 18), strict=True) for line in pair]
    wrapped = [f"2026-11-22T10:00:00.{number:09d}Z stderr F {line}" for number, line in enumerate(lines)]

    assert errors(wrapped) == [("17", stack_of(17)), ("18", stack_of(18))]


def test_a_line_behind_a_time_that_says_its_own_is_its_loggers():
    """As `docker logs -t` prints it: it was taken for a system log's, of a host named by the date."""
    stamp = "2026-11-22T10:00:09.223456789Z "
    written = [
        stamp + line
        for line in ("2026-11-22 10:00:00,123 INFO shop: one", "2026-11-22 10:00:01,123 ERROR shop: two", *stack_of(17).split("\n"))
    ]
    one, two = records_of(text([*written, stamp + "2026/11/22 10:00:02 three"]))[:2]

    assert (one.body, one.severity, one.attributes) == ("one", 9, {"logger": "shop"})
    assert (two.body, two.severity, two.attributes["exception.stacktrace"]) == ("two", 17, stack_of(17))


@pytest.mark.parametrize("prefix", ["2026-11-22T10:00:0{}.5Z ", "2026-11-22 10:00:0{} ", "[2026-11-22 10:00:0{}] "])
def test_an_object_of_several_lines_behind_times_is_one_record(prefix):
    """Its first line is a brace and nothing else."""
    pretty = ["{", '  "level": "error",', '  "event": "refused",', '  "order": {', '    "id": 17', "  }", "}", "words"]
    object_, words = records_of(text([prefix.format(number) + line for number, line in enumerate(pretty)]))

    assert (object_.body, object_.severity, object_.attributes) == ("refused", 17, {"order": {"id": 17}})
    assert "words" in str(words.body)


@pytest.mark.parametrize("prefix", ["[2026-11-22 10:00:0{},123] [worker-{}] ", "2026-11-22 10:00:0{},123 DEBG 'web-{}' stderr output: "])
def test_a_learned_prefix_that_looks_like_a_loggers_leaves_no_line_behind(prefix):
    """The first line of the traceback was taken for a logger's at first, and stayed as a record of its own."""
    lines = [prefix.format(at, writer) + line for at, line in enumerate(stack_of(17).split("\n")) for writer in (0, 1)]

    assert [one.attributes["exception.stacktrace"] for one in records_of(text(lines))] == [stack_of(17)] * 2


@pytest.mark.parametrize("prefix", ["[rank{}]: ", "web-{}  | "])
def test_a_cause_that_was_never_raised_is_told_apart_by_its_writer(prefix):
    """Its line comes before any header."""
    chain = ["KeyError: 'inner'", "", "The above exception was the direct cause of the following exception:", "", *stack_of(17).split("\n")]
    lines = [prefix.format(writer) + line for line in chain for writer in (0, 1)]

    assert [stack for _, stack in errors(lines)] == ["\n".join(chain)] * 2
    assert [one.body for one in records_of(text([prefix.format(0) + "Loss: 0.5", prefix.format(0) + "next"]))] == [
        prefix.format(0) + "Loss: 0.5",
        prefix.format(0) + "next",
    ]


def test_what_lines_mean_does_not_depend_on_when_they_are_read():
    """A writer of lines behind times that has nothing open counts as gone, whether it is forgotten already or not."""
    stamp = "2026-11-22T10:00:09.5Z "
    lines = [
        stamp + '{"event":"a"}',
        "2026-11-22 10:00:10 INFO x: words",
        "more",
        stamp + '{"event":"b"}',
        stamp + "k=1 msg=c",
        "2026-11-22 10:00:11 INFO x: d",
    ]
    parser = Parser()
    singly = [one for at, line in enumerate(lines) for one in parser.parse_chunk([(at, line.encode())], ORIGIN, NOW)[0]]
    together = Parser().parse_chunk(list(enumerate(line.encode() for line in lines)), ORIGIN, NOW)[0]

    assert [one.body for one in together] == [one.body for one in singly] == ["a", "words\nmore", "b", "k=1 msg=c"]


@pytest.mark.parametrize("prefix", ["[pod/web-7d4b/app] ", "web-1  | ", "[rank0]: "])
def test_a_time_behind_a_writers_prefix_hides_nothing(prefix):
    """`kubectl logs --prefix --timestamps` and `docker compose logs -t` print both, and an object behind them was only text."""
    pretty = ["{", '  "level": "error",', '  "event": "b"', "}"]
    logged = ["2026-11-22 10:00:00,123 ERROR shop: c", *stack_of(17).split("\n"), "INFO:     d", "words"]
    lines = [
        f"{prefix}2026-11-22T10:00:0{at % 10}.223456789Z {line}"
        for at, line in enumerate(['{"level":"info","event":"a"}', *pretty, *logged])
    ]
    records = records_of(text(lines))

    assert [(one.body, one.severity) for one in records] == [("a", 9), ("b", 17), ("c", 17), ("d", 9), ("words", 0)]
    assert records[2].attributes["exception.stacktrace"] == stack_of(17)
    assert all(one.time_ns and one.attributes[WRITER] for one in records)


def test_what_a_thread_dies_of_is_one_report_behind_times():
    """Its announcement stands behind a time as the rest does."""
    reports = [line for number in (1, 2) for line in (f"Exception in thread feed-{number}:", *stack_of(number).split("\n"))]
    lines = [f"2026-11-22T10:00:{at:02}.223456789Z {line}" for at, line in enumerate(reports)]

    assert errors(lines) == [(str(number), f"Exception in thread feed-{number}:\n{stack_of(number)}") for number in (1, 2)]
