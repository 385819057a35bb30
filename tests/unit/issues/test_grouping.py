"""When a fingerprint is sent, and when a receiver groups by itself."""

from __future__ import annotations

from agent.issues.event.encode import encode_event
from agent.issues.event.frames import EncodeOptions
from agent.issues.reading.exits import ExitStatus, exit_event
from agent.issues.reading.record_event import record_event
from agent.issues.reading.rules import Rules
from agent.record import LogRecord, Origin, Severity
from tests.support.sentry import NOW_NS, SUBJECT, records_of

LOGGED = "2026-01-01 10:00:00,123 - pay - ERROR"
STACK = 'Traceback (most recent call last):\n  File "/app/pay.py", line 3, in charge\n    bill[user]\n'


def encoded(text: str) -> dict:
    """The event of a text on stderr."""
    return encode_event(record_event(records_of(text.encode())[0], SUBJECT, Rules()), EncodeOptions())


def test_what_has_a_stack_or_a_template_groups_itself() -> None:
    """An exception with frames and a message without one carry no fingerprint: so they meet what the SDK in the process sends."""
    for text in (f"{STACK}KeyError: 'u7'\n", f"{LOGGED} - no bill\n{STACK}KeyError: 'u7'\n", f"{LOGGED} - no bill for 7\n"):
        assert "fingerprint" not in encoded(text), text


def test_what_receivers_would_group_badly_has_a_fingerprint() -> None:
    """A cut-off traceback, an exception without frames, and an interpreter's death are grouped by their constant parts."""
    death = 'Fatal Python error: Aborted\n\nCurrent thread 0x00007f8a (most recent call first):\n  File "/app/pay.py", line 3 in charge\n'
    assert encoded(death)["fingerprint"] == ["FatalPythonError", "app/pay.py:charge"]
    assert encoded(STACK)["fingerprint"] == ["(cut off)", "app/pay.py:charge"]
    bare = LogRecord(
        NOW_NS, NOW_NS, Severity.ERROR, "ERROR", "no", {"exception.type": "OSError", "exception.message": "no bill 7"}, Origin("f"), 0
    )
    assert encode_event(record_event(bare, SUBJECT, Rules()), EncodeOptions())["fingerprint"] == ["OSError", "no bill %s"]


def test_the_end_of_a_process_has_a_title() -> None:
    """Of what the agent makes itself type and value say what happened to which service, and nothing keeps a receiver from showing them."""
    record = LogRecord(NOW_NS, NOW_NS, Severity.ERROR, "", "x", {}, Origin("child:7:exit"), 0)
    event = encode_event(exit_event(record, ExitStatus(code=3, program="pay.py"), SUBJECT), EncodeOptions())
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("NonZeroExit", "strategy: pay.py exited with code 3")
    assert "synthetic" not in error["mechanism"]
    assert event["fingerprint"] == ["exit pay.py 3", "NonZeroExit", "pay.py exited with code %s"]
