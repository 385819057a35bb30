"""Crashes that runtimes report over several lines: one record each, and what stands before and behind is not a part of it."""

from __future__ import annotations

import pytest

from agent.parse.limits import INCOMPLETE, MAX_TEXT
from tests.support.sentry import records_of

GO = """panic: shelf is empty

goroutine 1 [running]:
main.(*shelf).take(0xc000012345, {0x4a1, 0x2})
\t/srv/shop/shelf.go:12 +0x1d
main.main()
\t/srv/shop/main.go:7 +0x2a

goroutine 18 [chan receive, 2 minutes]:
net/http.(*conn).serve(...)
\t/usr/lib/go/src/net/http/server.go:2009
created by main.main in goroutine 1
\t/srv/shop/main.go:5 +0x10
exit status 2"""
REPORTS = {
    GO: 21,
    "panic: no scales [recovered]\n\tpanic: no scales\n\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4a1]\n\ngoroutine 9 [running]:\nmain.main()\n\t/a.go:1 +0x1": 21,
    "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\nmain.main()\n\t/srv/shop/main.go:5 +0x2d": 21,
    "thread 'main' panicked at src/shelf.rs:4:5:\nno item 9\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace": 21,
    "thread 'till-1' (77) panicked at src/shelf.rs:4:5:\nassertion `left == right` failed\n  left: 1\n right: 2": 17,
    "thread 'main' panicked at 'no item 9', src/shelf.rs:4:5\nstack backtrace:\n   0: rust_begin_unwind\n             at ./panicking.rs:5:5": 21,
    "PHP Fatal error:  Uncaught LogicException: no item 9 in /srv/shelf.php:12\nStack trace:\n#0 /srv/a.php(7): take(9)\n#1 {main}\n  thrown in /srv/shelf.php on line 12": 21,
    "PHP Warning:  Undefined variable $shelf in /srv/shelf.php on line 3": 13,
    "Deprecated: take(): use put() in /srv/shelf.php on line 3": 9,
    'Exception in thread "till" java.lang.IllegalStateException: no item\n\tat shop.Shelf.take(Shelf.java:4)\nCaused by: java.io.IOException: no scales\n\t... 3 more': 17,
    "Unhandled exception. System.InvalidOperationException: no item\n   at Shop.Shelf.Take() in /srv/Shelf.cs:line 4\n ---> System.Exception: no scales": 17,
    "file:///srv/shelf.mjs:3\nthrow new Error('no item')\n^\n\nError: no item\n    at file:///srv/shelf.mjs:3:7\n\nNode.js v22.1.0": 17,
    "terminate called after throwing an instance of 'std::out_of_range'\n  what():  no item 9": 21,
    "shelf.rb:3:in `take': no item 9 (IndexError)\n\tfrom shelf.rb:7:in `<main>'": 17,
    "** (KeyError) key :item not found in: %{}\n    (shop 0.1.0) lib/shelf.ex:4: Shelf.take/1": 17,
}  # fmt: skip


@pytest.mark.parametrize(("report", "severity"), REPORTS.items(), ids=[report.split("\n", 1)[0] for report in REPORTS])
@pytest.mark.parametrize(
    "before", ["counting the shelf", "2026-11-22 10:00:00,123 INFO shop.shelf: counting", '{"level":"info","msg":"counting"}']
)
def test_a_report_is_one_record(report, severity, before):
    """Also behind a logger's line, whose message may have more lines; the next line is another record."""
    first, crash, last = records_of(f"{before}\n{report}\nopening the till again".encode())

    assert (crash.body, crash.severity) == (report, severity)
    assert (str(first.body)[:8], last.body) == ("counting", "opening the till again")


