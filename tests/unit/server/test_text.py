"""`outrider status` and `outrider logs` on a terminal."""

from __future__ import annotations

import json
from dataclasses import asdict

from agent.server.text import record_text, status_text
from agent.status import DestinationFacts, ProbeFacts, SourceFacts, SpoolFacts, Status

HOSTILE = "\x1b[31mred\r\u202e"
STATUS = Status(
    version="0.1.0",
    pid=42,
    started_ns=0,
    now_ns=10**9,
    state_dir="/var/lib/outrider",
    resource={"service.name": "shop"},
    spool=SpoolFacts("ok", used=5 << 20, quota=1 << 30, rows=12, oldest_ns=None),
    sources=(
        SourceFacts(
            "app", "log_files", running=True, accepted=1234567, pending=9, lag_seconds=0.25, drops={"oversized": 3, "bad_timestamp": 1000}
        ),
        SourceFacts("in", "stdin", running=True),
    ),
    destinations=(DestinationFacts("otlp", "logs", "ok", sent=1234000, pending=567),),
    probes=(ProbeFacts("web", "http://app/", "down", success=False, reason=HOSTILE, seconds=0.1, time_ns=0),),
)


def shown(status: Status) -> list[str]:
    """Its lines."""
    facts = json.loads(json.dumps(asdict(status))) | {"verdict": {"health": "ready", "reasons": []}, "violations": status.violations}
    return status_text(facts).splitlines()


def test_status_tells_what_was_dropped_or_changed():
    """Beside what a source has read, the table says how old its newest record is and what it could not read or understand, with reasons."""
    rows = [[cell.strip() for cell in line.split("  ") if cell] for line in shown(STATUS)]
    assert ["app", "1,234,567", "9", "0.2 s ago", "bad_timestamp 1,000, oversized 3"] in rows
    assert ["in", "0", "0", "-"] in rows
    assert ["otlp logs", "ok", "1,234,000", "567", "0", "0", "0"] in rows


def test_nothing_that_comes_from_data_steers_the_terminal():
    """Control characters, in a probe's reason as in a record, are written as escapes; a record stays on its line."""
    (line,) = [line for line in shown(STATUS) if line.startswith("web")]
    assert line.endswith("\\x1b[31mred\\r\\u202e")
    record = {"time": "t", "severity_text": HOSTILE, "source": HOSTILE, "body": f"a\nb{HOSTILE}", "attributes": {HOSTILE: HOSTILE}}
    text = record_text(record)
    assert text.isprintable()
    assert "a⏎b\\x1b" in text


def test_an_answer_that_is_not_a_status_is_reported():
    """Anything but a mapping is not a valid status."""
    assert status_text([]) == "the agent's answer is not a valid status"