@pytest.mark.parametrize(
    "line",
    ["panicking is of no use", "Warning: the shelf is low", "Fatal error in the till", "goroutines are light", "thread 'main' is idle", "/srv/shop/shelf.js", "node: not found"],
)  # fmt: skip
def test_ordinary_words_are_no_report(line):
    """A following line at the left edge is a record of its own, and no severity is invented."""
    records = records_of(f"{line}\nnext line".encode())

    assert [(record.body, record.severity) for record in records] == [(line, 0), ("next line", 0)]


def test_stacks_in_a_message_are_more_of_it():
    """Go's `log` prints a handler's panic with its goroutine behind a time: one record, an error."""
    text = "2026/11/22 10:00:00 http: panic serving 192.0.2.7:1: no item\ngoroutine 34 [running]:\nnet/http.(*conn).serve()\n\t/a.go:1 +0x1"

    ((record),) = records_of(text.encode())

    assert record.severity == 17
    assert str(record.body).endswith("+0x1")


def test_a_report_longer_than_a_record_goes_on_in_the_next():
    """No line is lost, and the stacks are not scattered over hundreds of records."""
    stack = "\n\ngoroutine 7 [select]:\nmain.wait()\n\t/srv/shop/wait.go:7 +0x2a" * 2000
    records = records_of(f"panic: shelf is empty{stack}".encode())

    assert len(records) == -(-len(stack) // MAX_TEXT)
    assert all(record.attributes[INCOMPLETE] for record in records[:-1])
    assert sum(str(record.body).count("goroutine 7") for record in records) == 2000


def test_two_lines_of_java_util_logging_are_one_head():
    """Time, logger and function from the first, level and message from the second, whatever follows."""
    text = "Nov 22, 2026, 10:00:00\u202fAM shop.Shelf$1 take\nWARNING: stock low\n\tat shop.Shelf.take(Shelf.java:4)\nthree left"

    ((record),) = records_of(text.encode())

    assert (record.severity, record.body) == (13, "stock low\n\tat shop.Shelf.take(Shelf.java:4)\nthree left")
    assert record.attributes == {"logger": "shop.Shelf$1", "code.function.name": "take"}
    assert record.time_ns == 1_795_341_600_000_000_000


def test_the_first_of_the_two_lines_alone_is_a_line_like_any_other():
    """Nothing is held back for ever, and nothing is made up."""
    first, second = records_of(b"Nov 22, 2026 10:00:00 AM shop.Shelf take\ncounting")

    assert (first.body, second.body) == ("Nov 22, 2026 10:00:00 AM shop.Shelf take", "counting")


@pytest.mark.parametrize(
    ("line", "severity", "body", "attributes"),
    [
        ('error: card refused {"order":17,"till":{"n":1}}', 17, "card refused", {"order": 17, "till": {"n": 1}}),
        ("warn: stock low", 13, "stock low", {}),
        ("\x1b[32minfo\x1b[39m: shelf {3} counted", 9, "shelf {3} counted", {}),
        ("fatal: not a shelf", 21, "not a shelf", {}),
        ('info: {"order":17}', 9, '{"order":17}', {}),
        ("debug: true", 0, "debug: true", {}),
        ("error: null", 0, "error: null", {}),
        ("verbose: 3", 0, "verbose: 3", {}),
        ('info: "quoted"', 0, 'info: "quoted"', {}),
        ("information: nothing new", 0, "information: nothing new", {}),
        ("till: error: card refused", 0, "till: error: card refused", {}),
    ],
)
def test_a_level_in_small_letters_is_one_before_words(line, severity, body, attributes):
    """A key with its value, as YAML has it, is not read as a level."""
    ((record),) = records_of(line.encode())

    assert (record.severity, record.body, record.attributes) == (severity, body, attributes)


def test_a_line_with_a_small_level_goes_on_in_indented_lines_only():
    """Tools print such lines among others."""
    assert [record.body for record in records_of(b"error: no shelf\n  --> shop.toml:3\nBuilding the till\nerror: stop")] == [
        "no shelf\n  --> shop.toml:3", "Building the till", "stop",
    ]  # fmt: skip
